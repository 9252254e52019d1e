"""What the small web holds: photos clean and degraded, their copies, and what goes wrong out there.

`build` is deterministic: the same seed and size give the same bytes at the same paths.
"""

import io
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
from PIL import Image, ImageDraw

from catalog.degradations import Degradation
from catalog.images import Rgb, encode_png
from flows.demo_web.hostile import faults
from flows.demo_web.page import Page
from flows.demo_web.photos import PHOTOS, Photo, tiles
from flows.demo_web.weather import MODELS

_TILE = 200
_FLAT = 12.0
"""Tiles whose grey values deviate less than this are sky or wall: nothing to see in them."""


@dataclass(frozen=True)
class Size:
    """How much of each kind the web holds."""

    clean: int = 30
    degraded: int = 10
    """Scenes of each of the nine degradations."""

    copies: int = 10
    """Of each of the kinds of copies."""

    benchmark: int = 6
    """Held-out images of each degradation."""


@dataclass(frozen=True)
class Site:
    """Pages by path, and the held-out benchmark images."""

    pages: dict[str, Page]
    benchmark: dict[str, bytes]
    """PNG bytes by path below data/benchmark, such as "rain/rocket-2.png"."""


@dataclass(frozen=True)
class _Scene:
    photo: Photo
    name: str
    image: Rgb = field(repr=False)


def build(seed: int = 2603, size: Size | None = None) -> Site:
    """Make the web and the benchmark; no held-out photo is on the web but as a planted copy."""
    size = size or Size()
    rng = np.random.default_rng(seed)
    held_out, shown = _scenes(True), _scenes(False)
    shown = [shown[i] for i in rng.permutation(len(shown))]
    benchmark = dict(_benchmark(held_out, size.benchmark, rng))
    pages = [_photo_page("clean", scene, scene.image, rng) for scene in shown[: size.clean]]
    for degradation in Degradation:
        for scene in _take(shown, size.degraded, rng):
            image = _degrade(scene, degradation, shown, rng)
            pages.append(_photo_page(degradation.value, scene, image, rng))
    originals = list(pages)
    pages += _copies(originals, size.copies, rng)
    pages += _watermarked(shown, size.copies, rng)
    pages += _planted(benchmark, max(2, size.copies // 2), rng)
    pages += faults(originals)
    return Site({page.key: page for page in pages}, benchmark)


def _scenes(held_out: bool) -> list[_Scene]:
    found = []
    for photo in PHOTOS:
        if photo.held_out == held_out:
            for number, tile in enumerate(tiles(photo.load(), _TILE)[: photo.scenes]):
                if tile.mean(axis=2).std() >= _FLAT:
                    found.append(_Scene(photo, f"{photo.name}-{number}", tile))
    return found


def _take(scenes: list[_Scene], count: int, rng: np.random.Generator) -> list[_Scene]:
    order = rng.permutation(len(scenes))
    return [scenes[order[i % len(order)]] for i in range(min(count, len(scenes)))]


def _degrade(
    scene: _Scene, degradation: Degradation, others: list[_Scene], rng: np.random.Generator
) -> Rgb:
    strength = rng.uniform(0.3, 1.0)
    if degradation is Degradation.REFLECTION:
        from flows.demo_web.weather import reflection

        return reflection(scene.image, strength, rng, others[rng.integers(len(others))].image)
    return MODELS[degradation](scene.image, strength, rng)


def _benchmark(
    scenes: list[_Scene], count: int, rng: np.random.Generator
) -> Iterator[tuple[str, bytes]]:
    for degradation in Degradation:
        for scene in _take(scenes, count, rng):
            image = _degrade(scene, degradation, scenes, rng)
            yield f"{degradation.value}/{scene.name}.png", encode_png(image)


def _encode(image: Rgb, kind: str, quality: int = 92) -> bytes:
    buffer = io.BytesIO()
    options = {} if kind == "PNG" else {"quality": quality}
    Image.fromarray(image).save(buffer, kind, **options)
    return buffer.getvalue()


def _photo_page(query: str, scene: _Scene, image: Rgb, rng: np.random.Generator) -> Page:
    kind = str(rng.choice(["JPEG", "JPEG", "JPEG", "PNG", "WEBP"]))
    return Page(
        f"/{query}/{scene.name}.{kind.lower()}",
        _encode(image, kind),
        f"image/{kind.lower()}",
        "photo",
        query=query,
        license=scene.photo.license,
        creator=scene.photo.creator,
    )


def _copy(page: Page, how: str, body: bytes, kind: str) -> Page:
    name = page.path.strip("/").replace("/", "-").rsplit(".", 1)[0]
    return Page(
        f"/copies/{how}/{name}.{kind.lower()}",
        body,
        f"image/{kind.lower()}",
        how,
        query=page.query,
        license=page.license,
        creator=page.creator,
    )


def _resize(image: Image.Image, scale: float) -> Rgb:
    wide, tall = (round(side * scale) for side in image.size)
    return np.asarray(image.resize((wide, tall), Image.Resampling.LANCZOS))


def _copies(originals: list[Page], count: int, rng: np.random.Generator) -> Iterator[Page]:
    for how in ("exact", "re-encoded", "resized", "cropped", "thumbnail"):
        for index in rng.permutation(len(originals))[:count]:
            page = originals[index]
            if how == "exact":
                yield _copy(page, how, page.body, page.content_type.split("/")[1])
                continue
            image = Image.open(io.BytesIO(page.body)).convert("RGB")
            if how == "re-encoded":
                new, quality = np.asarray(image), int(rng.integers(60, 80))
            elif how == "resized":
                new, quality = _resize(image, float(rng.choice([0.8, 1.25, 1.6]))), 88
            elif how == "cropped":
                wide, tall = image.size
                left, top = (int(side * rng.uniform(0.02, 0.06)) for side in (wide, tall))
                new = np.asarray(image.crop((left, top, wide - left // 2, tall - top // 2)))
                quality = 90
            else:
                new, quality = _resize(image, 60 / max(image.size)), 80
            yield _copy(page, how, _encode(new, "JPEG", quality), "JPEG")


def _watermarked(scenes: list[_Scene], count: int, rng: np.random.Generator) -> Iterator[Page]:
    degradations = list(Degradation)
    for number, scene in enumerate(_take(scenes, count, rng)):
        degradation = degradations[number % len(degradations)]
        degraded = Image.fromarray(_degrade(scene, degradation, scenes, rng)).convert("RGBA")
        layer = Image.new("RGBA", degraded.size)
        draw = ImageDraw.Draw(layer)
        for row in range(0, degraded.height, 60):
            draw.text(
                (10 + row % 50, row + 12),
                "STOCK PHOTO  STOCK PHOTO",
                (255, 255, 255, 150),
                font_size=22,
            )
        marked = np.asarray(Image.alpha_composite(degraded, layer).convert("RGB"))
        page = _photo_page(degradation.value, scene, marked, rng)
        yield _copy(page, "watermarked", page.body, page.content_type.split("/")[1])


def _planted(benchmark: dict[str, bytes], count: int, rng: np.random.Generator) -> Iterator[Page]:
    """Near-copies of benchmark images: decontamination must find them."""
    names = sorted(benchmark)
    for index in rng.permutation(len(names))[:count]:
        name = names[index]
        image = Image.open(io.BytesIO(benchmark[name])).convert("RGB")
        body = _encode(_resize(image, 1.25), "JPEG", 85)
        page = Page(f"/{name}", body, "image/jpeg", "planted", query=name.split("/")[0])
        yield _copy(page, "planted", body, "JPEG")
