"""Ranges of the synthesis of each degradation.

A `Graded` range is (value at severity 5, barely visible; value at severity 1, extreme): the drawn
value moves between the two with the asked severity, with a jitter. A `Uniform` range does not
depend on severity. Lengths in pixels are for an image whose short side is 512 and scale with it.
Sources: RealRestorer (arXiv 2603.25502) and its released pipeline where a comment says so; the
others were set by eye and by the judge against real degraded photos.
"""

from typing import Annotated, Self

from pydantic import AfterValidator, Field, model_validator

from catalog.settings.base import Settings


def _ordered(span: tuple[float, float]) -> tuple[float, float]:
    if span[0] > span[1]:
        raise ValueError("the first value must not exceed the second")
    return span


def _counted(span: tuple[int, int]) -> tuple[int, int]:
    if not 1 <= span[0] <= span[1]:
        raise ValueError("give two numbers from 1 on, the lower first")
    return span


Count = Annotated[tuple[int, int], AfterValidator(_counted)]
"""(least, greatest)"""

Graded = tuple[float, float]
"""(value at severity 5, value at severity 1)"""

Uniform = Annotated[tuple[float, float], AfterValidator(_ordered)]
"""(least, greatest)"""

Probability = Annotated[float, Field(ge=0, le=1)]


class BlurRanges(Settings):
    """Camera shake, linear motion, defocus and Gaussian blur, one of them an image."""

    weights: dict[str, float] = Field(
        default={"shake": 0.35, "linear": 0.2, "defocus": 0.25, "gaussian": 0.2}
    )
    """Relative frequency of the kinds."""

    length: Graded = (3.0, 46.0)
    """Extent of a motion path, px at a short side of 512."""

    radius: Graded = (1.3, 12.0)
    """Radius of the circle of confusion, px."""

    sigma: Graded = (0.9, 7.0)
    """Gaussian blur, px."""

    varying: Probability = 0.4
    """Share of images whose blur differs over the image (depth of field, rotation of the hand)."""

    sharp: Probability = 0.15
    """Share of images of which a part stays sharp (panning, a subject in focus)."""

    noise: Uniform = (0.0, 0.008)
    """Sensor noise added after the blur, sigma as a share of full scale."""

    @model_validator(mode="after")
    def _known_kinds(self) -> Self:
        known = {"shake", "linear", "defocus", "gaussian"}
        if not self.weights or self.weights.keys() - known or sum(self.weights.values()) <= 0:
            raise ValueError(f"the keys must be among {sorted(known)}, and one above 0")
        return self


class CompressionRanges(Settings):
    """Repeated JPEG or WebP encoding, with down-scaling in between."""

    quality: Graded = (44.0, 4.0)
    """JPEG quality of the last encoding (the released pipeline: 20 to 80 in each of two)."""

    downscale: Graded = (1.0, 2.4)
    """Factor of the down-scaling before the encoding."""

    rounds: Count = (1, 3)
    """Least and greatest number of encodings."""

    webp: Probability = 0.2
    """Share of images whose last encoding is WebP."""

    chroma: Probability = 0.75
    """Share of JPEG encodings with colour at half resolution (4:2:0)."""


class MoireRanges(Settings):
    """A screen's sub-pixel lattice, seen in perspective by a camera's Bayer sensor."""

    contrast: Graded = (0.15, 1.1)
    """Modulation of the lattice at the sensor, 1 for dark gaps between sub-pixels."""

    period: Uniform = (14.0, 150.0)
    """Period of the beat between screen and sensor at the image centre, px."""

    patterns: Count = (1, 3)
    """Number of fused patterns (RealRestorer: one to three, after UniDemoire)."""

    perspective: Uniform = (0.0, 0.02)
    """Relative change of the lattice's frequency from one border to the other."""

    distortion: Uniform = (-0.015, 0.015)
    """Radial lens distortion of the lattice at the corner."""

    warp: Uniform = (0.0, 5.0)
    """How many periods the bands wander over the image."""

    tint: Graded = (0.01, 0.07)
    """Colour cast of the photographed screen, relative gain."""


class LowLightRanges(Settings):
    """Too few photons, in linear light, before the camera's tone curve."""

    stops: Graded = (1.0, 5.6)
    """Underexposure in photographic stops (factors of two of linear light)."""

    gamma: Uniform = (0.9, 1.25)
    """Exponent on the encoded result."""

    photons: Graded = (6000.0, 350.0)
    """Electrons at full scale before the loss of light: shot noise."""

    read: Graded = (0.0004, 0.0025)
    """Read noise, sigma as a share of full scale, in linear light."""

    white_balance: Uniform = (-0.15, 0.15)
    """Relative error of the red against the blue gain."""

    uneven: Uniform = (0.0, 0.7)
    """Strength of the fall-off of the light over the scene."""

    saturation: Uniform = (0.7, 1.0)
    """Colour that is left."""


class NoiseRanges(Settings):
    """Sensor noise, film grain and noise that differs by segment, one kind or several."""

    weights: dict[str, float] = Field(
        default={"sensor": 0.4, "gaussian": 0.15, "grain": 0.25, "segments": 0.2}
    )
    """Relative frequency of the kinds."""

    sigma: Graded = (7.0, 52.0)
    """Noise at middle grey, 8-bit levels (RECIPE: 1 to 25 in each of two rounds)."""

    grey: Probability = 0.3
    """Share of images whose noise is the same in the three channels."""

    size: Uniform = (0.8, 1.8)
    """Extent of a grain, px (sigma), at a short side of 512."""

    jpeg: Uniform = (72.0, 96.0)
    """Quality of the JPEG that the noisy photo is stored as."""

    @model_validator(mode="after")
    def _known_kinds(self) -> Self:
        known = {"sensor", "gaussian", "grain", "segments"}
        if not self.weights or self.weights.keys() - known or sum(self.weights.values()) <= 0:
            raise ValueError(f"the keys must be among {sorted(known)}, and one above 0")
        return self


class FlareRanges(Settings):
    """Light scattered and mirrored inside the lens."""

    glare: Graded = (0.06, 0.55)
    """Strength of the glow around the source, linear light."""

    streak: Graded = (0.15, 1.2)
    """Strength of the star of the aperture's blades."""

    ghost: Graded = (0.06, 0.45)
    """Strength of the mirrored images of the aperture."""

    veil: Graded = (0.0, 0.12)
    """Light spread over the whole frame."""

    ghosts: Count = (3, 9)
    """Least and greatest number of ghosts."""

    outside: Probability = 0.25
    """Share of images whose light source is outside the frame."""

    anamorphic: Probability = 0.2
    """Share of images with one long horizontal streak."""

    leak: Probability = 0.3
    """Share of images with a wide coloured glow from the border, as against a low sun."""

    pattern: Probability = 0.5
    """Share of images with a photographed flare instead, where a folder of them is given."""

    gain: Graded = (0.35, 1.6)
    """Strength of a photographed flare, linear light."""


class ReflectionRanges(Settings):
    """A pane of glass that mirrors a second scene."""

    weight: Graded = (0.12, 0.75)
    """Brightness of the mirrored scene, linear light."""

    transmission: Graded = (0.98, 0.7)
    """Share of the scene's own light that passes the glass."""

    blur: Uniform = (0.3, 4.5)
    """Defocus of the mirrored scene, px (sigma)."""

    double: Uniform = (2.0, 14.0)
    """Offset of the second image from the back of the glass, px."""

    ghost: Probability = 0.5
    """Share of images with a visible second image."""

    fresnel: Uniform = (0.0, 1.0)
    """How strongly the mirrored light grows towards one border (grazing angle)."""


class HazeRanges(Settings):
    """Scattering by depth (Koschmieder), with uneven fog."""

    density: Graded = (0.55, 3.2)
    """Optical thickness at the greatest depth."""

    airlight: Uniform = (0.62, 0.95)
    """Brightness of the scattered light, encoded (sRGB)."""

    tint: Uniform = (-0.04, 0.04)
    """Blue against red in the scattered light."""

    uneven: Uniform = (0.0, 0.6)
    """Strength of the banks in the fog."""

    near: Uniform = (0.08, 0.35)
    """Thickness that the nearest point already has, as a share of the greatest."""

    pattern: Probability = 0.5
    """Share of images whose fog follows a photographed pattern, where a folder is given."""


class RainRanges(Settings):
    """Streaks by depth, splashes, drops on the lens and a veil."""

    events: Graded = (2500.0, 15000.0)
    """Streaks in an image of one megapixel (released pipeline: 8,000 to 15,000)."""

    angle: Uniform = (75.0, 105.0)
    """Direction of fall, degrees, 90 straight down (released pipeline)."""

    length: Uniform = (5.0, 50.0)
    """Length of the farthest and of the nearest streaks, px at 1024 (released pipeline)."""

    opacity: Graded = (0.16, 0.6)
    """Opacity of the nearest streaks."""

    splash: Uniform = (0.02, 0.07)
    """Share of the streaks that end in a splash (released pipeline)."""

    droplets: Probability = 0.5
    """Share of images with drops on the lens or a window pane."""

    drops: Graded = (12.0, 160.0)
    """Number of those drops."""

    near: Probability = 0.3
    """Share of images with bright drops in the air before the focus."""

    veil: Graded = (0.05, 0.7)
    """Optical thickness of the rain's mist at the greatest depth."""

    pattern: Probability = 0.5
    """Share of images with photographed streaks before the drawn ones, where a folder is given."""


class WebStyleRanges(Settings):
    """The second-order chain of what happens to pictures on the web (Real-ESRGAN's idea).

    The defaults are the released RealRestorer pipeline's.
    """

    kernel: Count = (7, 21)
    sigma: Uniform = (0.5, 6.0)
    sinc: Probability = 0.1
    """Share of blurs by a sinc filter of cut-off pi/4 to pi."""

    downscale: Uniform = (2.0, 4.0)
    gaussian: Probability = 0.75
    """Share of Gaussian noise; Poisson otherwise."""

    noise: Uniform = (1.0, 25.0)
    """Sigma of Gaussian noise in 8-bit levels."""

    poisson: Uniform = (0.05, 2.5)
    """Scale of Poisson noise."""

    quality: Uniform = (20.0, 80.0)
    second: Probability = 0.7
    """Share of images that go through a second round."""

    second_sigma: Uniform = (0.5, 5.0)
    second_downscale: Uniform = (3.0, 5.0)


class DegraderRanges(Settings):
    """The ranges of all nine degradations."""

    blur: BlurRanges = BlurRanges()
    compression: CompressionRanges = CompressionRanges()
    moire: MoireRanges = MoireRanges()
    low_light: LowLightRanges = LowLightRanges()
    noise: NoiseRanges = NoiseRanges()
    flare: FlareRanges = FlareRanges()
    reflection: ReflectionRanges = ReflectionRanges()
    haze: HazeRanges = HazeRanges()
    rain: RainRanges = RainRanges()
