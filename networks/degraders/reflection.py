"""Reflection: a pane of glass that mirrors a second scene into the photo.

I = t T + w R, in linear light: R is out of focus, doubled by the back of the glass, and weighted
by Schlick's approximation of Fresnel's law over the pane.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import cv2
import numpy as np

from catalog.degradations import Degradation
from catalog.images import Rgb
from catalog.settings.degraders import ReflectionRanges
from networks.degraders.base import Draw, ParametricDegrader, scale_of
from networks.degraders.fields import Field, draw_field, smooth_noise
from networks.degraders.imaging import gaussian, repeated, tinted, to_linear, to_srgb

LEVEL = 0.5
"""Linear light that the 97th percentile of a mirrored scene is brought to."""

PATCHES = (0.55, 0.9)
"""Least weight of the mirrored light over the pane, and how much more it may be."""


def generated_scene(height: int, width: int, rng: np.random.Generator) -> np.ndarray:
    """A room behind the photographer: windows, lamps, walls, figures; (h, w, 3) linear light."""
    warm = rng.uniform(0.75, 1.0, 3)
    wall = 0.12 * smooth_noise(height, width, 3, rng)[:, :, None] * warm
    scene = wall.astype(np.float32)
    for _ in range(int(rng.integers(3, 10))):
        level = float(rng.uniform(0.08, 0.9))
        colour = (level * rng.uniform(0.65, 1.0, 3)).tolist()
        x, y = rng.uniform(0, width), rng.uniform(0, height)
        if rng.random() < 0.5:  # a window, with its cross
            w, h = rng.uniform(0.06, 0.3) * width, rng.uniform(0.1, 0.45) * height
            lean = rng.uniform(-0.15, 0.15) * h
            corners = np.array([[x, y], [x + w, y + lean], [x + w, y + h + lean], [x, y + h]])
            cv2.fillPoly(scene, [np.rint(corners).astype(np.int32)], colour, cv2.LINE_AA)
            middle = np.rint([[x + w / 2, y + lean / 2], [x + w / 2, y + h + lean / 2]])
            bar = max(1, round(0.03 * w))
            first, last = (tuple(int(v) for v in point) for point in middle)
            cv2.line(scene, first, last, (0.02, 0.02, 0.02), bar, cv2.LINE_AA)
        elif rng.random() < 0.5:  # a lamp
            radius = max(1, round(rng.uniform(0.01, 0.05) * min(height, width)))
            cv2.circle(scene, (int(x), int(y)), radius, [2 * c for c in colour], -1, cv2.LINE_AA)
        else:  # a figure against the light
            w, h = rng.uniform(0.04, 0.12) * width, rng.uniform(0.25, 0.6) * height
            dark = [0.25 * c for c in colour]
            axes = (max(1, int(w)), max(1, int(h)))
            cv2.ellipse(scene, (int(x), height), axes, 0, 0, 360, dark, -1, cv2.LINE_AA)
            head = max(1, int(w * 0.55))
            at = (int(x), int(height - h - head * 0.6))
            cv2.circle(scene, at, head, dark, -1, cv2.LINE_AA)
    return scene


@dataclass(frozen=True)
class ReflectionPlan:
    """A mirrored scene and how much of it is seen."""

    scene: np.ndarray
    """(h, w, 3): uint8 sRGB of a photo, or float32 linear light of a generated scene."""
    blur: float
    """Sigma, px."""
    second: tuple[float, float] | None
    """(x, y) offset of the second image, px; None for a single one."""
    share: float
    """Of the first image where there are two."""
    weight: np.ndarray
    """(rows, columns) float32: Fresnel's weight times brightness, small, to be enlarged."""
    patches: Field
    """Uneven light on the mirrored side."""
    transmission: float
    tint: np.ndarray
    """(3,) float32."""


class ReflectionDegrader(ParametricDegrader[ReflectionRanges, ReflectionPlan]):
    """One mirrored scene, taken from `layers`, or generated where there are none."""

    degradation: ClassVar[Degradation] = Degradation.REFLECTION

    def __init__(self, ranges: ReflectionRanges, layers: Sequence[Rgb] = (), *sources: str) -> None:
        super().__init__(ranges, *sources)
        self.layers = layers

    def _plan(self, image: Rgb, draw: Draw) -> ReflectionPlan:
        ranges, rng = self.ranges, draw.rng
        height, width = image.shape[:2]
        scale = scale_of(image)
        scene = self._scene(image, draw)
        blur = max(0.3, draw.uniform("blur", ranges.blur) * scale)
        second, share = None, 1.0
        if draw.chance("ghost", ranges.ghost):
            shift = max(1.0, draw.uniform("double", ranges.double) * scale)
            angle = draw.uniform("angle", (0.0, 2 * float(np.pi)))
            second = (shift * float(np.cos(angle)), shift * float(np.sin(angle)))
            share = draw.uniform("share", (0.55, 0.8))
        # Dark scenes show their reflections; over bright parts they vanish by themselves.
        weight = draw.graded("weight", ranges.weight) * self._fresnel(height, width, draw)
        patches = draw_field(height, width, 2, rng, octaves=1)
        through = draw.graded("transmission", ranges.transmission)
        tint = (1 + rng.uniform(-0.08, 0.08, 3)).astype(np.float32)
        return ReflectionPlan(scene, blur, second, share, weight, patches, through, tint)

    def _render(self, image: Rgb, plan: ReflectionPlan) -> Rgb:
        height, width = image.shape[:2]
        scene = to_linear(plan.scene) if plan.scene.dtype == np.uint8 else plan.scene
        scene = gaussian(scene, plan.blur)
        if plan.second is not None:
            move = np.array([[1, 0, plan.second[0]], [0, 1, plan.second[1]]], np.float32)
            other = cv2.warpAffine(scene, move, (width, height), borderMode=cv2.BORDER_REFLECT_101)
            scene = cv2.addWeighted(scene, plan.share, other, 1 - plan.share, 0)
        # A brightly lit scene is what is seen in glass, whatever the photo of it was exposed for.
        level = LEVEL / max(float(np.percentile(scene[::4, ::4], 97)), 0.05)
        weight = cv2.resize(plan.weight, (width, height), interpolation=cv2.INTER_LINEAR)
        weight = weight * (PATCHES[0] + PATCHES[1] * plan.patches.on(height, width))
        mirrored = tinted(cv2.multiply(scene, repeated(weight)), plan.tint * np.float32(level))
        return to_srgb(cv2.scaleAdd(to_linear(image), plan.transmission, mirrored, dst=mirrored))

    def _scene(self, image: Rgb, draw: Draw) -> np.ndarray:
        rng = draw.rng
        height, width = image.shape[:2]
        itself = len(self.layers) == 1 and np.array_equal(self.layers[0], image)
        if itself or not len(self.layers):
            draw.drawn["layer"] = "generated"
            return generated_scene(height, width, rng)
        index = int(rng.integers(len(self.layers)))
        if np.array_equal(self.layers[index], image):
            index = (index + 1) % len(self.layers)
        draw.drawn["layer"] = index
        layer = self.layers[index]
        share = rng.uniform(0.6, 1.0)
        h, w = (min(n, max(8, int(n * share))) for n in layer.shape[:2])
        y = int(rng.integers(0, layer.shape[0] - h + 1))
        x = int(rng.integers(0, layer.shape[1] - w + 1))
        crop = layer[y : y + h, x : x + w]
        if rng.random() < 0.5:
            crop = crop[:, ::-1]
        crop = np.ascontiguousarray(crop)
        return cv2.resize(crop, (width, height), interpolation=cv2.INTER_AREA)

    def _fresnel(self, height: int, width: int, draw: Draw) -> np.ndarray:
        """Weight, mean about 1: R0 + (1 - R0)(1 - cos a)^5 over the angles of the pane; small."""
        amount = draw.uniform("fresnel", self.ranges.fresnel)
        facing = draw.uniform("facing", (0.0, 2 * float(np.pi)))
        rows, columns = min(height, 64), min(width, 64)
        x = (np.arange(columns, dtype=np.float32)[None, :] + 0.5) / columns - 0.5
        y = (np.arange(rows, dtype=np.float32)[:, None] + 0.5) / rows - 0.5
        angle = np.radians(45 + 28 * (np.cos(facing) * x + np.sin(facing) * y) * 1.4)
        weight = 0.08 + 0.92 * (1 - np.cos(angle)) ** 5  # both faces of the glass: 2 x 0.04
        weight /= float(weight.mean())
        return (1 - amount + amount * weight).astype(np.float32)
