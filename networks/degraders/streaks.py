"""What of a shower is drawn: streaks at several distances, splashes, drops before the focus."""

from dataclasses import dataclass

import cv2
import numpy as np

from catalog.settings.degraders import RainRanges
from networks.degraders.base import Draw
from networks.degraders.imaging import gaussian, scaled

_LAYERS = 3
_SHARES = (0.62, 0.28, 0.1)
"""Of the streaks, from the farthest layer to the nearest."""

_SUBPIXEL = 3  # bits
_LEVELS = 24
"""Shades of a layer's streaks."""


@dataclass(frozen=True)
class Layer:
    """Drops of one distance, as drawn and not yet blurred."""

    canvas: np.ndarray
    """(h, w) uint8."""
    sigma: float
    """Blur, px."""
    hidden: bool
    """Whether what is near hides it."""
    gain: float = 1.0

    def softened(self) -> np.ndarray:
        """(h, w) uint8 after the blur, of which `opacity` takes rows.

        Eight bits are enough: a level is less than 0.0025 of the light.
        """
        return gaussian(self.canvas, self.sigma)

    def opacity(self, softened: np.ndarray) -> np.ndarray:
        """(h, w) float32 in 0..1."""
        return scaled(softened, self.gain / 255)


def draw_streaks(height: int, width: int, ranges: RainRanges, draw: Draw) -> tuple[Layer, ...]:
    """Many short streaks far away, few long ones near."""
    rng = draw.apart()
    unit = max(0.4, min(height, width) / 1024)
    # Below the released pipeline's size there are as many streaks an area of a drop.
    events = draw.graded("events", ranges.events) * height * width / 1024**2 / unit**1.2
    lean = np.radians(draw.uniform("angle", ranges.angle))
    splash = draw.uniform("splash", ranges.splash)
    layers = []
    for number in range(_LAYERS):
        near = number / (_LAYERS - 1)
        count = int(events * _SHARES[number])
        length = unit * (ranges.length[0] * 1.6 + (ranges.length[1] - ranges.length[0]) * near**1.5)
        canvas = np.zeros((height, width), np.uint8)
        starts = rng.uniform([-30, -30], [width + 30, height + 30], (count, 2))
        lengths = length * rng.uniform(0.6, 1.4, count)
        angles = lean + rng.normal(0, 0.025, count)
        offset = np.stack([np.cos(angles), np.sin(angles)], 1) * lengths[:, None]
        levels = (255 * rng.uniform(0.35, 1.0, count) * (0.55 + 0.45 * near)).astype(int)
        fixed = np.rint(np.concatenate([starts, starts + offset], 1) * 2**_SUBPIXEL)
        thick = max(1, round(unit * (0.8 + 1.6 * near)))
        ends = fixed.astype(np.int32).reshape(-1, 2, 2)
        # Streaks of one of a few levels are one call; the brighter ones lie on top.
        place = levels * _LEVELS // 256
        for step in np.unique(place).tolist():
            mine = place == step
            level = int(levels[mine].mean())
            cv2.polylines(canvas, list(ends[mine]), False, level, thick, cv2.LINE_AA, _SUBPIXEL)
        if number == 0:
            _splashes(canvas, int(count * splash), unit, rng)
        layers.append(Layer(canvas, (0.35 + 1.1 * near) * max(unit, 0.5), hidden=number == 0))
    return tuple(layers)


def _splashes(canvas: np.ndarray, count: int, unit: float, rng: np.random.Generator) -> None:
    """Crowns of drops that hit the ground, smaller towards the horizon; drawn on `canvas`."""
    height, width = canvas.shape
    nearness = rng.random(count) ** 0.7
    places = np.stack([rng.uniform(0, width, count), height * (0.55 + 0.45 * nearness)], 1)
    sizes = np.maximum(1, np.rint(unit * (1.5 + 6 * nearness))).astype(int)
    levels = rng.uniform(60, 170, count).astype(int)
    spread = rng.normal(0, 1, (count, 3, 2)) * sizes[:, None, None]
    for place, size, level, thrown in zip(
        places.astype(int), sizes.tolist(), levels.tolist(), spread.astype(int), strict=True
    ):
        x, y = int(place[0]), int(place[1])
        cv2.ellipse(canvas, (x, y), (size, max(1, size // 3)), 0, 180, 360, level, 1, cv2.LINE_AA)
        for dx, dy in thrown.tolist():
            cv2.circle(canvas, (x + dx, y - abs(dy)), max(1, size // 5), level, -1, cv2.LINE_AA)


def draw_near_drops(height: int, width: int, rng: np.random.Generator) -> Layer:
    """Drops before the plane of focus: soft bright discs of all sizes."""
    side = min(height, width)
    canvas = np.zeros((height, width), np.uint8)
    for _ in range(int(rng.integers(20, 140))):
        radius = max(1, round(side * 0.004 * float(np.exp(rng.normal(0, 0.7)))))
        at = (int(rng.uniform(0, width)), int(rng.uniform(0, height)))
        # The larger a disc, the thinner the light of one drop is spread over it.
        level = rng.uniform(70, 230) * min(1.0, 0.004 * side / radius)
        cv2.circle(canvas, at, radius, int(level), -1, cv2.LINE_AA)
    return Layer(canvas, side * 0.002, hidden=False, gain=0.7)
