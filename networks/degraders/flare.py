"""Flare: light of a bright source scattered and mirrored inside the lens.

Four parts, added in linear light: glare (point spread with a wide tail), the star that the
aperture's blades diffract, ghosts (mirrored images of the aperture on the line through the optical
centre) and a veil over the frame.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import cv2
import numpy as np

from catalog.degradations import Degradation
from catalog.images import Rgb
from catalog.settings.degraders import FlareRanges
from networks.degraders.base import Draw, ParametricDegrader
from networks.degraders.fields import smooth_noise
from networks.degraders.imaging import gaussian, luminance, repeated, scaled, to_linear, to_srgb
from networks.degraders.patterns import draw_pattern

_WARM = np.array([1.0, 0.86, 0.66], np.float32)
_COLD = np.array([0.78, 0.9, 1.0], np.float32)
SPILL = 0.5
"""Share of the light above white that spreads evenly to the three channels."""

_COARSE = 512
"""The parts without fine detail are drawn at this long side and enlarged."""


@dataclass(frozen=True)
class FlarePlan:
    """Light that is added to the scene."""

    layer: np.ndarray
    """(h', w', 3) float32 linear light, to be enlarged."""
    pattern: Rgb | None = None
    """(h, w, 3) uint8: a photographed flare on black, added too."""
    gain: float = 0.0
    """Of the pattern's linear light."""


class FlareDegrader(ParametricDegrader[FlareRanges, FlarePlan]):
    """One light source, in the frame or just outside; or a photographed pattern."""

    degradation: ClassVar[Degradation] = Degradation.FLARE
    version: ClassVar[str] = "4"

    def __init__(self, ranges: FlareRanges, patterns: Sequence[Rgb] = (), *sources: str) -> None:
        super().__init__(ranges, *sources)
        self.patterns = patterns

    def _plan(self, image: Rgb, draw: Draw) -> FlarePlan:
        height, width = image.shape[:2]
        if len(self.patterns) and draw.chance("patterned", self.ranges.pattern):
            pattern = draw_pattern(self.patterns, height, width, draw, upright=False)
            veil = np.full((2, 2, 3), draw.graded("veil", self.ranges.veil), np.float32)
            return FlarePlan(veil, pattern, draw.graded("gain", self.ranges.gain))
        factor = min(1.0, _COARSE / max(height, width))
        size = (max(32, round(height * factor)), max(32, round(width * factor)))
        place = self._place(image, draw)
        mix = draw.uniform("warmth", (0.0, 1.0))
        light = (_WARM * mix + _COLD * (1 - mix)).astype(np.float32)
        layer = self._glare(size, place, light, draw)
        layer += self._star(size, place, light, draw)
        layer += self._ghosts(size, place, light, draw)
        layer += draw.graded("veil", self.ranges.veil) * light
        if draw.chance("leak", self.ranges.leak):
            layer += self._leak(size, draw)
        return FlarePlan(layer.astype(np.float32))

    def _render(self, image: Rgb, plan: FlarePlan) -> Rgb:
        size = image.shape[1::-1]
        total = cv2.resize(plan.layer, size, interpolation=cv2.INTER_LINEAR)
        total += to_linear(image)
        if plan.pattern is not None:
            cv2.scaleAdd(to_linear(plan.pattern), plan.gain, total, dst=total)
        # Highlights roll off as film and tone curves do, so that the core is white, not coloured.
        spill = cv2.transform(np.maximum(total - 1, 0), np.full((1, 3), SPILL / 3))
        total += repeated(spill)
        return to_srgb(total)

    def _place(self, image: Rgb, draw: Draw) -> tuple[float, float]:
        """(x, y) of the source in shares of the frame; near what is brightest if it is inside."""
        rng = draw.rng
        if draw.chance("outside", self.ranges.outside):
            x, y = rng.uniform(0.05, 0.95), rng.uniform(-0.12, -0.02)
            if rng.random() < 0.4:
                x, y = (-0.07 if rng.random() < 0.5 else 1.07), rng.uniform(0.0, 0.5)
        elif rng.random() < 0.6:
            small = cv2.resize(image, (24, 24), interpolation=cv2.INTER_AREA)
            small = luminance(to_linear(small))
            odds = (small**3 + 1e-6).ravel()
            index = int(rng.choice(odds.size, p=odds / odds.sum()))
            x, y = (index % 24 + rng.random()) / 24, (index // 24 + rng.random()) / 24
        else:
            x, y = rng.uniform(0.05, 0.95), rng.uniform(0.02, 0.6)
        return draw.record("x", float(x)), draw.record("y", float(y))

    @staticmethod
    def _polar(
        size: tuple[int, int], place: tuple[float, float]
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """dx, dy, radius (in long sides) and angle around a place."""
        height, width = size
        side = max(size)
        x = (np.arange(width, dtype=np.float32) + 0.5 - place[0] * width) / side
        y = (np.arange(height, dtype=np.float32) + 0.5 - place[1] * height) / side
        dx, dy = np.meshgrid(x, y)
        radius, angle = cv2.cartToPolar(dx, dy)
        return dx, dy, radius, angle

    def _glare(
        self, size: tuple[int, int], place: tuple[float, float], light: np.ndarray, draw: Draw
    ) -> np.ndarray:
        _, _, radius, angle = self._polar(size, place)
        strength = draw.graded("glare", self.ranges.glare)
        core = draw.uniform("core", (0.008, 0.035))
        wide = draw.uniform("wide", (0.12, 0.5))
        glow = 3.0 * strength / (1 + (radius / core) ** 2.2) + strength * np.exp(-radius / wide)
        # Dust and scratches give the glow its fine rays.
        around = np.interp(angle.ravel() / (2 * np.pi) * 180, np.arange(180), draw.rng.random(180))
        spokes = around.reshape(size).astype(np.float32) - 0.5
        glow *= 1 + 0.35 * spokes * np.exp(-radius / wide)
        result = glow[:, :, None] * light
        if draw.chance("ring", 0.3):
            at, thick = draw.uniform("ring-radius", (0.15, 0.4)), 0.012
            for channel, shift in enumerate((1.03, 1.0, 0.97)):
                ring = np.exp(-(((radius - at * shift) / thick) ** 2))
                result[:, :, channel] += 0.35 * strength * ring
        return result

    def _star(
        self, size: tuple[int, int], place: tuple[float, float], light: np.ndarray, draw: Draw
    ) -> np.ndarray:
        dx, dy, radius, _ = self._polar(size, place)
        strength = draw.graded("streak", self.ranges.streak)
        anamorphic = draw.chance("anamorphic", self.ranges.anamorphic)
        blades = 2 if anamorphic else draw.integer("blades", (4, 9))
        # An odd number of blades diffracts into twice as many rays.
        rays = blades if blades % 2 == 0 else 2 * blades
        turn = 0.0 if anamorphic else draw.uniform("turn", (0.0, float(np.pi)))
        reach = draw.uniform("reach", (0.5, 1.0) if anamorphic else (0.06, 0.4))
        width = draw.uniform("width", (0.0012, 0.004))
        star = np.zeros(size, np.float32)
        for number in range(rays):
            angle = turn + 2 * np.pi * number / rays
            length = reach * (1.0 if anamorphic else float(draw.rng.uniform(0.5, 1.0)))
            cosine, sine = float(np.cos(angle)), float(np.sin(angle))  # keeps single precision
            along = dx * cosine + dy * sine
            across = dy * cosine - dx * sine
            out = np.maximum(along, 0)
            across /= width + 1.5 * width / length * out
            ray = cv2.exp(-across * across - out / (0.4 * length))
            star += ray * (along > -width)
        colour = np.array([0.55, 0.75, 1.3], np.float32) if anamorphic else light
        return strength * (star * np.clip(radius / 0.004, 0, 1))[:, :, None] * colour

    def _leak(self, size: tuple[int, int], draw: Draw) -> np.ndarray:
        """A wide saturated glow from a border, with soft edges and an inner arc."""
        rng = draw.rng
        side = draw.uniform("leak-place", (0.0, 1.0))
        _, _, radius, _ = self._polar(size, (side, float(rng.choice([-0.1, 0.0, 0.1]))))
        reach = draw.uniform("leak-reach", (0.3, 0.8))
        hue = np.array([1.0, rng.uniform(0.35, 0.75), rng.uniform(0.05, 0.45)], np.float32)
        glow = np.exp(-((radius / reach) ** 2)) * (
            0.7 + 0.6 * smooth_noise(*size, 2, rng, octaves=2)
        )
        arc = np.exp(-(((radius - 0.8 * reach) / 0.05) ** 2)) * 0.4
        level = draw.graded("leak-level", (self.ranges.glare[0], 1.6 * self.ranges.glare[1]))
        return level * (glow + arc).astype(np.float32)[:, :, None] * hue

    def _ghosts(
        self, size: tuple[int, int], place: tuple[float, float], light: np.ndarray, draw: Draw
    ) -> np.ndarray:
        rng = draw.rng
        height, width = size
        strength = draw.graded("ghost", self.ranges.ghost)
        result = np.zeros((height, width, 3), np.float32)
        corners = int(rng.choice([5, 6, 7, 8, 40]))  # 40: a round aperture
        turn = rng.uniform(0, 2 * np.pi)
        for _ in range(draw.integer("ghosts", self.ranges.ghosts)):
            # On the line through source and optical centre, most on the other side of it.
            t = rng.uniform(0.4, 2.2)
            x = (place[0] + (0.5 - place[0]) * t) * width
            y = (place[1] + (0.5 - place[1]) * t) * height
            radius = max(height, width) * float(rng.choice([0.012, 0.025, 0.05, 0.09]))
            radius *= float(rng.uniform(0.7, 1.4))
            hue = rng.dirichlet([1.2, 1.2, 1.2]) * 2.0
            level = strength * rng.uniform(0.25, 1.0) * min(1.0, 0.04 * max(height, width) / radius)
            # Only the part of the frame that the ghost can reach.
            reach = int(np.ceil(radius * 1.6)) + 4
            rows = slice(max(0, int(y) - reach), max(0, int(y) + reach))
            columns = slice(max(0, int(x) - reach), max(0, int(x) + reach))
            part = result[rows, columns]
            if not part.size:
                continue
            angles = turn + 2 * np.pi * np.arange(corners) / corners
            corner = np.stack([np.cos(angles), np.sin(angles)], 1)
            middle = np.array([x - columns.start, y - rows.start])
            for channel, grow in enumerate((1.03, 1.0, 0.97)):
                points = np.rint((middle + radius * grow * corner) * 16).astype(np.int32)
                layer = np.zeros(part.shape[:2], np.uint8)
                cv2.fillPoly(layer, [points], 255, cv2.LINE_AA, shift=4)
                shape = scaled(layer, 1 / 255)
                # The rim is brighter than the inside.
                shape *= 0.45 + 0.55 * np.clip(1.6 - 1.6 * gaussian(shape, radius * 0.25), 0, 1)
                shape = gaussian(shape, max(0.6, radius * 0.05))
                part[:, :, channel] += level * float(hue[channel] * light[channel]) * shape
        if draw.chance("haze", 0.3):
            cloud = smooth_noise(height, width, 2, rng, octaves=1)[:, :, None]
            result += 0.15 * strength * cloud * light
        return result
