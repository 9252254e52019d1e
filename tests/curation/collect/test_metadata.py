"""Stored bytes: no metadata, the same pixels, the orientation kept."""

import io
import struct

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import ExifTags, Image, PngImagePlugin
from web import photo

from catalog.errors import ImageRefused
from catalog.images import decode
from catalog.settings.collect import Collect
from curation.collect.examine import clean, examine
from curation.collect.metadata import Unstrippable, strip

SECRETS = (b"Secret", b"SECRET", b"http://ns.adobe.com/xap", b"photoshop")


def _personal(kind: str, orientation: int) -> bytes:
    """An image with camera, GPS, artist, XMP, comment, and bytes after its end."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    exif[0x010F] = "SecretCamera"
    exif[0x013B] = "Ada Secret"
    exif.get_ifd(0x8825).update({1: "N", 2: (51.0, 30.0, 0.0), 29: "SECRETDATE"})
    options: dict[str, object] = {"exif": exif}
    xmp = b'<x:xmpmeta xmlns:x="adobe:ns:meta/">Secret</x:xmpmeta>'
    if kind == "JPEG":
        options |= {"comment": b"Secret comment", "xmp": xmp}
    if kind == "WEBP":
        options |= {"xmp": xmp}
    if kind == "PNG":
        info = PngImagePlugin.PngInfo()
        info.add_text("Author", "Secret")
        info.add_itxt("XML:com.adobe.xmp", xmp.decode(), zip=False)
        options |= {"pnginfo": info}
    if kind == "GIF":
        options = {"comment": b"Secret comment"}
    return photo(1, kind, **options) + b"Secret after the end"


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "GIF"])
@pytest.mark.parametrize("orientation", [1, 6])
def test_personal_metadata_goes_and_pixels_stay(kind: str, orientation: int) -> None:
    data = _personal(kind, orientation)
    assert any(secret in data for secret in SECRETS)
    examined = examine(data, Collect())
    assert examined.data is not None
    assert not any(secret in examined.data for secret in SECRETS)
    assert np.array_equal(decode(examined.data), decode(data))
    exif = dict(Image.open(io.BytesIO(examined.data)).getexif())
    wanted = orientation if kind != "GIF" else 1
    assert exif == ({0x0112: wanted} if wanted != 1 else {})
    if kind != "GIF":
        assert examined.creator == "Ada Secret"


def test_an_image_without_metadata_is_stored_as_it_came() -> None:
    for kind in ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF"):
        assert examine(photo(2, kind), Collect()).data is None


def test_colour_profiles_and_adobe_transforms_are_kept() -> None:
    from PIL import ImageCms

    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    for kind in ("JPEG", "PNG", "WEBP"):
        data = photo(
            3, kind, icc_profile=profile, exif=b"Exif\0\0" + b"MM\0*\0\0\0\x08\0\0\0\0\0\0"
        )
        cut, _, _ = clean(data, Collect())
        assert Image.open(io.BytesIO(cut)).info["icc_profile"] == profile
    buffer = io.BytesIO()
    Image.open(io.BytesIO(photo(3))).convert("CMYK").save(buffer, "JPEG", comment=b"x")
    cut, _, _ = clean(buffer.getvalue(), Collect())
    assert b"Adobe" in cut
    assert np.array_equal(decode(cut), decode(buffer.getvalue()))


def test_progressive_scans_are_all_kept() -> None:
    data = photo(4, progressive=True, comment=b"Secret")
    cut, _, _ = clean(data, Collect())
    assert np.array_equal(decode(cut), decode(data))
    assert b"Secret" not in cut


def test_a_jpeg_of_several_pictures_keeps_the_first() -> None:
    buffer = io.BytesIO()
    first, second = (Image.open(io.BytesIO(photo(seed))) for seed in (5, 6))
    first.save(buffer, "MPO", save_all=True, append_images=[second])
    examined = examine(buffer.getvalue(), Collect())
    assert (examined.header.format, examined.header.frames) == ("JPEG", 1)


@pytest.mark.parametrize("tag", ["Artist", "Make", "Model", "Copyright", "ImageDescription"])
def test_a_tiff_with_personal_tags_is_refused(tag: str) -> None:
    exif = Image.Exif()
    exif[ExifTags.Base[tag]] = "Ada"
    data = photo(7, "TIFF", exif=exif)
    with pytest.raises(ImageRefused) as caught:
        examine(data, Collect())
    assert caught.value.reason == "personal-metadata"


@settings(max_examples=300, deadline=None)
@given(
    st.sampled_from(["JPEG", "PNG", "WEBP", "GIF"]),
    st.lists(st.tuples(st.integers(0, 10**6), st.binary(min_size=1, max_size=4)), max_size=4),
    st.integers(0, 10**6),
)
def test_broken_containers_are_cut_safely_and_once(
    kind: str, edits: list[tuple[int, bytes]], cut_at: int
) -> None:
    data = bytearray(photo(8, kind, (40, 30)))
    for place, patch in edits:
        start = place % len(data)
        data[start : start + len(patch)] = patch
    data = data[: max(16, len(data) - cut_at % (2 * len(data)))]
    try:
        once = strip(bytes(data), kind, 6)
    except Unstrippable:
        return
    assert len(once) <= len(data) + 64
    if kind == "JPEG":
        assert struct.unpack(">H", once[2:4])[0] == 0xFFE1


def test_iptc_data_mining_opt_out_is_obeyed() -> None:
    xmp = b'<x:xmpmeta>plus:DataMining="http://ns.useplus.org/ldf/vocab/DMI-PROHIBITED"</x:xmpmeta>'
    with pytest.raises(ImageRefused) as caught:
        examine(photo(9, xmp=xmp), Collect())
    assert caught.value.reason == "opt-out"
    assert examine(photo(9, xmp=xmp), Collect(opt_outs=())).image_id


@pytest.mark.parametrize(
    ("data", "changes", "reason"),
    [
        (photo(1, size=(60, 200)), {}, "too-small"),
        (photo(1, size=(70, 400)), {}, "aspect-ratio"),
        (photo(1, "PNG"), {"formats": ("JPEG",)}, "format-not-kept"),
        (photo(1), {"max_pixels": 1000}, "too-many-pixels"),
        (photo(1)[:-600], {}, "broken-image"),
        (b"<html>no image</html>", {}, "not-an-image"),
    ],
)
def test_filters_name_their_reason(data: bytes, changes: dict[str, object], reason: str) -> None:
    with pytest.raises(ImageRefused) as caught:
        examine(data, Collect(**changes))
    assert caught.value.reason == reason


def test_grey_and_animated_images_are_left_out_by_settings() -> None:
    grey, animation = io.BytesIO(), io.BytesIO()
    Image.open(io.BytesIO(photo(1))).convert("L").save(grey, "PNG")
    frames = [Image.open(io.BytesIO(photo(seed))) for seed in (1, 2)]
    frames[0].save(animation, "GIF", save_all=True, append_images=frames[1:])
    assert examine(grey.getvalue(), Collect()).header.mode == "L"
    for data, changes, reason in (
        (grey.getvalue(), {"min_channels": 3}, "grey"),
        (animation.getvalue(), {}, "animated"),
    ):
        with pytest.raises(ImageRefused) as caught:
            examine(data, Collect(**changes))
        assert caught.value.reason == reason
    assert examine(animation.getvalue(), Collect(keep_animated=True)).header.frames == 2
