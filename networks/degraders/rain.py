"""Rain: streaks at several distances, splashes, drops on the lens and the mist behind it all."""

from typing import ClassVar

import cv2
import numpy as np

from catalog.degradations import Degradation
from catalog.images import Rgb
from catalog.settings.degraders import RainRanges
from networks.degraders.base import Draw, ParametricDegrader
from networks.degraders.haze import airlight_of, scatter
from networks.degraders.imaging import gaussian, smooth_noise, to_linear, to_srgb
from networks.degraders.scene import DepthEstimator, PriorDepth

_LAYERS = 3
_SUBPIXEL = 3  # bits
_LEVELS = 24
"""Shades of a layer's streaks."""


class RainDegrader(ParametricDegrader[RainRanges]):
    """A shower."""

    degradation: ClassVar[Degradation] = Degradation.RAIN
    version: ClassVar[str] = "3"

    def __init__(self, ranges: RainRanges, depth: DepthEstimator | None = None) -> None:
        super().__init__(ranges)
        self.depth = depth or PriorDepth()

    def _apply(self, image: Rgb, draw: Draw) -> Rgb:
        ranges, rng = self.ranges, draw.rng
        height, width = image.shape[:2]
        linear = to_linear(image)
        depth = self.depth.depth(image, rng)
        ambient = float(np.clip(linear.mean() * 1.6 + 0.12, 0.15, 0.8))
        airlight = airlight_of(min(0.95, ambient**0.45), draw.uniform("tint", (-0.02, 0.03)))
        banks = 0.7 + 0.6 * smooth_noise(height, width, 3, rng, octaves=2)
        thickness = draw.graded("veil", ranges.veil) * (0.25 + 0.75 * depth) * banks
        wet = scatter(linear, thickness, airlight)
        opacity = draw.graded("opacity", ranges.opacity)
        alpha = self._streaks(height, width, depth, draw)[:, :, None] * opacity
        # A drop gathers the light of a wide field, so it is brighter than most of the scene.
        drop = np.minimum(airlight * 1.25, 1.2)
        wet = wet * (1 - alpha) + drop * alpha
        if draw.chance("near", ranges.near):
            wet = wet + (drop - wet) * self._near_drops(height, width, draw)[:, :, None]
        if draw.chance("droplets", ranges.droplets):
            wet = self._droplets(wet, round(draw.graded("drops", ranges.drops)), draw)
        return to_srgb(wet)

    def _streaks(self, height: int, width: int, depth: np.ndarray, draw: Draw) -> np.ndarray:
        """(h, w) opacity 0..1: many short streaks far away, few long ones near."""
        ranges, rng = self.ranges, draw.rng
        unit = max(0.4, min(height, width) / 1024)
        # Below the released pipeline's size there are as many streaks an area of a drop.
        events = draw.graded("events", ranges.events) * height * width / 1024**2 / unit**1.2
        lean = np.radians(draw.uniform("angle", ranges.angle))
        total = np.zeros((height, width), np.float32)
        splash = draw.uniform("splash", ranges.splash)
        for layer in range(_LAYERS):
            near = layer / (_LAYERS - 1)
            count = int(events * (0.62, 0.28, 0.1)[layer])
            length = unit * (
                ranges.length[0] * 1.6 + (ranges.length[1] - ranges.length[0]) * near**1.5
            )
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
            if layer == 0:
                self._splashes(canvas, int(count * splash), unit, rng)
            drawn = gaussian(canvas.astype(np.float32) / 255, (0.35 + 1.1 * near) * max(unit, 0.5))
            # What falls behind an object is hidden by it.
            if layer == 0:
                drawn *= 0.35 + 0.65 * depth
            total = 1 - (1 - total) * (1 - drawn)
        return total * (0.75 + 0.5 * smooth_noise(height, width, 4, rng, octaves=1))

    @staticmethod
    def _splashes(canvas: np.ndarray, count: int, unit: float, rng: np.random.Generator) -> None:
        """Crowns of drops that hit the ground, smaller towards the horizon; drawn on `canvas`."""
        height, width = canvas.shape
        for _ in range(count):
            nearness = rng.random() ** 0.7
            x, y = int(rng.uniform(0, width)), int(height * (0.55 + 0.45 * nearness))
            size = max(1, round(unit * (1.5 + 6 * nearness)))
            level = int(rng.uniform(60, 170))
            cv2.ellipse(canvas, (x, y), (size, max(1, size // 3)), 0, 180, 360, level, 1, 16)
            for _ in range(3):
                at = (x + int(rng.normal(0, size)), y - int(abs(rng.normal(0, size))))
                cv2.circle(canvas, at, max(1, size // 5), level, -1, 16)

    @staticmethod
    def _near_drops(height: int, width: int, draw: Draw) -> np.ndarray:
        """(h, w) opacity of drops before the plane of focus: soft bright discs of all sizes."""
        rng = draw.rng
        side = min(height, width)
        layer = np.zeros((height, width), np.uint8)
        for _ in range(int(rng.integers(20, 140))):
            radius = max(1, round(side * 0.004 * float(np.exp(rng.normal(0, 0.7)))))
            at = (int(rng.uniform(0, width)), int(rng.uniform(0, height)))
            cv2.circle(layer, at, radius, int(rng.uniform(70, 230)), -1, cv2.LINE_AA)
        return gaussian(layer.astype(np.float32) / 255, side * 0.002) * 0.8

    @staticmethod
    def _droplets(linear: np.ndarray, count: int, draw: Draw) -> np.ndarray:
        """Drops on the lens, each a small upside-down view of the scene, out of focus."""
        rng = draw.rng
        height, width = linear.shape[:2]
        side = min(height, width)
        # Out of focus, half the resolution shows all there is.
        half = cv2.resize(linear, (-(-width // 2), -(-height // 2)), interpolation=cv2.INTER_AREA)
        scene = gaussian(half, side * 0.002)
        seen = linear.copy()
        alpha = np.zeros((height, width), np.float32)
        for _ in range(count):
            # Many small ones, few large ones.
            radius = max(1.5, side * 0.011 * float(np.exp(rng.normal(0, 0.55))))
            tall = float(rng.uniform(1.0, 1.4))
            cx, cy = float(rng.uniform(0, width)), float(rng.uniform(0, height))
            reach = int(np.ceil(radius * tall)) + 2
            rows = slice(max(0, int(cy) - reach), min(height, int(cy) + reach + 1))
            columns = slice(max(0, int(cx) - reach), min(width, int(cx) + reach + 1))
            y, x = np.mgrid[rows, columns].astype(np.float32)
            dx, dy = (x - cx) / radius, (y - cy) / (radius * tall)
            distance = np.sqrt(dx**2 + dy**2)
            inside = distance < 1
            # A ball lens shows about six radii of the scene, turned over.
            reach_out = radius * 3 * (1 + 2.5 * distance**2)
            map_x, map_y = ((c - d * reach_out - 0.5) / 2 for c, d in ((cx, dx), (cy, dy)))
            view = cv2.remap(
                scene, map_x, map_y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101
            )
            # Brighter above (the sky comes from below), darker at the rim.
            view *= (1.05 + 0.25 * dy - 0.45 * distance**4)[:, :, None]
            # A little beyond its rim too, for the soft edge.
            near = distance < 1.3
            free = near & (inside | (alpha[rows, columns] == 0))
            seen[rows, columns][free] = view[free]
            edge = np.clip((1 - distance) / 0.25, 0, 1)
            alpha[rows, columns] = np.maximum(alpha[rows, columns], edge)
        alpha = gaussian(alpha, side * 0.002)
        seen -= linear
        seen = cv2.multiply(seen, cv2.merge([alpha, alpha, alpha]), dst=seen)
        return linear + seen
