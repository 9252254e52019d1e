"""Hash and search a folder against imagededup's pHash, in turns on the same machine.

    python -m benchmarks.dedupe_vs_imagededup --photos FOLDER --python OTHER/bin/python [--count N]

imagededup pins libraries that Mendline does not share, so it runs by the interpreter of an
environment of its own. The folder of `count` images is made of crops of the photos, 512 x 384.
"""

import argparse
import subprocess
import tempfile
import time
from functools import partial
from multiprocessing import Pool
from pathlib import Path

import cv2
import numpy as np

from catalog.images import decode
from curation.deduplicate.benchmarks import find_images
from curation.deduplicate.search import near_hashes
from curation.hash import hash_image
from tests.curation.deduplicate.photos import crop, jpeg

THEIRS = """
import sys, time
from imagededup.methods import PHash
started = time.perf_counter()
method = PHash(verbose=False)
codes = method.encode_images(image_dir=sys.argv[1])
hashed = time.perf_counter()
found = method.find_duplicates(encoding_map=codes, max_distance_threshold=10)
print("SECONDS", hashed - started, time.perf_counter() - hashed)
"""


def make_folder(photos: list[np.ndarray], folder: Path, count: int) -> None:
    """`count` JPEG files of crops of `photos`."""
    rng = np.random.default_rng(0)
    for number in range(count):
        x, y = rng.uniform(0, 0.4, 2)
        part = crop(photos[number % len(photos)], x, y, x + 0.6, y + 0.6)
        part = cv2.resize(part, (512, 384), interpolation=cv2.INTER_CUBIC)
        (folder / f"{number:06d}.jpg").write_bytes(jpeg(part, 90))


def _hash(side: int, path: Path) -> bytes:
    return bytes(hash_image(path.read_bytes(), side)["phash"])


def ours(folder: Path) -> tuple[float, float]:
    """Seconds of hashing (pHash, PDQ, thumbnails, measures) and of the pHash search."""
    started = time.perf_counter()
    with Pool() as pool:
        codes = pool.map(partial(_hash, 256), find_images(folder), chunksize=64)
    hashed = time.perf_counter()
    bits = np.frombuffer(b"".join(codes), np.uint8).reshape(-1, 32)
    near_hashes(bits, bits, 40)
    return hashed - started, time.perf_counter() - hashed


def theirs(folder: Path, python: Path) -> tuple[float, float]:
    """The same of imagededup: its pHash of 64 bits, every core, its default search."""
    command = [str(python), "-c", THEIRS, str(folder)]
    out = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    line = next(line for line in out.splitlines() if line.startswith("SECONDS"))
    _, hashing, search = line.split()
    return float(hashing), float(search)


def main() -> None:
    """Print both, in two turns, and the ratio of the better ones."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--photos", type=Path, required=True)
    parser.add_argument("--python", type=Path, required=True)
    parser.add_argument("--count", type=int, default=10_000)
    given = parser.parse_args()
    photos = [decode(path.read_bytes()) for path in find_images(given.photos)[:200]]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make_folder(photos, folder, given.count)
        totals: dict[str, list[float]] = {"mendline": [], "imagededup": []}
        for _ in range(2):
            for who, run in (
                ("mendline", ours),
                ("imagededup", partial(theirs, python=given.python)),
            ):
                hashing, search = run(folder)
                totals[who].append(hashing + search)
                print(f"{who}: hash {hashing:.1f} s, search {search:.1f} s", flush=True)
    print(f"ratio {min(totals['imagededup']) / min(totals['mendline']):.2f}")


if __name__ == "__main__":
    main()
