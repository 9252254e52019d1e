"""Degraded versions of the photos, as the web would hold them, with the severity of each."""

import io
import json
from dataclasses import asdict, dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import TypeVar

import cv2
import numpy as np
from PIL import Image

from catalog.degradations import Degradation
from catalog.files import atomic_file
from catalog.images import Rgb, image_id
from networks.degraders import load_degrader
from networks.judges.proxy.fit.photos import all_photos

Values = TypeVar("Values", float, np.ndarray)

KINDS = ("clean", "clean", *(d.value for d in Degradation), "mixed")
"""What a round makes of each photo."""


@dataclass(frozen=True)
class Sample:
    """What is known of one sample."""

    photo: int
    kind: str
    seed: int
    severities: dict[str, float] = field(default_factory=dict)
    """Degradation to target severity; what is not named is 5."""


def judged_severity(synthesis: Values) -> Values:
    """A degrader's severity on the judge's scale.

    The degraders' 5 is barely visible, the judge's 5 is none, so 1 .. 5 becomes 1 .. 4.2.
    """
    return 1 + (synthesis - 1) * 0.8


def write_round(folder: Path, photos: Path, photo: int, number: int) -> None:
    """All samples of one photo in round `number`, below `folder`; what is there is kept."""
    place = folder / f"{number:03d}-{photo:03d}.json"
    if place.exists():
        return
    cv2.setNumThreads(1)
    source = _load(photos, photo)
    lines = []
    for index, kind in enumerate(KINDS):
        seed = (number * 1000 + photo) * 100 + index
        data, severities = _make(source, kind, np.random.default_rng(seed), photos, photo)
        (folder / f"{image_id(data)}.bin").write_bytes(data)
        sample = asdict(Sample(photo, kind, seed, severities))
        lines.append({"image_id": image_id(data), **sample})
    with atomic_file(place) as temporary:
        temporary.write_text(json.dumps(lines), "utf-8")


@lru_cache(maxsize=4)
def _load(photos: Path, index: int) -> Rgb:
    image = all_photos()[index].load(photos)
    share = 2200 / max(image.shape[:2])
    if share < 1:
        image = cv2.resize(image, None, fx=share, fy=share, interpolation=cv2.INTER_AREA)
    return image


def _make(
    photo: Rgb, kind: str, rng: np.random.Generator, photos: Path, index: int
) -> tuple[bytes, dict[str, float]]:
    image = develop(_crop(photo, rng), rng)
    severities: dict[str, float] = {}
    if kind == "mixed":
        first, second = rng.choice(list(Degradation), 2, replace=False)
        plan = [(Degradation(first), (1.0, 3.5)), (Degradation(second), (2.5, 5.0))]
    else:
        plan = [] if kind == "clean" else [(Degradation(kind), (1.0, 5.0))]
    # Codecs come last on the web, whatever else was there before.
    for degradation, span in sorted(plan, key=lambda step: step[0] == Degradation.COMPRESSION):
        severity = float(rng.uniform(*span))
        severities[degradation.value] = judged_severity(severity)
        image = _degrade(image, degradation, severity, rng, photos, index)
    return publish(image, rng, keep="compression" in severities), severities


def _crop(photo: Rgb, rng: np.random.Generator) -> Rgb:
    height, width = photo.shape[:2]
    aspect = float(
        rng.choice([1.5, 1.33, 1.78, 1.0, 0.75, 0.67], p=[0.35, 0.2, 0.2, 0.1, 0.1, 0.05])
    )
    tall = float(rng.uniform(0.45, 1.0)) * min(height, width / aspect)
    rows, columns = int(tall), int(tall * aspect)
    down, right = rng.integers(0, height - rows + 1), rng.integers(0, width - columns + 1)
    crop = photo[down : down + rows, right : right + columns]
    longer = int(np.exp(rng.uniform(np.log(360), np.log(1400))))
    share = longer / max(crop.shape[:2])
    if share < 1:
        crop = cv2.resize(crop, None, fx=share, fy=share, interpolation=cv2.INTER_AREA)
    return np.ascontiguousarray(crop[:, ::-1] if rng.random() < 0.5 else crop)


def develop(image: Rgb, rng: np.random.Generator) -> Rgb:
    """Tone, saturation, sharpening and grain as cameras and people choose them: still clean."""
    values = image.astype(np.float32) / 255
    values = values ** float(np.exp(rng.uniform(-0.25, 0.3)))
    grey = values.mean(axis=2, keepdims=True)
    colour = 0.0 if rng.random() < 0.06 else float(rng.uniform(0.6, 1.35))
    values = grey + (values - grey) * colour
    contrast = float(rng.uniform(0.85, 1.15))
    values = (values - values.mean()) * contrast + values.mean()
    if rng.random() < 0.4:
        soft = cv2.GaussianBlur(values, (0, 0), 1.0)
        values = values + float(rng.uniform(0.1, 0.8)) * (values - soft)
    if rng.random() < 0.5:
        values = values + rng.normal(0, rng.uniform(0.2, 2.0) / 255, values.shape)
    return (np.clip(values, 0, 1) * 255 + 0.5).astype(np.uint8)


def _degrade(
    image: Rgb,
    degradation: Degradation,
    severity: float,
    rng: np.random.Generator,
    photos: Path,
    index: int,
) -> Rgb:
    if degradation is Degradation.COMPRESSION and rng.random() < 0.5:
        return _low_resolution(image, severity, rng)
    if degradation is Degradation.LOW_LIGHT and rng.random() < 0.4:
        return backlit(image, severity, rng)
    layers: list[Rgb] = []
    if degradation is Degradation.REFLECTION and rng.random() < 0.8:
        others = [i for i in range(len(all_photos())) if i != index]
        layers = [_load(photos, int(rng.choice(others)))]
    degraded = load_degrader(degradation, layers=layers).degrade(image, severity, rng)
    if degradation is Degradation.FLARE and rng.random() < 0.5:
        return sun_glow(degraded, severity, rng)
    if degradation is Degradation.HAZE and rng.random() < 0.4:
        return _darker(degraded, float(rng.uniform(1.0, 1.8)))
    return degraded


def backlit(image: Rgb, severity: float, rng: np.random.Generator) -> Rgb:
    """Shadows under a bright sky: only the darker parts of the scene lose light."""
    strength = (5 - severity) / 4
    values = (image.astype(np.float32) / 255) ** 2.2
    spread = max(image.shape[:2]) * float(rng.uniform(0.01, 0.06))
    bright = cv2.GaussianBlur(values.max(axis=2), (0, 0), spread)
    edge = float(np.quantile(bright, rng.uniform(0.45, 0.95)))
    lit = 1 / (1 + np.exp(-(np.log(bright + 1e-3) - np.log(edge + 1e-3)) * 2.5))
    stops = 1 + 4 * strength + float(rng.normal(0, 0.2))
    values = values * (2.0**-stops + (1 - 2.0**-stops) * lit)[:, :, None]
    values = values + rng.normal(0, 0.002 * strength, values.shape)
    return (np.clip(values, 0, 1) ** (1 / 2.2) * 255 + 0.5).astype(np.uint8)


def sun_glow(image: Rgb, severity: float, rng: np.random.Generator) -> Rgb:
    """A low sun in or beside the frame: a warm veil that fades with distance, and soft discs."""
    strength = (5 - severity) / 4
    height, width = image.shape[:2]
    longer = max(height, width)
    rows, columns = np.indices((height, width), dtype=np.float32)
    y, x = rng.uniform(-0.15, 0.6) * height, rng.uniform(-0.15, 1.15) * width
    distance = np.hypot(rows - y, columns - x) / longer
    colour = np.array([1.0, rng.uniform(0.6, 0.95), rng.uniform(0.15, 0.8)], np.float32)
    glow = np.exp(-distance / float(rng.uniform(0.15, 0.45))) * (0.2 + 0.75 * strength)
    light = glow[:, :, None] * colour
    for _ in range(int(rng.integers(0, 6))):
        share = float(rng.uniform(-0.6, 1.4))
        centre = (y + (height / 2 - y) * (1 + share), x + (width / 2 - x) * (1 + share))
        size = float(rng.uniform(0.01, 0.06))
        away = np.hypot(rows - centre[0], columns - centre[1]) / longer
        disc = 1 / (1 + np.exp((away - size) / (0.05 * size + 5e-4)))
        tint = rng.uniform(0.1, 1.0, 3).astype(np.float32)
        light = light + disc[:, :, None] * tint * float(rng.uniform(0.1, 0.6)) * strength
    values = 1 - (1 - image.astype(np.float32) / 255) * (1 - np.clip(light, 0, 1))
    return (values * 255 + 0.5).astype(np.uint8)


def _darker(image: Rgb, gamma: float) -> Rgb:
    return (((image.astype(np.float32) / 255) ** gamma) * 255 + 0.5).astype(np.uint8)


def _low_resolution(image: Rgb, severity: float, rng: np.random.Generator) -> Rgb:
    """Scaled down by up to 4.5, JPEG, and scaled up again: RealRestorer's web chain."""
    strength = (5 - severity) / 4
    share = 1 / float(np.clip(1.4 + 3.1 * strength + rng.normal(0, 0.2), 1.2, 4.6))
    size = image.shape[1::-1]
    way = int(rng.choice([cv2.INTER_AREA, cv2.INTER_CUBIC]))
    small = cv2.resize(image, None, fx=share, fy=share, interpolation=way)
    small = np.asarray(Image.open(io.BytesIO(_jpeg(small, int(90 - 45 * strength)))))
    back = int(rng.choice([cv2.INTER_CUBIC, cv2.INTER_LINEAR, cv2.INTER_LANCZOS4]))
    return cv2.resize(small, size, interpolation=back)


def publish(image: Rgb, rng: np.random.Generator, keep: bool) -> bytes:
    """The bytes a site would serve. `keep` leaves the size, so that a JPEG grid survives."""
    if not keep and rng.random() < 0.25 and min(image.shape[:2]) > 300:
        share = float(rng.uniform(0.6, 1.0))
        image = cv2.resize(image, None, fx=share, fy=share, interpolation=cv2.INTER_AREA)
    fate = rng.random()
    if fate < 0.15:
        buffer = io.BytesIO()
        Image.fromarray(image).save(buffer, "PNG", compress_level=1)
        return buffer.getvalue()
    if fate < 0.3:
        buffer = io.BytesIO()
        Image.fromarray(image).save(buffer, "WEBP", quality=int(rng.integers(80, 97)), method=2)
        return buffer.getvalue()
    return _jpeg(image, int(rng.integers(80, 98)))


def _jpeg(image: Rgb, quality: int) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "JPEG", quality=quality)
    return buffer.getvalue()
