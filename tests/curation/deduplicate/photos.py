"""Photos that installed packages ship, and the ways in which copies of them differ."""

import io
from collections.abc import Callable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pyarrow as pa
from PIL import Image

from catalog import schemas
from catalog.images import decode, image_id, read_header
from curation.deduplicate.prints import Prints, make_prints
from curation.hash import hash_image

NAMES = (
    "astronaut.png",
    "chelsea.png",
    "coffee.png",
    "rocket.jpg",
    "motorcycle_left.png",
    "hubble_deep_field.jpg",
    "retina.jpg",
    "coins.png",
    "ihc.png",
    "camera.png",
)

Rgb = np.ndarray


@lru_cache(maxsize=1)
def photos() -> tuple[Rgb, ...]:
    """Ten different photos, (height, width, 3) uint8, at most 480 pixels a side."""
    import skimage

    found = []
    for name in NAMES:
        image = Image.open(Path(skimage.__file__).parent / "data" / name).convert("RGB")
        image.thumbnail((480, 480))
        found.append(np.asarray(image))
    return tuple(found)


def jpeg(image: Rgb, quality: int = 92) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "JPEG", quality=quality)
    return buffer.getvalue()


def crop(image: Rgb, left: float, top: float, right: float, bottom: float) -> Rgb:
    height, width = image.shape[:2]
    part = image[round(top * height) : round(bottom * height)]
    return np.ascontiguousarray(part[:, round(left * width) : round(right * width)])


def turn(image: Rgb, degrees: float) -> Rgb:
    height, width = image.shape[:2]
    matrix = cv2.getRotationMatrix2D((width / 2, height / 2), degrees, 1)
    return cv2.warpAffine(image, matrix, (width, height))


def pad(image: Rgb, share: float, level: int) -> Rgb:
    y, x = (round(n * share) for n in image.shape[:2])
    return cv2.copyMakeBorder(image, y, y, x, x, cv2.BORDER_CONSTANT, value=(level,) * 3)


def noise(image: Rgb, sigma: float) -> Rgb:
    grain = np.random.default_rng(7).normal(0, sigma, image.shape)
    return np.clip(image + grain, 0, 255).astype(np.uint8)


def text(image: Rgb) -> Rgb:
    over = image.copy()
    place = (10, image.shape[0] // 2)
    cv2.putText(over, "SOLD OUT", place, cv2.FONT_HERSHEY_SIMPLEX, 1.6, (255, 255, 255), 4)
    return over


def watermark(image: Rgb) -> Rgb:
    over = image.copy()
    for y in range(60, image.shape[0], 110):
        cv2.putText(over, "stock", (20, y), cv2.FONT_HERSHEY_SIMPLEX, 2, (255, 255, 255), 5)
    return cv2.addWeighted(image, 0.65, over, 0.35, 0)


def resize(image: Rgb, factor: float) -> Rgb:
    return cv2.resize(image, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA)


def gamma(image: Rgb, power: float) -> Rgb:
    return (255 * (image / 255.0) ** power).astype(np.uint8)


def blur(image: Rgb, sigma: float) -> Rgb:
    return cv2.GaussianBlur(image, (0, 0), sigma)


def dark(image: Rgb) -> Rgb:
    return noise((255 * (image / 255 * 0.35) ** 1.6).astype(np.uint8), 4)


def haze(image: Rgb) -> Rgb:
    return (image * 0.45 + 0.55 * 215).astype(np.uint8)


def motion(image: Rgb, length: int) -> Rgb:
    kernel = np.zeros((length, length), np.float32)
    kernel[length // 2] = 1 / length
    return cv2.filter2D(image, -1, kernel)


KEEP_FRAME: dict[str, Callable[[Rgb], bytes]] = {
    "quality 90": lambda image: jpeg(image, 90),
    "quality 70": lambda image: jpeg(image, 70),
    "quality 50": lambda image: jpeg(image, 50),
    "quality 30": lambda image: jpeg(image, 30),
    "half size": lambda image: jpeg(resize(image, 0.5)),
    "third size": lambda image: jpeg(resize(image, 0.33)),
    "twice the size": lambda image: jpeg(resize(image, 2)),
    "half size, quality 50": lambda image: jpeg(resize(image, 0.5), 50),
    "mirror": lambda image: jpeg(image[:, ::-1]),
    "gamma 0.6": lambda image: jpeg(gamma(image, 0.6)),
    "gamma 1.6": lambda image: jpeg(gamma(image, 1.6)),
    "blur 2": lambda image: jpeg(blur(image, 2)),
    "noise 15": lambda image: jpeg(noise(image, 15)),
    "watermark": lambda image: jpeg(watermark(image)),
    "text": lambda image: jpeg(text(image)),
}
MOVE_FRAME: dict[str, Callable[[Rgb], bytes]] = {
    "crop 5 %": lambda image: jpeg(crop(image, 0.05, 0.05, 0.95, 0.95)),
    "crop 10 %": lambda image: jpeg(crop(image, 0.1, 0.1, 0.9, 0.9)),
    "pad 20 % black": lambda image: jpeg(pad(image, 0.2, 0)),
    "pad 20 % white": lambda image: jpeg(pad(image, 0.2, 255)),
    "turn 4 degrees": lambda image: jpeg(turn(image, 4)),
    "turn -4 degrees": lambda image: jpeg(turn(image, -4)),
}
OFF_CENTRE: dict[str, Callable[[Rgb], bytes]] = {
    "crop 10 % of one side": lambda image: jpeg(crop(image, 0, 0, 0.9, 1)),
}
"""Found by hash and layout for the most part only, by local features always."""
DEGRADED: dict[str, Callable[[Rgb], bytes]] = {
    "quality 10": lambda image: jpeg(image, 10),
    "quality 5, saved again at 92": lambda image: jpeg(decode(jpeg(image, 5)), 92),
    "blur 5": lambda image: jpeg(blur(image, 5)),
    "motion blur 15": lambda image: jpeg(motion(image, 15)),
    "noise 40": lambda image: jpeg(noise(image, 40)),
    "dark": lambda image: jpeg(dark(image)),
    "haze": lambda image: jpeg(haze(image)),
}
"""Versions that differ clearly in severity of a degradation."""


@lru_cache(maxsize=300)
def _hashed(data: bytes) -> dict[str, Any]:
    return hash_image(data, 256)


def prints_of(encoded: Sequence[bytes]) -> Prints:
    """Fingerprints of encoded images, in their order."""
    rows = []
    for data in encoded:
        header = read_header(data)
        sizes = {"width": header.width, "height": header.height, "format": header.format}
        rows.append({"image_id": image_id(data), **sizes, **_hashed(data)})

    def table(schema: pa.Schema) -> pa.Table:
        lines = [{k: v for k, v in row.items() if k in schema.names} for row in rows]
        return pa.Table.from_pylist(lines, schema=schema)

    return make_prints(table(schemas.HASHES), table(schemas.FINGERPRINTS))
