"""What colour profiles cost: CPU time of decoding the same JPEG with and without one.

    python -m benchmarks.colour_cost [--photos FOLDER] [--megapixels 12] [--rounds 5]

Photos (by default four of scikit-image) are enlarged and written as JPEG of quality 90 without a
profile, and with small ones made by code. The figure is the least of the rounds, summed over the
photos, as a ratio to the file without a profile. It also gives the bits in which the pHash of a
photo in Display P3 differs from that of its copy in sRGB, with and without looking at the profile.
"""

import argparse
import io
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
from PIL import Image
from skimage import data

from catalog.colour import conversion
from catalog.images import decode, decode_luma, decode_reduced
from curation.collect.examine import hamming
from curation.fingerprint import DECODE_SIDE, make_fingerprint, phash
from curation.structure import COLOUR_SIDE
from tests.catalog import icc

INKS = np.random.default_rng(0).uniform(0, 100, (2, 2, 2, 2, 3))
PROFILES = {
    "none": None,
    "sRGB": icc.rgb(icc.SRGB, icc.srgb_curve(1024)),
    "Display P3": icc.rgb(icc.DISPLAY_P3, icc.srgb_curve()),
    "Adobe RGB": icc.rgb(icc.ADOBE_RGB, icc.gamma_curve(563 / 256)),
    "CMYK, none": None,
    "CMYK": icc.cmyk(INKS),
}
WAYS: dict[str, Callable[[bytes], object]] = {
    "decode": decode,
    f"decode_reduced({COLOUR_SIDE})": lambda one: decode_reduced(one, COLOUR_SIDE),
    f"decode_luma({DECODE_SIDE})": lambda one: decode_luma(one, DECODE_SIDE),
    "all of a fingerprint": lambda one: make_fingerprint(one, 128),
}


def _jpeg(photo: np.ndarray, name: str) -> bytes:
    buffer = io.BytesIO()
    mode = "CMYK" if name.startswith("CMYK") else "RGB"
    Image.fromarray(photo).convert(mode).save(
        buffer, "JPEG", quality=90, icc_profile=PROFILES[name]
    )
    return buffer.getvalue()


def _photos(folder: Path | None, pixels: float) -> list[np.ndarray]:
    if folder is None:
        photos = [data.astronaut(), data.coffee(), data.chelsea(), data.rocket()]
    else:
        photos = [decode(path.read_bytes()) for path in sorted(folder.rglob("*.*"))[:4]]
    found = []
    for photo in photos:
        factor = (pixels / (photo.shape[0] * photo.shape[1])) ** 0.5
        size = (round(photo.shape[1] * factor), round(photo.shape[0] * factor))
        found.append(cv2.resize(photo, size, interpolation=cv2.INTER_CUBIC))
    return found


def _least(work: Callable[[bytes], object], files: list[bytes], rounds: int) -> float:
    taken = []
    for _ in range(rounds):
        start = time.process_time()
        for one in files:
            work(one)
        taken.append(time.process_time() - start)
    return min(taken) / len(files)


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--photos", type=Path)
    parser.add_argument("--megapixels", type=float, default=12.0)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    photos = _photos(options.photos, options.megapixels * 1e6)
    files = {name: [_jpeg(photo, name) for photo in photos] for name in PROFILES}
    print("| ratio of CPU time |", " | ".join(PROFILES), "|")
    for way, work in WAYS.items():
        took = {name: _least(work, files[name], options.rounds) for name in PROFILES}
        base = {name: took["CMYK, none" if name.startswith("CMYK") else "none"] for name in took}
        ratios = " | ".join(f"{took[name] / base[name]:.2f}" for name in took)
        print(f"| {way} | {ratios} |   (none: {took['none'] * 1e3:.1f} ms)")
    opened = Image.open(io.BytesIO(files["none"][0]))
    start = time.process_time()
    for _ in range(100_000):
        conversion(opened)
    print(f"without a profile, looking for one: {(time.process_time() - start) * 10:.2f} us")
    bits: dict[str, list[int]] = {"looked at": [], "not looked at": []}
    for wide, plain in zip(files["Display P3"], files["none"], strict=True):
        copy = _jpeg(decode(wide), "none")
        key = phash(decode_luma(copy, DECODE_SIDE))
        for name, one in (("looked at", wide), ("not looked at", plain)):
            own = np.frombuffer(phash(decode_luma(one, DECODE_SIDE)), np.uint8)[None]
            bits[name].append(int(hamming(own, key)[0]))
    print(f"bits of 256 between a photo in P3 and its copy in sRGB, profile {bits}")


if __name__ == "__main__":
    main()
