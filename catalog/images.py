"""Decoding of hostile image bytes, and the identity of an image.

In memory an image is a NumPy array of shape (height, width, 3), dtype uint8, sRGB.
"""

import hashlib
import io
import warnings
from dataclasses import dataclass

import numpy as np
from PIL import ExifTags, Image, UnidentifiedImageError

from catalog.colour import conversion
from catalog.errors import ImageRefused

FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF")
"""Formats that are decoded, recognised by content. Others are refused."""

SUFFIXES = frozenset(
    (".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff")
)
"""Ends of the names of files that folders of images are searched for, in lower case."""

VERSION = "3"
"""Of what `decode` and its kin make of bytes, for keys of what is computed from the pixels."""

MAX_PIXELS = 100_000_000

Rgb = np.ndarray
"""(height, width, 3) uint8 sRGB."""


@dataclass(frozen=True)
class Header:
    """What the header of an image says, before any pixel is decoded."""

    format: str
    width: int
    height: int
    frames: int
    mode: str


def image_id(data: bytes) -> str:
    """SHA-256 of the encoded bytes, 64 lower-case hexadecimal digits."""
    return hashlib.sha256(data).hexdigest()


def _open(data: bytes) -> Image.Image:
    try:
        with warnings.catch_warnings():
            # A bomb is refused by our own limit; Pillow's warning must not pass silently either.
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            return Image.open(io.BytesIO(data), formats=FORMATS)
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise ImageRefused(
            "too-many-pixels", f"The image is a decompression bomb: {error}."
        ) from error
    except UnidentifiedImageError as error:
        raise ImageRefused(
            "not-an-image", f"The bytes are not an image in {', '.join(FORMATS)}."
        ) from error
    except Exception as error:  # Pillow's parsers raise many kinds on hostile bytes
        raise ImageRefused(
            "not-an-image", f"The bytes are not an image in {', '.join(FORMATS)}: {error}."
        ) from error


def read_header(data: bytes, max_pixels: int = MAX_PIXELS) -> Header:
    """Read format and size without decoding pixels.

    Raises `ImageRefused` ("not-an-image", "too-many-pixels").
    """
    return _header(_open(data), max_pixels)


def _header(image: Image.Image, max_pixels: int) -> Header:
    width, height = image.size
    if width * height > max_pixels:
        raise ImageRefused(
            "too-many-pixels",
            f"The image claims {width} x {height} pixels, more than the limit of {max_pixels}.",
        )
    try:
        frames = int(getattr(image, "n_frames", 1))
    except Exception as error:
        raise ImageRefused(
            "broken-image", f"The image's frames cannot be counted: {error}."
        ) from error
    return Header(str(image.format), width, height, frames, image.mode)


def decode(data: bytes, max_pixels: int = MAX_PIXELS) -> Rgb:
    """Decode to (height, width, 3) uint8 sRGB with the EXIF orientation applied.

    Colours of an embedded profile become sRGB (`catalog.colour`). Transparent parts are laid on
    white, 16-bit images are scaled to 8 bits, the first frame of an animation is taken. Raises
    `ImageRefused` ("not-an-image", "too-many-pixels", "broken-image").
    """
    image = _open(data)
    _header(image, max_pixels)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            return _srgb(image)
    except Exception as error:
        raise ImageRefused("broken-image", f"The image cannot be decoded: {error}.") from error


def decode_luma(data: bytes, side: int, max_pixels: int = MAX_PIXELS) -> np.ndarray:
    """Decode to luma, (height, width) uint8, both sides at least `side` where the image has it.

    A JPEG is decoded at 1/2, 1/4 or 1/8 of its size when that is enough, and without its chroma
    where no profile says what the colours mean, which is several times quicker than `decode`. So
    copies of one photo in two colour spaces have one luma. Orientation, colours, transparency,
    frames and errors are those of `decode`.
    """
    image = _open(data)
    _header(image, max_pixels)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            managed = conversion(image) is not None
            if image.mode in ("RGB", "L"):
                image.draft(image.mode if managed else "L", (side, side))
            if managed:
                return np.asarray(Image.fromarray(_srgb(image)).convert("L"))
            image.load()
            image = upright(image)
            if image.mode != "L" or "transparency" in image.info:
                image = Image.fromarray(to_rgb(image)).convert("L")
            return np.asarray(image)
    except Exception as error:
        raise ImageRefused("broken-image", f"The image cannot be decoded: {error}.") from error


def decode_reduced(data: bytes, side: int, max_pixels: int = MAX_PIXELS) -> Rgb:
    """`decode`, but a JPEG at 1/2, 1/4 or 1/8 of its size while both sides stay at least `side`."""
    read_header(data, max_pixels)
    image = _open(data)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            if image.mode == "RGB":
                image.draft("RGB", (side, side))
            return _srgb(image)
    except Exception as error:
        raise ImageRefused("broken-image", f"The image cannot be decoded: {error}.") from error


def _srgb(image: Image.Image) -> Rgb:
    """The pixels of an opened image, upright and in sRGB."""
    image.load()
    image = upright(image)
    managed = conversion(image)
    return to_rgb(managed.apply(image) if managed else image)


_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""What sets an image of that EXIF orientation upright (EXIF 2.32, tag 274)."""


def upright(image: Image.Image) -> Image.Image:
    """A loaded image turned as its EXIF says.

    Pillow's own function writes the rest of the EXIF anew too, and fails on tags of a wrong type,
    which cameras and editors do write. EXIF that cannot be read at all says nothing.
    """
    try:
        orientation = image.getexif().get(ExifTags.Base.Orientation, 1)
    except Exception:  # Pillow's readers raise whatever they come upon, SyntaxError too
        return image
    turn = _TURNS.get(orientation)
    return image if turn is None else image.transpose(turn)


def to_rgb(image: Image.Image) -> Rgb:
    """Convert a Pillow image of any mode to (height, width, 3) uint8.

    Whole numbers are of 8 bits where none is above 255, else of 16; so are floating-point ones,
    whose range is 0 .. 1 where none is above 1. What is no number is black.
    """
    if image.mode.startswith("I") or image.mode == "F":
        values = np.asarray(image, dtype=np.float64)
        largest = values.max(initial=0, where=np.isfinite(values))
        top = 65535.0 if image.mode.startswith("I;16") or largest > 255 else 255.0
        if image.mode == "F" and largest <= 1:
            top = 1.0
        grey = np.clip(np.nan_to_num(values / top * 255.0 + 0.5), 0, 255).astype(np.uint8)
        return np.repeat(grey[:, :, None], 3, axis=2)
    if image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info:
        rgba = image.convert("RGBA")
        ground = Image.new("RGBA", rgba.size, (255, 255, 255, 255))
        image = Image.alpha_composite(ground, rgba)
    return np.asarray(image.convert("RGB"))


def encode_png(image: Rgb) -> bytes:
    """Encode without metadata; the same pixels give the same bytes with one Pillow version."""
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "PNG", compress_level=3)
    return buffer.getvalue()


def middle(image: Rgb, aspect: int) -> Rgb:
    """The middle of an image whose longer side is more than `aspect` times its shorter one."""
    height, width = image.shape[:2]
    tall, wide = min(height, aspect * width), min(width, aspect * height)
    down, right = (height - tall) // 2, (width - wide) // 2
    return image[down : down + tall, right : right + wide]


def pixel_digest(image: Rgb) -> str:
    """SHA-256 of size and pixels, for keys of what was computed from them."""
    shape = "x".join(map(str, image.shape))
    digest = hashlib.sha256(shape.encode())
    digest.update(np.ascontiguousarray(image).data)
    return digest.hexdigest()
