"""What happens to photos out there: nine degradations by simple physics.

On purpose this shares neither code nor settings with `networks.degraders`: a model that learned
from those must not meet its own degradations in the demo's pictures. Images in and out are
(height, width, 3) uint8 sRGB; `strength` is 0 (hardly visible) .. 1 (extreme).
"""

import io
from collections.abc import Callable

import numpy as np
from PIL import Image
from PIL.Image import Resampling
from scipy import ndimage

from catalog.degradations import Degradation
from catalog.images import Rgb

Light = np.ndarray
"""(height, width, 3) float64, linear light 0..1."""


def _linear(image: Rgb) -> Light:
    x = image / 255.0
    return np.where(x <= 0.04045, x / 12.92, ((x + 0.055) / 1.055) ** 2.4)


def _encode(light: Light) -> Rgb:
    x = np.clip(light, 0, 1)
    srgb = np.where(x <= 0.0031308, x * 12.92, 1.055 * x ** (1 / 2.4) - 0.055)
    return np.round(srgb * 255).astype(np.uint8)


def _smooth(light: Light, sigma: float) -> Light:
    return ndimage.gaussian_filter(light, (sigma, sigma, 0), mode="reflect")


def _clouds(shape: tuple[int, int], sigma: float, rng: np.random.Generator) -> np.ndarray:
    """A smooth field 0..1 of (height, width)."""
    field = ndimage.gaussian_filter(rng.standard_normal(shape), sigma, mode="reflect")
    field -= field.min()
    return field / field.max()


def blur(image: Rgb, strength: float, rng: np.random.Generator) -> Rgb:
    """A shaken hand: the light gathered along a curved path."""
    light = _linear(image)
    length = 5 + 13 * strength
    angle, bend = rng.uniform(0, np.pi), rng.uniform(-0.8, 0.8)
    gathered = np.zeros_like(light)
    steps = 15
    for t in np.linspace(-0.5, 0.5, steps):
        turn = angle + bend * t
        gathered += ndimage.shift(
            light,
            (length * t * np.sin(turn), length * t * np.cos(turn), 0),
            order=1,
            mode="reflect",
        )
    return _encode(gathered / steps)


def compression(image: Rgb, strength: float, rng: np.random.Generator) -> Rgb:
    """Passed on through chats: scaled down, saved poorly, cut by some pixels, saved again."""
    height, width = image.shape[:2]
    picture = Image.fromarray(image)
    for _ in range(2):
        scale = 1 - 0.35 * strength * rng.uniform(0.5, 1)
        picture = picture.resize((round(width * scale), round(height * scale)), Resampling.BOX)
        buffer = io.BytesIO()
        picture.save(buffer, "JPEG", quality=round(24 - 17 * strength), subsampling=2)
        picture = Image.open(buffer).convert("RGB")
        picture = picture.resize((width, height), Resampling.BILINEAR)
    return np.asarray(picture)


def moire(image: Rgb, strength: float, rng: np.random.Generator) -> Rgb:
    """A photo of a screen: coloured stripes seen through a sensor slightly off their pitch."""
    scale = 6
    height, width = image.shape[:2]
    light = _linear(image)
    fine = np.repeat(np.repeat(light, scale, 0), scale, 1)
    stripe = (np.arange(width * scale) * 3 // scale) % 3
    mask = np.full((width * scale, 3), 1 - 0.85 * strength)
    mask[np.arange(width * scale), stripe] = 1 + 1.7 * strength
    fine = fine * mask[None]
    angle = np.deg2rad(rng.uniform(2, 7) * rng.choice([-1, 1]))
    pitch = scale * rng.uniform(1.02, 1.08)
    rows, columns = np.mgrid[:height, :width] - np.array([height, width])[:, None, None] / 2
    source = [
        pitch * (np.cos(angle) * rows - np.sin(angle) * columns) * 0.9 + height * scale / 2,
        pitch * (np.sin(angle) * rows + np.cos(angle) * columns) * 0.9 + width * scale / 2,
    ]
    # A short exposure of each sensor cell: not enough to average a whole screen pixel.
    seen = np.stack(
        [
            ndimage.map_coordinates(
                ndimage.uniform_filter(fine[..., c], scale // 2), source, order=1, mode="reflect"
            )
            for c in range(3)
        ],
        -1,
    )
    # What is kept is the pattern, on the upright photo.
    straight = np.stack(
        [
            ndimage.map_coordinates(
                light[..., c], [s / scale for s in source], order=1, mode="reflect"
            )
            for c in range(3)
        ],
        -1,
    )
    pattern = (seen + 0.02) / (straight + 0.02)
    return _encode(light * np.clip(pattern, 0, 3))


def low_light(image: Rgb, strength: float, rng: np.random.Generator) -> Rgb:
    """Too little light: few photons, a tint, noise of the sensor."""
    exposure = 0.2 - 0.14 * strength
    tint = 1 + rng.uniform(-0.12, 0.12, 3)
    photons = 900.0
    light = rng.poisson(_linear(image) * exposure * tint * photons) / photons
    return _encode(light + rng.normal(0, 0.0015, image.shape))


def noise(image: Rgb, strength: float, rng: np.random.Generator) -> Rgb:
    """High sensitivity: shot noise, and coloured blotches as demosaicing leaves them."""
    light = _linear(image)
    photons = 110 - 92 * strength
    grain = (rng.poisson(light * photons) / photons) - light
    blotch = _smooth(rng.normal(0, 1, image.shape), 0.8) * (0.03 + 0.07 * strength)
    return _encode(light + 0.7 * grain + blotch)


def flare(image: Rgb, strength: float, rng: np.random.Generator) -> Rgb:
    """A lamp in the picture: its glow, the star of the aperture, coloured ghosts, a veil."""
    light = _linear(image)
    height, width = image.shape[:2]
    y, x = np.mgrid[:height, :width].astype(float)
    cy, cx = height * rng.uniform(0.1, 0.4), width * rng.uniform(0.15, 0.85)
    radius, turn = np.hypot(y - cy, x - cx), np.arctan2(y - cy, x - cx)
    size = min(height, width)
    blades, phase = int(rng.integers(5, 9)), rng.uniform(0, np.pi)
    star = np.abs(np.cos((turn - phase) * blades / 2)) ** 60 * np.exp(-radius / (0.35 * size))
    glow = np.exp(-((radius / (0.13 * size)) ** 1.1))
    added = (1.6 * glow + 0.9 * star)[..., None] * np.array([1.0, 0.93, 0.8])
    for _ in range(4):
        t = rng.uniform(0.4, 1.9)
        gy, gx = cy + (height / 2 - cy) * t, cx + (width / 2 - cx) * t
        disc = np.hypot(y - gy, x - gx) < size * rng.uniform(0.03, 0.09)
        added += ndimage.gaussian_filter(disc.astype(float), 1.2)[..., None] * rng.uniform(
            0.03, 0.2, 3
        )
    return _encode(light + (0.35 + 0.8 * strength) * (added + 0.07))


def reflection(
    image: Rgb, strength: float, rng: np.random.Generator, other: Rgb | None = None
) -> Rgb:
    """Through a window: a second scene, doubled by the two faces of the pane."""
    height, width = image.shape[:2]
    scene = image[:, ::-1] if other is None else other
    fitted = Image.fromarray(scene).resize((width, height), Resampling.BICUBIC)
    second = _linear(np.asarray(fitted))
    second = _smooth(second, rng.uniform(0.8, 2.0))
    shift = tuple(rng.integers(3, 8, 2))
    doubled = 0.65 * second + 0.35 * np.roll(second, shift, (0, 1))
    return _encode((1 - 0.25 * strength) * _linear(image) + (0.2 + 0.45 * strength) * doubled)


def haze(image: Rgb, strength: float, rng: np.random.Generator) -> Rgb:
    """Koschmieder's law over a depth that grows upwards, in drifting fog."""
    height, width = image.shape[:2]
    depth = np.linspace(1.25, 0.55, height)[:, None] + 0.35 * _clouds(
        (height, width), height / 6, rng
    )
    through = np.exp(-(0.3 + 0.8 * strength) * depth)[..., None]
    air = rng.uniform(0.55, 0.8) + rng.uniform(-0.03, 0.03, 3)
    return _encode(_linear(image) * through + air * (1 - through))


def rain(image: Rgb, strength: float, rng: np.random.Generator) -> Rgb:
    """Near and far streaks falling at one slant, and the veil of what is too far to be told."""
    light = _linear(image)
    height, width = image.shape[:2]
    slant = rng.uniform(-0.3, 0.3)
    layer = np.zeros((height, width))
    for length, thickness, share in ((9, 0.5, 0.012), (17, 0.7, 0.006), (29, 1.0, 0.002)):
        drops = (rng.random((height, width)) < share * (0.5 + strength)).astype(float)
        streak = np.zeros_like(drops)
        for t in range(length):
            streak += np.roll(drops, (t, round(slant * t)), (0, 1))
        streak = ndimage.gaussian_filter(np.minimum(streak, 1), (0.3, thickness))
        layer = np.maximum(layer, streak / max(streak.max(), 1e-9))
    veil = 0.04 + 0.1 * strength
    added = (0.28 + 0.4 * strength) * layer[..., None]
    return _encode(light * (1 - veil) + veil * 0.6 + added * (1 - light))


MODELS: dict[Degradation, Callable[[Rgb, float, np.random.Generator], Rgb]] = {
    Degradation.BLUR: blur,
    Degradation.COMPRESSION: compression,
    Degradation.MOIRE: moire,
    Degradation.LOW_LIGHT: low_light,
    Degradation.NOISE: noise,
    Degradation.FLARE: flare,
    Degradation.REFLECTION: reflection,
    Degradation.HAZE: haze,
    Degradation.RAIN: rain,
}
