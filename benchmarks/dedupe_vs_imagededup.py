"""Hash and search a folder against imagededup's pHash, in turns on the same machine.

    python -m benchmarks.dedupe_vs_imagededup --photos FOLDER --python OTHER/bin/python
        [--count N] [--width PIXELS] [--turns N]

imagededup runs by the interpreter of an environment of its own (OTHER), with as many workers as
there are cores, as Mendline does. Both read the same files, and both search within the same share
of their bits: 10 of 64 there, 40 of 256 here. "phash" is Mendline's reading and pHash alone, which
is what imagededup does; "all" is `hash_image`, what the stage stores of every image: PDQ, frames,
thumbnail and measures too. The folder is made of crops of the photos, 4 : 3.
CPU time is that of all processes; imports and the start of the interpreters are not counted.
"""

import argparse
import itertools
import os
import resource
import subprocess
import tempfile
import time
from collections.abc import Callable
from functools import partial
from multiprocessing import Pool
from pathlib import Path

import cv2
import numpy as np

from catalog.images import decode, decode_luma
from curation.deduplicate.benchmarks import find_images
from curation.deduplicate.search import near_hashes
from curation.fingerprint import DECODE_SIDE, phash
from curation.hash import hash_image
from tests.curation.deduplicate.photos import crop, jpeg

Cost = tuple[float, float]
"""Seconds of CPU, of all processes, and seconds by the clock."""

THEIRS = """
import os, resource, sys, time
from imagededup.methods import PHash
def now():
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used), time.perf_counter()
method = PHash(verbose=False)
at = [now()]
codes = method.encode_images(image_dir=sys.argv[1], num_enc_workers=os.cpu_count())
at.append(now())
method.find_duplicates(
    encoding_map=codes, max_distance_threshold=10, num_dist_workers=os.cpu_count()
)
at.append(now())
print("COST", *(b - a for one, two in zip(at, at[1:]) for a, b in zip(one, two)), len(codes))
"""


def make_folder(photos: list[np.ndarray], folder: Path, count: int, width: int) -> None:
    """`count` JPEG files of crops of `photos`, `width` x 3/4 `width`."""
    rng = np.random.default_rng(0)
    for number in range(count):
        x, y = rng.uniform(0, 0.4, 2)
        part = crop(photos[number % len(photos)], x, y, x + 0.6, y + 0.6)
        part = cv2.resize(part, (width, width * 3 // 4), interpolation=cv2.INTER_CUBIC)
        (folder / f"{number:06d}.jpg").write_bytes(jpeg(part, 90))


def _all(path: Path) -> bytes:
    return bytes(hash_image(path.read_bytes(), 256)["phash"])


def _phash(path: Path) -> bytes:
    return phash(decode_luma(path.read_bytes(), DECODE_SIDE))


def _now() -> Cost:
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used), time.perf_counter()


def ours(function: Callable[[Path], bytes], folder: Path) -> tuple[Cost, Cost]:
    """Cost of hashing by `function` and of the pHash search."""
    at = [_now()]
    paths = find_images(folder)
    with Pool() as pool:
        codes = pool.map(function, paths, chunksize=64)
        pool.close()
        pool.join()  # a process's CPU time counts once it has ended
    at.append(_now())
    bits = np.frombuffer(b"".join(codes), np.uint8).reshape(-1, 32)
    near_hashes(bits, bits, 40)
    at.append(_now())
    costs = [(two[0] - one[0], two[1] - one[1]) for one, two in itertools.pairwise(at)]
    return costs[0], costs[1]


def theirs(python: Path, folder: Path) -> tuple[Cost, Cost]:
    """The same of imagededup: its pHash of 64 bits and its default search."""
    command = [str(python), "-c", THEIRS, str(folder)]
    out = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    line = next(line for line in out.splitlines() if line.startswith("COST"))
    *costs, hashed = (float(word) for word in line.split()[1:])
    if hashed != len(find_images(folder)):
        raise SystemExit(f"imagededup hashed {hashed:.0f} images only")
    return (costs[0], costs[1]), (costs[2], costs[3])


def main() -> None:
    """Print all in turns, and the ratio of the cheapest turns."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--photos", type=Path, required=True)
    parser.add_argument("--python", type=Path, required=True)
    parser.add_argument("--count", type=int, default=10_000)
    parser.add_argument("--width", type=int, default=512)
    parser.add_argument("--turns", type=int, default=2)
    given = parser.parse_args()
    photos = [decode(path.read_bytes()) for path in find_images(given.photos)[:200]]
    runs: dict[str, Callable[[Path], tuple[Cost, Cost]]] = {
        "mendline, phash": partial(ours, _phash),
        "mendline, all": partial(ours, _all),
        "imagededup": partial(theirs, given.python),
    }
    totals: dict[str, list[Cost]] = {name: [] for name in runs}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make_folder(photos, folder, given.count, given.width)
        print(f"{given.count} images {given.width} wide, {os.cpu_count()} cores", flush=True)
        for _ in range(given.turns):
            for who, run in runs.items():
                hashing, search = run(folder)
                totals[who].append((hashing[0] + search[0], hashing[1] + search[1]))
                print(
                    f"{who}: hash {hashing[0]:.1f} s of CPU ({hashing[1]:.1f} s), "
                    f"search {search[0]:.1f} ({search[1]:.1f})",
                    flush=True,
                )
    best = {who: [min(part) for part in zip(*costs, strict=True)] for who, costs in totals.items()}
    for who in ("mendline, phash", "mendline, all"):
        cpu, clock = (a / b for a, b in zip(best["imagededup"], best[who], strict=True))
        print(f"imagededup over {who}: {cpu:.2f} by CPU time, {clock:.2f} by the clock")


if __name__ == "__main__":
    main()
