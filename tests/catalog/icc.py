"""Small ICC profiles made by code, and what their colours are in sRGB."""

import struct
from collections.abc import Mapping

import numpy as np

D50 = np.array([0.9642, 1.0, 0.8249])
# Colorants of each space, adapted to D50 by Bradford: columns are red, green, blue.
SRGB = np.array([[0.4361, 0.3851, 0.1431], [0.2225, 0.7169, 0.0606], [0.0139, 0.0971, 0.7141]])
DISPLAY_P3 = np.array(
    [[0.5151, 0.2920, 0.1571], [0.2412, 0.6922, 0.0666], [-0.0011, 0.0419, 0.7841]]
)
ADOBE_RGB = np.array([[0.6097, 0.2053, 0.1492], [0.3111, 0.6257, 0.0632], [0.0195, 0.0609, 0.7446]])


def _fixed(*values: float) -> bytes:
    return b"".join(struct.pack(">i", round(value * 65536)) for value in values)


def _xyz(values: np.ndarray) -> bytes:
    return b"XYZ \0\0\0\0" + _fixed(*map(float, values))


def gamma_curve(gamma: float) -> bytes:
    """A curve of one power."""
    return b"curv\0\0\0\0" + struct.pack(">IH2x", 1, round(gamma * 256))


def srgb_curve(points: int = 0) -> bytes:
    """The curve of sRGB by its formula, or as a table."""
    if points:
        table = np.round(decode_srgb(np.arange(points) / (points - 1)) * 65535).astype(">u2")
        return b"curv\0\0\0\0" + struct.pack(">I", points) + table.tobytes()
    return b"para\0\0\0\0\0\3\0\0" + _fixed(2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045)


def make(space: bytes, tags: Mapping[bytes, bytes], connection: bytes = b"XYZ ") -> bytes:
    """A profile of `space` ("RGB ", "GRAY", "CMYK") with `tags` and the white of D50."""
    tags = {b"wtpt": _xyz(D50), **tags}
    at = 132 + 12 * len(tags)
    table, content = struct.pack(">I", len(tags)), b""
    for name, tag in tags.items():
        table += struct.pack(">4sII", name, at + len(content), len(tag))
        content += tag + bytes(-len(tag) % 4)
    kind = b"prtr" if space == b"CMYK" else b"mntr"
    head = struct.pack(
        ">I4xI4s4s4s12x4s28x", at + len(content), 2 << 24, kind, space, connection, b"acsp"
    )
    return head + _fixed(*D50) + bytes(48) + table + content


def rgb(colorants: np.ndarray, curve: bytes) -> bytes:
    """A profile of three colorants (their XYZ in columns) and one curve."""
    tags = {}
    for index, name in enumerate((b"r", b"g", b"b")):
        tags |= {name + b"XYZ": _xyz(colorants[:, index]), name + b"TRC": curve}
    return make(b"RGB ", tags)


def grey(curve: bytes) -> bytes:
    """A profile of grey."""
    return make(b"GRAY", {b"kTRC": curve})


def cmyk(lab: np.ndarray) -> bytes:
    """A profile of four inks; `lab` is (2, 2, 2, 2, 3) CIELAB of all sixteen overprints."""
    even = bytes(range(256))
    codes = lab.reshape(-1, 3) * [2.55, 1, 1] + [0, 128, 128]
    clut = np.clip(np.round(codes), 0, 255).astype(np.uint8).tobytes()
    head = b"mft1\0\0\0\0" + bytes([4, 3, 2, 0]) + _fixed(1, 0, 0, 0, 1, 0, 0, 0, 1)
    return make(b"CMYK", {b"A2B0": head + 4 * even + clut + 3 * even}, b"Lab ")


def decode_srgb(values: np.ndarray) -> np.ndarray:
    """0 .. 1 of sRGB to linear light (IEC 61966-2-1)."""
    return np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)


def encode_srgb(linear: np.ndarray) -> np.ndarray:
    """Linear light to 0 .. 255 of sRGB, cut to what sRGB holds."""
    linear = np.clip(linear, 0, 1)
    low = linear <= 0.0031308
    return 255 * np.where(low, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)


def to_srgb(linear: np.ndarray, colorants: np.ndarray) -> np.ndarray:
    """(..., 3) linear light of a space of `colorants` to 0 .. 255 of sRGB."""
    return encode_srgb(linear @ (np.linalg.inv(SRGB) @ colorants).T)
