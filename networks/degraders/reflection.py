"""Reflection: a pane of glass that mirrors a second scene into the photo.

I = t T + w R, in linear light: R is out of focus, doubled by the back of the glass, and weighted
by Schlick's approximation of Fresnel's law over the pane.
"""

from collections.abc import Sequence
from typing import ClassVar

import cv2
import numpy as np

from catalog.degradations import Degradation
from catalog.images import Rgb
from catalog.settings.degraders import ReflectionRanges
from networks.degraders.base import Draw, ParametricDegrader, scale_of
from networks.degraders.imaging import gaussian, smooth_noise, to_linear, to_srgb


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


class ReflectionDegrader(ParametricDegrader[ReflectionRanges]):
    """One mirrored scene, taken from `layers`, or generated where there are none."""

    degradation: ClassVar[Degradation] = Degradation.REFLECTION

    def __init__(self, ranges: ReflectionRanges, layers: Sequence[Rgb] = ()) -> None:
        super().__init__(ranges)
        self.layers = layers

    def _apply(self, image: Rgb, draw: Draw) -> Rgb:
        ranges, rng = self.ranges, draw.rng
        height, width = image.shape[:2]
        scale = scale_of(image)
        scene = self._scene(image, draw)
        scene = gaussian(scene, max(0.3, draw.uniform("blur", ranges.blur) * scale))
        if draw.chance("ghost", ranges.ghost):
            shift = max(1.0, draw.uniform("double", ranges.double) * scale)
            angle = draw.uniform("angle", (0.0, 2 * float(np.pi)))
            move = np.array(
                [[1, 0, shift * np.cos(angle)], [0, 1, shift * np.sin(angle)]], np.float32
            )
            second = cv2.warpAffine(scene, move, (width, height), borderMode=cv2.BORDER_REFLECT_101)
            share = draw.uniform("share", (0.55, 0.8))
            scene = share * scene + (1 - share) * second
        # A brightly lit scene is what is seen in glass, whatever the photo of it was exposed for.
        scene = scene * (0.5 / max(float(np.percentile(scene, 97)), 0.05))
        # Dark scenes show their reflections; over bright parts they vanish by themselves.
        weight = draw.graded("weight", ranges.weight) * self._fresnel(height, width, draw)
        through = draw.graded("transmission", ranges.transmission)
        tint = 1 + rng.uniform(-0.08, 0.08, 3).astype(np.float32)
        return to_srgb(through * to_linear(image) + weight[:, :, None] * scene * tint)

    def _scene(self, image: Rgb, draw: Draw) -> np.ndarray:
        rng = draw.rng
        height, width = image.shape[:2]
        if not len(self.layers):
            draw.drawn["layer"] = "generated"
            return generated_scene(height, width, rng)
        index = int(rng.integers(len(self.layers)))
        if np.array_equal(self.layers[index], image):
            index = (index + 1) % len(self.layers)
        draw.drawn["layer"] = index
        layer = self.layers[index]
        share = rng.uniform(0.6, 1.0)
        h, w = max(8, int(layer.shape[0] * share)), max(8, int(layer.shape[1] * share))
        y = int(rng.integers(0, layer.shape[0] - h + 1))
        x = int(rng.integers(0, layer.shape[1] - w + 1))
        crop = layer[y : y + h, x : x + w]
        if rng.random() < 0.5:
            crop = crop[:, ::-1]
        crop = np.ascontiguousarray(crop)
        resized = cv2.resize(crop, (width, height), interpolation=cv2.INTER_AREA)
        return to_linear(resized)

    def _fresnel(self, height: int, width: int, draw: Draw) -> np.ndarray:
        """(h, w) weight, mean about 1: R0 + (1 - R0)(1 - cos a)^5 over the angles of the pane."""
        amount = draw.uniform("fresnel", self.ranges.fresnel)
        facing = draw.uniform("facing", (0.0, 2 * float(np.pi)))
        x = np.linspace(-0.5, 0.5, width, dtype=np.float32)[None, :]
        y = np.linspace(-0.5, 0.5, height, dtype=np.float32)[:, None]
        angle = np.radians(45 + 28 * (np.cos(facing) * x + np.sin(facing) * y) * 1.4)
        weight = 0.08 + 0.92 * (1 - np.cos(angle)) ** 5  # both faces of the glass: 2 x 0.04
        weight /= float(weight.mean())
        patches = smooth_noise(height, width, 2, draw.rng, octaves=1)
        return ((1 - amount + amount * weight) * (0.55 + 0.9 * patches)).astype(np.float32)
