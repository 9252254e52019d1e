"""Decoding of hostile and unusual bytes."""

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from catalog.errors import ImageRefused
from catalog.images import decode, encode_png, read_header


def _bytes(image: Image.Image, kind: str = "PNG", **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def _bomb(side: int) -> bytes:
    def chunk(name: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
        )

    header = struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(b""))
        + chunk(b"IEND", b"")
    )


def test_a_bomb_is_refused_from_its_header() -> None:
    for side in (12_000, 60_000):
        with pytest.raises(ImageRefused) as caught:
            read_header(_bomb(side))
        assert caught.value.reason == "too-many-pixels"


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"<html><img></html>", "not-an-image"),
        (b"", "not-an-image"),
        (_bytes(Image.effect_noise((64, 64), 50), "JPEG")[:-500], "broken-image"),
        (_bytes(Image.new("RGB", (8, 8)), "PPM"), "not-an-image"),
    ],
    ids=["html", "empty", "truncated", "format-not-allowed"],
)
def test_what_is_no_whole_image_is_refused_by_name(data: bytes, reason: str) -> None:
    with pytest.raises(ImageRefused) as caught:
        decode(data)
    assert caught.value.reason == reason


def test_exif_orientation_is_applied() -> None:
    image = Image.new("RGB", (30, 20))
    exif = Image.Exif()
    exif[0x0112] = 6
    assert decode(_bytes(image, "JPEG", exif=exif)).shape == (30, 20, 3)


@pytest.mark.parametrize(
    ("image", "pixel"),
    [
        (Image.new("L", (4, 4), 100), (100, 100, 100)),
        (Image.fromarray(np.full((4, 4), 25700, np.uint16)), (100, 100, 100)),
        (Image.new("RGBA", (4, 4), (10, 20, 30, 0)), (255, 255, 255)),
        (Image.new("LA", (4, 4), (10, 255)), (10, 10, 10)),
        (Image.new("P", (4, 4), 0), (0, 0, 0)),
        (Image.new("1", (1, 1), 1), (255, 255, 255)),
    ],
    ids=["grey", "16-bit", "transparent", "grey-alpha", "palette", "one-pixel"],
)
def test_every_mode_becomes_rgb(image: Image.Image, pixel: tuple[int, int, int]) -> None:
    assert tuple(decode(_bytes(image))[0, 0]) == pixel


def test_cmyk_is_decoded() -> None:
    image = Image.new("CMYK", (4, 4), (0, 255, 255, 0))
    red, green, blue = decode(_bytes(image, "JPEG", quality=95))[0, 0]
    assert red > 200
    assert green < 60
    assert blue < 60


def test_png_encoding_round_trips() -> None:
    image = np.random.default_rng(0).integers(0, 256, (5, 7, 3), dtype=np.uint8)
    assert np.array_equal(decode(encode_png(image)), image)
