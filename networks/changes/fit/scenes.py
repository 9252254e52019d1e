"""Pairs to learn from: sound ones as teachers make them, and those with a changed content."""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from catalog.degradations import Degradation
from catalog.images import Rgb, decode
from networks.changes.fit.faults import change
from networks.changes.maps import STRIDE, change_maps
from networks.degraders import load_degrader
from networks.judges.proxy.fit.samples import backlit, develop, publish, sun_glow

SEVERITIES = (1.0, 4.0)
ASPECTS = (1.5, 1.0)
SIDES = (280, 500)


@dataclass(frozen=True)
class Scene:
    """Maps of one pair."""

    maps: np.ndarray
    """(CHANNELS, h, w) float16"""
    cells: np.ndarray
    """(h, w) bool: changed"""
    task: int


def make(photos: Sequence[Rgb], index: int, task: Degradation, seed: int) -> list[Scene]:
    """Two sound pairs and up to three changed ones of one photo and one degraded image."""
    rng = np.random.default_rng([20261125, index, list(Degradation).index(task), seed])
    others = [int(i) for i in rng.choice(len(photos), 3, replace=False) if i != index]
    aspect = ASPECTS[0] if rng.random() < 0.7 else ASPECTS[1]
    photo = develop(_crop(photos[index], aspect, rng), rng)
    other, layer = photos[others[0]], photos[others[1]]
    given, missing = photo, None
    if rng.random() < 0.5:  # the degraded side is the one that has more, or less
        missing = change(photo, other, rng)
        given = missing.image if missing else photo
    degraded = _degrade(given, task, rng, layer)
    none = np.zeros(photo.shape[:2], np.float32)
    targets = [(given, none), (given, none)]
    if missing:
        targets.append((photo, missing.mask))
    for _ in range(2):
        changed = change(given, other, rng)
        if changed:
            targets.append((changed.image, changed.mask))
    number = list(Degradation).index(task)
    scenes = []
    for target, mask in targets:
        made = taught(target, degraded, rng)
        maps = change_maps(degraded, made).astype(np.float16)
        size = maps.shape[:0:-1]
        cells = cv2.resize(mask, size, interpolation=cv2.INTER_AREA) > 0.4
        scenes.append(Scene(maps, cells, number))
    return scenes


def taught(target: Rgb, degraded: Rgb, rng: np.random.Generator) -> Rgb:
    """The target as a teacher would make it: imperfect in tone, sharpness, place and restoration.

    All this is sound, or for other rules to say.
    """
    values: np.ndarray = target.astype(np.float32)
    if rng.random() < 0.4:
        return target
    if rng.random() < 0.5:  # some of the degradation is left
        values += (degraded.astype(np.float32) - values) * float(rng.uniform(0, 0.3))
    if rng.random() < 0.4:
        offset = rng.normal(0, 0.3, 2).clip(-0.5, 0.5)
        matrix = np.array([[1, 0, offset[0]], [0, 1, offset[1]]], np.float32)
        size = target.shape[1::-1]
        values = cv2.warpAffine(values, matrix, size, borderMode=cv2.BORDER_REFLECT_101)
    if rng.random() < 0.4:
        soft = cv2.GaussianBlur(values, (0, 0), float(rng.uniform(0.6, 1.6)))
        values = values + float(rng.uniform(-0.9, 0.9)) * (values - soft)
    if rng.random() < 0.5:
        gains = np.exp(rng.normal(0, 0.1) + rng.normal(0, 0.05, 3))
        values = 255 * np.clip(values / 255, 0, 1) ** float(np.exp(rng.normal(0, 0.2))) * gains
    if rng.random() < 0.3:
        small = cv2.bilateralFilter(np.clip(values, 0, 255).astype(np.float32), 5, 20, 3)
        values = small
    return (np.clip(values, 0, 255) + 0.5).astype(np.uint8)


def _degrade(image: Rgb, task: Degradation, rng: np.random.Generator, layer: Rgb) -> Rgb:
    severity = float(rng.uniform(*SEVERITIES))
    if rng.random() < 0.25:  # real images have a second weakness
        more = list(Degradation)[int(rng.integers(len(Degradation)))]
        image = load_degrader(more).degrade(image, float(rng.uniform(3.5, 5.0)), rng)
    if task is Degradation.LOW_LIGHT and rng.random() < 0.3:
        image = backlit(image, severity, rng)
    else:
        layers = [layer] if rng.random() < 0.8 else []
        image = load_degrader(task, layers=layers).degrade(image, severity, rng)
        if task is Degradation.FLARE and rng.random() < 0.4:
            image = sun_glow(image, severity, rng)
    return decode(publish(image, rng, keep=True)) if rng.random() < 0.5 else image


def _crop(photo: Rgb, aspect: float, rng: np.random.Generator) -> Rgb:
    height, width = photo.shape[:2]
    tall = float(rng.uniform(0.55, 1.0)) * min(height, width / aspect)
    rows, columns = int(tall), int(tall * aspect)
    down, right = rng.integers(0, [height - rows + 1, width - columns + 1])
    crop = photo[down : down + rows, right : right + columns]
    side = float(np.exp(rng.uniform(*np.log(SIDES))))
    size = (round(side), round(side / aspect))
    how = cv2.INTER_AREA if side < columns else cv2.INTER_CUBIC
    crop = cv2.resize(crop, size, interpolation=how)
    return np.ascontiguousarray(crop[:, ::-1] if rng.random() < 0.5 else crop)


__all__ = ["ASPECTS", "STRIDE", "Scene", "make", "taught"]
