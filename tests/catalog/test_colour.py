"""Profiles in images: what their colours are in sRGB, and profiles that are none."""

import io
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageCms

from catalog import colour
from catalog.images import decode, decode_luma, decode_reduced, upright
from tests.catalog import icc

P3 = icc.rgb(icc.DISPLAY_P3, icc.srgb_curve())
ADOBE = icc.rgb(icc.ADOBE_RGB, icc.gamma_curve(563 / 256))
SQUARE = np.random.default_rng(0).integers(0, 256, (48, 64, 3), np.uint8)


def _bytes(image: Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def _far(found: np.ndarray, wanted: np.ndarray) -> float:
    return float(np.abs(found.astype(float) - wanted).max())


def _smooth(side: int = 256) -> Image.Image:
    """Colours that P3 and Adobe RGB have in common with sRGB, or nearly, and no edge."""
    ramp = np.linspace(60, 200, side)
    across, down = np.meshgrid(ramp, ramp)
    return Image.fromarray(np.dstack([across, down, across[:, ::-1]]).round().astype(np.uint8))


@pytest.mark.parametrize("kind", ["PNG", "WEBP", "TIFF"])
def test_pixels_of_a_wide_space_become_srgb(kind: str) -> None:
    given = SQUARE / 255
    options = {"lossless": True} if kind == "WEBP" else {}
    for profile, wanted in (
        (P3, icc.to_srgb(icc.decode_srgb(given), icc.DISPLAY_P3)),
        (ADOBE, icc.to_srgb(given ** (563 / 256), icc.ADOBE_RGB)),
    ):
        data = _bytes(Image.fromarray(SQUARE), kind, icc_profile=profile, **options)
        assert _far(decode(data), wanted) < 1.5
        assert _far(SQUARE, wanted) > 50, "the profile changes much here"


@pytest.mark.parametrize(
    "profile",
    [
        ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes(),
        icc.rgb(icc.SRGB, icc.srgb_curve()),
        icc.rgb(icc.SRGB, icc.srgb_curve(1024)),
    ],
    ids=["littlecms", "formula", "table"],
)
def test_an_srgb_profile_changes_no_pixel(profile: bytes) -> None:
    image = Image.fromarray(SQUARE)
    for kind, options in (("PNG", {}), ("JPEG", {"quality": 90})):
        plain, tagged = (_bytes(image, kind, icc_profile=p, **options) for p in (None, profile))
        assert np.array_equal(decode(plain), decode(tagged))
        assert np.array_equal(decode_luma(plain, 1), decode_luma(tagged, 1))


@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
@pytest.mark.parametrize("profile", [P3, ADOBE], ids=["p3", "adobe"])
def test_all_three_ways_to_decode_agree(kind: str, profile: bytes) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    data = _bytes(_smooth(), kind, icc_profile=profile, exif=exif, quality=95)
    whole = decode(data)
    assert _far(whole, decode(_bytes(_smooth(), kind, exif=exif, quality=95))) > 10
    luma = np.asarray(Image.fromarray(whole).convert("L")).astype(float)
    assert _far(decode_luma(data, 256), luma) <= 1
    for side in (128, 32):
        small = decode_reduced(data, side)
        step = 256 // small.shape[0]
        assert small.shape[0] == (side if kind == "JPEG" else 256)
        means = whole.reshape(small.shape[0], step, small.shape[1], step, 3).mean(axis=(1, 3))
        # Of all pixels: at another scale the same JPEG is rounded otherwise.
        assert np.abs(small - means).mean() < 1
        grey = np.asarray(Image.fromarray(small).convert("L")).astype(float)
        assert _far(decode_luma(data, side), grey) <= 1


def test_a_copy_in_another_space_has_the_same_luma() -> None:
    wide = _bytes(_smooth(), "JPEG", quality=95, icc_profile=P3)
    copy = _bytes(Image.fromarray(decode(wide)), "JPEG", quality=95)
    untagged = _bytes(_smooth(), "JPEG", quality=95)
    managed, plain = decode_luma(wide, 64), decode_luma(untagged, 64)
    assert _far(managed, decode_luma(copy, 64)) <= 4
    assert _far(plain, decode_luma(copy, 64)) > 20


@pytest.mark.parametrize("deep", [False, True], ids=["8-bit", "16-bit"])
def test_grey_of_its_own_curve(deep: bool) -> None:
    steps = np.arange(0, 65536, 17, dtype=np.uint16).reshape(1, -1)
    steps = steps if deep else (steps // 256).astype(np.uint8)
    top = 65535 if deep else 255
    data = _bytes(Image.fromarray(steps), icc_profile=icc.grey(icc.gamma_curve(1.0)))
    wanted = icc.encode_srgb(steps / top)[..., None]
    assert _far(decode(data), wanted) <= 1, "16 bits are not cut to 8 before the curve"
    assert _far(decode_luma(data, 1), wanted[..., 0]) <= 1


def test_sixteen_bits_of_grey_with_a_profile_of_three_colours() -> None:
    steps = np.arange(0, 65536, 257, dtype=np.uint16).reshape(1, -1)
    data = _bytes(Image.fromarray(steps), icc_profile=ADOBE)
    wanted = icc.encode_srgb((steps / 65535) ** (563 / 256))[..., None]
    assert _far(decode(data), wanted) < 1.5


def test_four_inks_become_what_their_profile_says() -> None:
    lab = np.zeros((2, 2, 2, 2, 3))
    lab[0, 0, 0, 0] = 100, 0, 0
    lab[1, 0, 0, 0] = 60, -40, -45
    lab[0, 1, 0, 0] = 50, 70, 0
    image = Image.new("CMYK", (32, 16), (0, 0, 0, 0))
    image.paste((255, 0, 0, 0), (0, 0, 16, 16))
    data = _bytes(image, "JPEG", quality=100, icc_profile=icc.cmyk(lab))
    # CIELAB of D50 by the matrix of sRGB: (60, -40, -45) is outside of sRGB in red alone.
    left, right = decode(data)[8, 4].astype(float), decode(data)[8, 24].astype(float)
    assert _far(right, np.full(3, 255.0)) <= 1
    lightness = (np.array([60 + 16, 60 + 16, 60 + 16]) / 116) + np.array([-40 / 500, 0, 45 / 200])
    xyz = np.array([0.9642, 1.0, 0.8249]) * np.where(
        lightness > 6 / 29, lightness**3, 3 * (6 / 29) ** 2 * (lightness - 4 / 29)
    )
    wanted = icc.encode_srgb(np.linalg.inv(icc.SRGB) @ xyz)
    assert wanted[0] == 0
    assert _far(left[1:], wanted[1:]) < 4
    assert left[0] < 8
    assert _far(decode_luma(data, 1), np.asarray(Image.fromarray(decode(data)).convert("L"))) == 0
    # Without a profile, the inks are what they were before: pure cyan.
    assert _far(decode(_bytes(image, "JPEG", quality=100))[8, 4], np.array([0.0, 255, 255])) <= 3


def _transparent(image: Image.Image, mode: str) -> Image.Image:
    alpha = np.tile(np.linspace(0, 255, image.width).round().astype(np.uint8), (image.height, 1))
    made = image.convert(mode[:-1])
    made.putalpha(Image.fromarray(alpha))
    return made


@pytest.mark.parametrize("mode", ["RGBA", "LA", "PA"])
def test_transparency_is_laid_on_white_after_the_colours(mode: str) -> None:
    profile = icc.grey(icc.gamma_curve(1.0)) if mode == "LA" else P3
    image = Image.new("RGB", (256, 2), (250, 90, 40))
    if mode == "PA":
        image = image.quantize(4)
        image.info["transparency"] = 0
        shown = decode(_bytes(image, icc_profile=P3, transparency=0))
        assert (shown == 255).all(), "the colour of the palette that is transparent"
        return
    image = _transparent(image, mode)
    opaque = decode(_bytes(image.convert(mode[:-1]), icc_profile=profile))[0, 0].astype(float)
    share = np.linspace(0, 1, 256)[:, None]
    wanted = share * opaque + (1 - share) * 255
    assert _far(decode(_bytes(image, icc_profile=profile))[0], wanted) <= 2


def test_a_colour_that_means_transparent_is_found_before_it_is_changed() -> None:
    image = Image.new("RGB", (8, 4), (250, 90, 40))
    image.paste((10, 200, 30), (0, 0, 4, 4))
    shown = decode(_bytes(image, icc_profile=P3, transparency=(10, 200, 30)))
    assert (shown[:, :4] == 255).all()
    assert _far(shown[:, 4:], decode(_bytes(image, icc_profile=P3))[:, 4:]) == 0


def test_a_palette_is_of_the_profile_too() -> None:
    image = Image.new("RGB", (8, 4), (250, 90, 40)).quantize(4)
    wide = decode(_bytes(Image.new("RGB", (8, 4), (250, 90, 40)), icc_profile=P3))
    assert np.array_equal(decode(_bytes(image, icc_profile=P3)), wide)


def _with(profile: bytes, at: int, content: bytes) -> bytes:
    return profile[:at] + content + profile[at + len(content) :]


@pytest.mark.parametrize(
    "profile",
    [
        b"profile",
        P3[:200],
        _with(P3, 36, b"none"),
        _with(P3, 12, b"link"),
        _with(P3, 16, b"CMYK"),
        _with(P3, 16, b"GRAY"),
        _with(P3, 128, b"\xff\xff\xff\xff"),
        _with(P3, 144, b"D2B0"),
        P3 + bytes(colour.MAX_BYTES),
        icc.grey(icc.gamma_curve(1.0)),
        icc.cmyk(np.zeros((2, 2, 2, 2, 3))),
    ],
    ids=[
        *("no-profile", "cut", "no-mark", "link", "says-cmyk", "says-grey", "many-tags"),
        *("elements", "large", "of-grey", "of-inks"),
    ],
)
def test_a_profile_that_cannot_be_used_is_as_if_it_were_not_there(profile: bytes) -> None:
    image = Image.fromarray(SQUARE)
    plain, tagged = (_bytes(image, "JPEG", icc_profile=p) for p in (None, profile))
    assert np.array_equal(decode(plain), decode(tagged))
    assert np.array_equal(decode_luma(plain, 1), decode_luma(tagged, 1))


def test_broken_profiles_refuse_no_image() -> None:
    rng = np.random.default_rng(0)
    inks = icc.cmyk(rng.uniform(0, 100, (2, 2, 2, 2, 3)))
    for number in range(60):
        broken = bytearray((P3, inks)[number % 2])
        for at in rng.integers(0, len(broken), 4):
            broken[at] = rng.integers(0, 256)
        mode = ("RGB", "CMYK")[number % 2]
        image = Image.new(mode, (4, 4), (20, 40, 60, 80)[: len(mode)])
        assert decode(_bytes(image, "JPEG", icc_profile=bytes(broken))).shape == (4, 4, 3)


def test_conversions_are_made_once_few_are_kept_and_threads_share_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made: list[str] = []
    make = colour._made

    def counted(profile: bytes, mode: str) -> colour.Conversion | None:
        made.append(mode)
        return make(profile, mode)

    monkeypatch.setattr(colour, "_made", counted)
    monkeypatch.setattr(colour, "_conversions", colour._Conversions())
    parts = [np.roll(SQUARE, step, axis=0) for step in range(64)]
    files = [
        _bytes(Image.fromarray(part), icc_profile=(P3, ADOBE)[number % 2])
        for number, part in enumerate(parts)
    ]
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(decode, files))
    assert made == ["RGB", "RGB"]
    for number, image in enumerate(found):
        assert np.array_equal(
            np.roll(image, -number, axis=0), np.roll(found[number % 2], -(number % 2), axis=0)
        )
    for gamma in range(colour.REMEMBERED + 5):
        profile = icc.rgb(icc.SRGB, icc.gamma_curve(1 + gamma / 64))
        decode(_bytes(Image.fromarray(SQUARE), icc_profile=profile))
    assert len(colour._conversions._kept) == colour.REMEMBERED


def test_turning_keeps_the_profile() -> None:
    exif = Image.Exif()
    exif[0x0112] = 5
    data = _bytes(Image.fromarray(SQUARE), icc_profile=P3, exif=exif)
    turned = upright(Image.open(io.BytesIO(data)))
    assert turned.info["icc_profile"] == P3
    assert np.array_equal(
        decode(data), decode(_bytes(Image.fromarray(SQUARE), icc_profile=P3)).transpose(1, 0, 2)
    )
