"""Blur: camera shake, linear motion, defocus, Gaussian; or the average of a clip's frames.

The blur is applied in linear light, so that small bright spots grow into streaks and discs as in
real photos, and sensor noise comes after it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import ClassVar

import cv2
import numpy as np

from catalog.degradations import Degradation
from catalog.errors import UserError
from catalog.images import Rgb
from catalog.settings.degraders import BlurRanges
from networks.degraders.base import Draw, ParametricDegrader, scale_of
from networks.degraders.fields import Field, draw_field
from networks.degraders.imaging import gaussian, normals, to_linear, to_srgb

HIGHLIGHT = 2.2
"""What a clipped pixel may have held, relative to white."""

CLIPPED = 0.85
"""Linear light from which a pixel is taken for clipped, more and more up to 1."""

MASK = (1.6, -0.1)
"""Slope and offset that turn a field into the mask between two blurs, clipped to 0..1."""


def path_kernel(points: np.ndarray) -> np.ndarray:
    """Kernel of a motion path: (n, 2) offsets (x, y) in px, equal times, to an odd square of sum 1.

    Each point is spread over its four neighbours, so sub-pixel motion is kept. The path is centred
    on its mean place, so that the content does not move.
    """
    points = points - points.mean(axis=0)
    half = int(np.ceil(np.abs(points).max())) + 1
    kernel = np.zeros((2 * half + 1, 2 * half + 1), np.float64)
    base = np.floor(points).astype(int)
    part = points - base
    for dx in (0, 1):
        for dy in (0, 1):
            weight = np.abs(1 - dx - part[:, 0]) * np.abs(1 - dy - part[:, 1])
            np.add.at(kernel, (base[:, 1] + half + dy, base[:, 0] + half + dx), weight)
    return (kernel / kernel.sum()).astype(np.float32)


def shake_path(length: float, rng: np.random.Generator, steps: int = 240) -> np.ndarray:
    """A trajectory of a shaking hand (Boracchi and Foi, 2012): inertia, pull to the centre, jolts.

    (steps, 2) px, scaled to an extent of `length`.
    """
    velocity = np.exp(1j * rng.uniform(0, 2 * np.pi))
    place, path = 0j, np.empty(steps, complex)
    anxiety, jolt = rng.uniform(0.01, 0.12), rng.uniform(0, 0.015)
    for step in range(steps):
        if rng.random() < jolt:
            velocity *= 2 * np.exp(1j * (np.pi + rng.uniform(-0.5, 0.5)))
        kick = anxiety * complex(rng.standard_normal(), rng.standard_normal())
        velocity += kick - 0.002 * place
        velocity /= max(abs(velocity), 1e-6)
        place += velocity
        path[step] = place
    points = np.stack([path.real, path.imag], axis=1)
    extent = float(np.hypot(*(points.max(axis=0) - points.min(axis=0))))
    return points * (length / max(extent, 1e-6))


def disc_kernel(radius: float) -> np.ndarray:
    """The circle of confusion: an anti-aliased disc of sum 1."""
    half = int(np.ceil(radius)) + 1
    y, x = np.mgrid[-half : half + 1, -half : half + 1]
    disc = np.clip(radius + 0.5 - np.hypot(x, y), 0, 1).astype(np.float32)
    return disc / disc.sum()


@dataclass(frozen=True)
class Disc:
    """A circle of confusion of `radius` px."""

    radius: float

    @property
    def halved(self) -> bool:
        """Whether half the resolution will do: then images differ by 50 dB or more (PSNR)."""
        return self.radius >= 10

    def kernel(self) -> np.ndarray:
        """For the resolution that `halved` says."""
        return disc_kernel(self.radius / 2 if self.halved else self.radius)


Kernel = np.ndarray | Disc | float
"""(n, n) float32 of sum 1, n odd; or a disc; or the sigma (px) of a Gaussian."""


def convolve(linear: np.ndarray, kernel: Kernel) -> np.ndarray:
    """(h, w) filtered, a new array; mirrored borders."""
    if isinstance(kernel, float):
        return gaussian(linear, kernel)
    if isinstance(kernel, Disc):
        if not kernel.halved:
            return convolve(linear, kernel.kernel())
        height, width = linear.shape[:2]
        half = (-(-width // 2), -(-height // 2))
        small = cv2.resize(linear, half, interpolation=cv2.INTER_AREA)
        small = convolve(small, kernel.kernel())
        return cv2.resize(small, (width, height), interpolation=cv2.INTER_CUBIC)
    return cv2.filter2D(linear, -1, kernel, borderType=cv2.BORDER_REFLECT_101)


@lru_cache(maxsize=1)
def _gains() -> np.ndarray:
    """What a pixel is multiplied by, for the largest of its three 8-bit values."""
    light = to_linear(np.arange(256, dtype=np.uint8)[None])[0]
    return (1 + (HIGHLIGHT - 1) * np.clip((light - CLIPPED) / (1 - CLIPPED), 0, 1) ** 2).astype(
        np.float32
    )


def highlight_gain(image: Rgb) -> np.ndarray:
    """(h, w): what linear light is multiplied by to have what was lost above white again.

    Without it blur greys highlights.
    """
    red, green, blue = cv2.split(image)
    return cv2.LUT(cv2.max(cv2.max(red, green), blue), _gains())


def average_frames(frames: Sequence[Rgb]) -> tuple[Rgb, Rgb]:
    """(blurred, sharp) of consecutive frames of a clip: their mean in linear light, and the middle.

    Raises `UserError` for fewer than three frames or frames of different sizes.
    """
    if len(frames) < 3 or len({frame.shape for frame in frames}) != 1:
        raise UserError(
            "Temporal averaging needs at least three frames of one size.", "Give more frames."
        )
    total = np.zeros(frames[0].shape, np.float32)
    for frame in frames:
        total += to_linear(frame)
    return to_srgb(total / len(frames)), frames[len(frames) // 2]


@dataclass(frozen=True)
class BlurPlan:
    """A blur, and a weaker one that it gives way to over the image."""

    kernel: Kernel
    weaker: Kernel | None
    """The other blur; None where the image is sharp there."""
    mask: Field | None
    """Where the first blur is seen; None for everywhere."""
    noise: float
    """Sigma of the sensor's noise, 8-bit levels."""
    seed: int


class BlurDegrader(ParametricDegrader[BlurRanges, BlurPlan]):
    """One kind of blur an image, the same everywhere or varying over the image."""

    degradation: ClassVar[Degradation] = Degradation.BLUR
    version: ClassVar[str] = "4"

    def _plan(self, image: Rgb, draw: Draw) -> BlurPlan:
        ranges, rng = self.ranges, draw.rng
        kernel = self._kernel(draw.kind("kind", ranges.weights), draw, scale_of(image))
        sharp = draw.chance("sharp", ranges.sharp)
        weaker, mask = None, None
        if draw.chance("varying", ranges.varying) or sharp:
            weaker = None if sharp else self._reduced(kernel, rng)
            mask = draw_field(image.shape[0], image.shape[1], 2, rng, octaves=1)
        noise = draw.uniform("noise", ranges.noise)
        return BlurPlan(kernel, weaker, mask, 255 * noise if noise > 0.001 else 0.0, draw.seed())

    def _render(self, image: Rgb, plan: BlurPlan) -> Rgb:
        gain = highlight_gain(image)
        mask = None
        if plan.mask is not None:
            mask = np.clip(MASK[0] * plan.mask.on(*image.shape[:2]) + MASK[1], 0, 1)
        # Plane by plane: OpenCV's filter by Fourier transform is a third slower on three at once.
        encoded = cv2.merge([_plane(plane, gain, mask, plan) for plane in cv2.split(image)])
        if not plan.noise:
            return encoded
        return cv2.add(encoded, normals(image.shape, plan.seed, plan.noise), dtype=cv2.CV_8U)

    def _kernel(self, kind: str, draw: Draw, scale: float) -> Kernel:
        if kind == "shake":
            length = max(2.0, draw.graded("length", self.ranges.length) * scale)
            return path_kernel(shake_path(length, draw.rng))
        if kind == "linear":
            length = max(2.0, draw.graded("length", self.ranges.length) * scale)
            angle = draw.uniform("angle", (0.0, float(np.pi)))
            bend = draw.uniform("bend", (-0.25, 0.25))
            along = np.linspace(-0.5, 0.5, 240)
            turn = angle + bend * along
            return path_kernel(length * along[:, None] * np.stack([np.cos(turn), np.sin(turn)], 1))
        if kind == "defocus":
            return Disc(max(0.7, draw.graded("radius", self.ranges.radius) * scale))
        return max(0.6, draw.graded("sigma", self.ranges.sigma) * scale)

    @staticmethod
    def _reduced(kernel: Kernel, rng: np.random.Generator) -> Kernel:
        """The same motion or defocus, smaller."""
        factor = float(rng.uniform(0.35, 0.7))
        if isinstance(kernel, float):
            return kernel * factor
        if isinstance(kernel, Disc):
            return Disc(kernel.radius * factor)
        side = max(3, int(kernel.shape[0] * factor) // 2 * 2 + 1)
        small = gaussian(cv2.resize(kernel, (side, side), interpolation=cv2.INTER_AREA), 0.3)
        return np.maximum(small, 0) / np.maximum(small, 0).sum()


def _plane(
    plane: np.ndarray, gain: np.ndarray, mask: np.ndarray | None, plan: BlurPlan
) -> np.ndarray:
    """One colour, (h, w) uint8, blurred."""
    linear = to_linear(plane)
    cv2.multiply(linear, gain, dst=linear)
    blurred = convolve(linear, plan.kernel)
    if mask is not None:
        other = linear if plan.weaker is None else convolve(linear, plan.weaker)
        blurred -= other
        blurred *= mask
        blurred += other
    return to_srgb(blurred)
