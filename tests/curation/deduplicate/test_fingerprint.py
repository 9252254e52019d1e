"""Hashes and measures of one image."""

import io

import imagehash
import numpy as np
import pdqhash
import pytest
from PIL import Image

from catalog.images import decode, decode_luma
from curation.fingerprint import (
    blockiness,
    grain,
    jpeg_quality,
    make_fingerprint,
    pdq,
    phash,
    trim_box,
)
from tests.curation.deduplicate.photos import blur, jpeg, noise, pad, photos


def _bits(packed: bytes) -> np.ndarray:
    return np.unpackbits(np.frombuffer(packed, np.uint8)).astype(bool)


@pytest.mark.parametrize("number", range(10))
def test_phash_is_that_of_imagehash_bit_for_bit(number: int) -> None:
    luma = Image.fromarray(photos()[number]).convert("L")
    wanted = imagehash.phash(luma, hash_size=16).hash.ravel()
    assert np.array_equal(_bits(phash(np.asarray(luma))), wanted)


def test_pdq_is_that_of_pdqhash() -> None:
    for photo in photos():
        luma = np.asarray(Image.fromarray(photo).convert("L"))
        wanted, quality = pdqhash.compute(np.repeat(luma[:, :, None], 3, axis=2))
        bits, found = pdq(luma)
        assert np.array_equal(_bits(bits), wanted.astype(bool))
        assert found == quality


def test_a_jpeg_decoded_small_has_nearly_the_hash_of_the_whole() -> None:
    for photo in photos()[:4]:
        large = np.asarray(Image.fromarray(photo).resize((2400, 1800), Image.Resampling.BICUBIC))
        data = jpeg(large, 90)
        small = decode_luma(data, 512)
        assert min(small.shape) < 1000
        assert min(small.shape) >= 512
        whole = np.asarray(Image.fromarray(decode(data)).convert("L"))
        assert (_bits(phash(small)) != _bits(phash(whole))).sum() <= 6


def test_orientation_is_applied_before_hashing() -> None:
    photo = Image.fromarray(photos()[0])
    exif = Image.Exif()
    exif[0x0112] = 6
    buffer = io.BytesIO()
    photo.rotate(90, expand=True).save(buffer, "JPEG", quality=95, exif=exif)
    upright = make_fingerprint(jpeg(np.asarray(photo), 95), 256)
    turned = make_fingerprint(buffer.getvalue(), 256)
    assert (_bits(upright.phash) != _bits(turned.phash)).sum() <= 8


@pytest.mark.parametrize("quality", [3, 12, 30, 50, 75, 90, 98])
def test_jpeg_quality_is_read_from_the_tables(quality: int) -> None:
    found = jpeg_quality(jpeg(photos()[0], quality))
    assert found is not None
    assert abs(found - quality) <= 1


def test_a_cameras_jpeg_with_a_preview_after_it_has_a_quality() -> None:
    buffer = io.BytesIO()
    photo = Image.fromarray(photos()[0])
    small = photo.resize((40, 30))
    photo.save(buffer, "MPO", quality=30, save_all=True, append_images=[small])
    with Image.open(io.BytesIO(buffer.getvalue())) as opened:
        assert opened.format == "MPO"
    assert jpeg_quality(buffer.getvalue()) == 30


def test_only_a_jpeg_has_a_quality() -> None:
    buffer = io.BytesIO()
    Image.fromarray(photos()[0]).save(buffer, "PNG")
    assert jpeg_quality(buffer.getvalue()) is None


@pytest.mark.parametrize("level", [0, 128, 255])
def test_a_plain_border_is_trimmed(level: int) -> None:
    luma = np.asarray(Image.fromarray(pad(photos()[1], 0.2, level)).convert("L"))
    height, width = photos()[1].shape[:2]
    left, top, right, bottom = trim_box(luma)
    assert abs(left - round(0.2 * width)) <= 3
    assert abs(top - round(0.2 * height)) <= 3
    assert abs(right - left - width) <= 6
    assert abs(bottom - top - height) <= 6


def test_a_dark_photo_is_no_border() -> None:
    luma = np.asarray(Image.fromarray(photos()[1]).convert("L")) // 12
    left, top, right, bottom = trim_box(luma)
    assert (right - left) * (bottom - top) > 0.8 * luma.size


def test_noise_is_measured_and_structure_is_not() -> None:
    photo = np.asarray(Image.fromarray(blur(photos()[1], 1)).convert("L"))
    for sigma in (8, 20):
        assert grain(noise(photo, sigma)) == pytest.approx(sigma, rel=0.25)
    assert grain(photo) < 1.0


def test_blocks_are_measured_wherever_the_grid_lies() -> None:
    photo = photos()[1]
    luma = np.asarray(Image.open(io.BytesIO(jpeg(photo, 8))).convert("L"))
    plain = np.asarray(Image.fromarray(photo).convert("L"))
    assert blockiness(luma) > blockiness(plain) + 0.5
    assert blockiness(luma[3:, 5:]) > blockiness(plain) + 0.5


@pytest.mark.parametrize("size", [(1, 1), (3, 200), (200, 3), (16, 16), (9, 9)])
def test_images_of_any_size_have_a_fingerprint(size: tuple[int, int]) -> None:
    pixels = np.random.default_rng(1).integers(0, 256, (*size, 3), dtype=np.uint8)
    made = make_fingerprint(jpeg(pixels), 256)
    assert len(made.phash) == len(made.pdq) == 32
    assert made.whole.shape == made.inner.shape == (32, 32)
