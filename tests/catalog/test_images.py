"""Decoding of hostile and unusual bytes."""

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import ExifTags, Image, ImageOps

from catalog.errors import ImageRefused
from catalog.images import decode, decode_luma, encode_png, middle, read_header


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


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
@pytest.mark.parametrize("orientation", [1, 2, 3, 4, 5, 6, 7, 8, 9])
def test_every_orientation_is_turned_as_pillow_turns_it(kind: str, orientation: int) -> None:
    image = Image.fromarray(np.random.default_rng(0).integers(0, 256, (20, 30, 3), np.uint8))
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    data = _bytes(image, kind, exif=exif)
    wanted = ImageOps.exif_transpose(Image.open(io.BytesIO(data))).convert("RGB")
    assert np.array_equal(decode(data), np.asarray(wanted))


@pytest.mark.parametrize(
    "tag",
    [
        (ExifTags.Base.XResolution, 2, 4, b"abc\0"),
        (ExifTags.Base.ImageWidth, 9, 1, b"\xff\xff\xff\xff"),
        (ExifTags.Base.StripOffsets, 7, 4, b"abc\0"),
    ],
)
def test_a_wrong_tag_in_the_exif_refuses_no_photo(tag: tuple[int, int, int, bytes]) -> None:
    entries = sorted([tag, (ExifTags.Base.Orientation, 3, 1, b"\0\6\0\0")])
    block = b"".join(struct.pack(">HHI4s", *entry) for entry in entries)
    exif = b"Exif\0\0MM\0*" + struct.pack(">IH", 8, 2) + block + bytes(4)
    data = _bytes(Image.new("RGB", (30, 20)), "JPEG", exif=exif)
    assert decode(data).shape == (30, 20, 3)
    assert decode_luma(data, 30).shape == (30, 20)


@pytest.mark.parametrize("kind", ["PNG", "WEBP", "JPEG"])
def test_exif_that_is_none_refuses_no_photo(kind: str) -> None:
    data = _bytes(Image.new("RGB", (30, 20)), kind, exif=b"Exif\0\0neither one nor the other")
    assert decode(data).shape == (20, 30, 3)
    assert decode_luma(data, 30).shape == (20, 30)


@pytest.mark.parametrize("scale", [1.0, 255.0, 65535.0])
def test_floating_point_is_read_by_its_range(scale: float) -> None:
    values = np.full((4, 5), 0.25 * scale, np.float32)
    values[0, :3] = scale, np.nan, np.inf
    grey = decode(_bytes(Image.fromarray(values), "TIFF"))[..., 0]
    assert grey[0].tolist() == [255, 0, 255, 64, 64]


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


def test_of_a_line_of_pixels_the_middle_is_taken() -> None:
    line = np.arange(3 * 99_999, dtype=np.uint32).astype(np.uint8).reshape(1, 99_999, 3)
    assert np.array_equal(middle(line, 8), line[:, 49_995:50_003])
    assert middle(line.transpose(1, 0, 2), 8).shape == (8, 1, 3)
    photo = np.zeros((300, 2400, 3), np.uint8)
    assert middle(photo, 8).shape == photo.shape
