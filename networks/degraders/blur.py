"""Blur: camera shake, linear motion, defocus, Gaussian; or the average of a clip's frames.

The blur is applied in linear light, so that small bright spots grow into streaks and discs as in
real photos, and sensor noise comes after it.
"""

from collections.abc import Sequence
from functools import lru_cache
from typing import ClassVar

import cv2
import numpy as np

from catalog.degradations import Degradation
from catalog.errors import UserError
from catalog.images import Rgb
from catalog.settings.degraders import BlurRanges
from networks.degraders.base import Draw, ParametricDegrader, scale_of
from networks.degraders.imaging import gaussian, smooth_noise, to_linear, to_srgb, with_grain

_HIGHLIGHT = 2.2
"""What a clipped pixel may have held, relative to white."""


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


def convolve(linear: np.ndarray, kernel: np.ndarray) -> np.ndarray:
    """Filter with a kernel, or with a column that is applied along both axes; mirrored borders."""
    if kernel.shape[1] == 1:
        return cv2.sepFilter2D(linear, -1, kernel, kernel, borderType=cv2.BORDER_REFLECT_101)
    return cv2.filter2D(linear, -1, kernel, borderType=cv2.BORDER_REFLECT_101)


@lru_cache(maxsize=1)
def _gains() -> np.ndarray:
    """What a pixel is multiplied by, for the largest of its three 8-bit values."""
    light = to_linear(np.arange(256, dtype=np.uint8)[None])[0]
    return (1 + (_HIGHLIGHT - 1) * np.clip((light - 0.85) / 0.15, 0, 1) ** 2).astype(np.float32)


def with_highlights(image: Rgb) -> np.ndarray:
    """Linear light with what was lost above white when the photo was taken.

    Without it blur greys highlights.
    """
    linear = to_linear(image)
    red, green, blue = cv2.split(image)
    gain = cv2.LUT(cv2.max(cv2.max(red, green), blue), _gains())
    return cv2.multiply(linear, cv2.merge([gain, gain, gain]), dst=linear)


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


class BlurDegrader(ParametricDegrader[BlurRanges]):
    """One kind of blur an image, the same everywhere or varying over the image."""

    degradation: ClassVar[Degradation] = Degradation.BLUR
    version: ClassVar[str] = "3"

    def _apply(self, image: Rgb, draw: Draw) -> Rgb:
        ranges, rng, scale = self.ranges, draw.rng, scale_of(image)
        linear = with_highlights(image)
        kind = draw.kind("kind", ranges.weights)
        kernel = self._kernel(kind, draw, scale)
        blurred = convolve(linear, kernel)
        sharp = draw.chance("sharp", ranges.sharp)
        if draw.chance("varying", ranges.varying) or sharp:
            height, width = image.shape[:2]
            less = self._reduced(kernel, rng)
            other = linear if sharp else convolve(linear, less)
            mask = np.clip(1.6 * smooth_noise(height, width, 2, rng, octaves=1) - 0.1, 0, 1)
            blurred -= other
            blurred = cv2.multiply(blurred, cv2.merge([mask, mask, mask]), dst=blurred)
            blurred += other
        noise = draw.uniform("noise", ranges.noise)
        encoded = to_srgb(blurred)
        return with_grain(encoded, noise * 255, rng) if noise > 0.001 else encoded

    def _kernel(self, kind: str, draw: Draw, scale: float) -> np.ndarray:
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
            return disc_kernel(max(0.7, draw.graded("radius", self.ranges.radius) * scale))
        sigma = max(0.6, draw.graded("sigma", self.ranges.sigma) * scale)
        half = int(np.ceil(3 * sigma))
        return cv2.getGaussianKernel(2 * half + 1, sigma, cv2.CV_32F)

    @staticmethod
    def _reduced(kernel: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """The same motion or defocus, smaller."""
        factor = rng.uniform(0.35, 0.7)
        if kernel.shape[1] == 1:
            side = max(3, int(kernel.shape[0] * factor) // 2 * 2 + 1)
            return cv2.getGaussianKernel(side, 0.0, cv2.CV_32F)
        side = max(3, int(kernel.shape[0] * factor) // 2 * 2 + 1)
        small = gaussian(cv2.resize(kernel, (side, side), interpolation=cv2.INTER_AREA), 0.3)
        return np.maximum(small, 0) / np.maximum(small, 0).sum()
