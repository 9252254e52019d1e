"""Time, memory and recall of the searches as collections grow, and of appending to an index.

    python -m benchmarks.dedupe_scale --sizes 10000 100000 [--kind vectors hashes layouts append]

Vectors: unit vectors around 1,000 themes, as embeddings are, a hundredth of them with a planted
copy at cosine 0.92 to 0.99. Hashes: 256 random bits, a hundredth with a copy 4 to 40 bits away.
Layouts: frames with the spectrum of photos, likewise around themes, a hundredth with a copy that is
cropped by 5 %, mirrored or noisy. Append: a hundredth more vectors come to a stored index, against
making it anew. Each size runs in a process of its own, so that its peak memory is its own.
`--exact` gives the share of what the exhaustive search finds that the index finds too.
"""

import argparse
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pyarrow as pa

from curation.deduplicate import search
from curation.deduplicate.candidates import least_layout, near_layouts
from curation.deduplicate.index import Store
from curation.deduplicate.layouts import View, layouts
from curation.deduplicate.prints import Prints
from curation.deduplicate.search import Pairs, near_hashes, near_vectors
from curation.fingerprint import FRAME

Made = tuple[np.ndarray, np.ndarray]
"""The base and its planted pairs (m, 2)."""


def _planted(count: int) -> np.ndarray:
    planted = count // 100
    return np.stack([np.arange(planted), np.arange(count - planted, count)], axis=1)


def make_vectors(count: int, width: int, rng: np.random.Generator) -> Made:
    """(count, width) float32 of length 1."""
    themes = rng.standard_normal((1000, width), np.float32)
    base = rng.standard_normal((count, width), np.float32)
    base += 0.8 * themes[rng.integers(0, 1000, count)]
    base /= np.linalg.norm(base, axis=1, keepdims=True)
    planted = count // 100
    cosine = rng.uniform(0.92, 0.99, (planted, 1)).astype(np.float32)
    other = rng.standard_normal((planted, width), np.float32)
    other -= (other * base[:planted]).sum(axis=1, keepdims=True) * base[:planted]
    other /= np.linalg.norm(other, axis=1, keepdims=True)
    base[count - planted :] = cosine * base[:planted] + np.sqrt(1 - cosine**2) * other
    return base, _planted(count)


def make_hashes(count: int, rng: np.random.Generator) -> Made:
    """(count, 32) uint8."""
    base = rng.integers(0, 256, (count, 32), dtype=np.uint8)
    planted = count // 100
    bits = np.unpackbits(base[:planted], axis=1)
    for row, far in enumerate(rng.integers(4, 41, planted)):
        bits[row, rng.choice(256, far, replace=False)] ^= 1
    base[count - planted :] = np.packbits(bits, axis=1)
    return base, _planted(count)


def _frames(count: int, rng: np.random.Generator) -> np.ndarray:
    """(count, FRAME, FRAME) float32 whose amplitude falls as 1/f, with deviation 1."""
    y, x = np.fft.fftfreq(FRAME)[:, None], np.fft.rfftfreq(FRAME)[None]
    fall = 1.0 / np.maximum(np.hypot(y, x), 1.0 / FRAME)
    fall[0, 0] = 0.0
    shape = (count, FRAME, FRAME // 2 + 1)
    spectrum = rng.standard_normal(shape, np.float32) + 1j * rng.standard_normal(shape, np.float32)
    found = np.fft.irfft2(spectrum * fall.astype(np.float32), (FRAME, FRAME)).astype(np.float32)
    return found / found.std(axis=(1, 2), keepdims=True)


def make_frames(count: int, rng: np.random.Generator) -> Made:
    """(count, FRAME * FRAME) uint8."""
    import cv2

    themes = _frames(1000, rng)
    base = np.empty((count, FRAME * FRAME), np.uint8)
    for start in range(0, count, 20_000):
        own = _frames(min(20_000, count - start), rng)
        mixed = 0.75 * own + 0.66 * themes[rng.integers(0, 1000, len(own))]
        base[start : start + len(own)] = np.clip(128 + 45 * mixed, 0, 255).reshape(len(own), -1)
    pairs = _planted(count)
    scale = np.array([[FRAME, 0, -0.5], [0, FRAME, -0.5], [0, 0, 1.0]])
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    views = [View(crop=0.05), View(mirror=True), View(crop=0.05, mirror=True), View()]
    for number, (one, two) in enumerate(pairs):
        warp = (scale @ views[number % 4].matrix() @ np.linalg.inv(scale))[:2]
        frame = base[one].reshape(FRAME, FRAME)
        changed = cv2.warpAffine(frame, warp, (FRAME, FRAME), flags=flags, borderMode=1)
        noisy = changed + rng.normal(0, 6, changed.shape)
        base[two] = np.clip(noisy, 0, 255).ravel().astype(np.uint8)
    return base, pairs


def prints_of_frames(frames: np.ndarray) -> Prints:
    """Prints that hold frames only."""
    n = len(frames)
    none = np.zeros(0)
    nothing = pa.chunked_array([pa.array([], pa.binary())])
    return Prints(
        [str(row) for row in range(n)],
        *(none,) * 4,
        [None] * n,
        *(none,) * 4,
        frames,
        frames,
        nothing,
        *(none,) * 2,
        nothing,
        nothing,
    )


def _found(kind: str, base: np.ndarray) -> Pairs:
    if kind == "vectors":
        return near_vectors(base, base, 0.9, 33)
    if kind == "hashes":
        return near_hashes(base, base, 40)
    prints = prints_of_frames(base)
    return near_layouts(prints, prints, least_layout(0.6, len(base)), 33)


def _make(kind: str, count: int, width: int) -> Made:
    rng = np.random.default_rng(0)
    if kind == "hashes":
        return make_hashes(count, rng)
    return make_frames(count, rng) if kind == "layouts" else make_vectors(count, width, rng)


def _search(kind: str, count: int, width: int) -> None:
    base, planted = _make(kind, count, width)
    started, cpu = time.perf_counter(), time.process_time()
    found = _found(kind, base)
    seconds, cpu = time.perf_counter() - started, time.process_time() - cpu
    code = np.unique(np.min(found, axis=1) * count + np.max(found, axis=1))
    recall = np.isin(planted[:, 0] * count + planted[:, 1], code).mean()
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    extra = (len(code) - count) / count  # each is its own pair
    print(
        f"| {kind} | {count} | {cpu:.0f} | {seconds:.0f} | {memory:.2f} | {recall:.4f} "
        f"| {extra:.2f} |",
        flush=True,
    )


def _append(count: int, width: int) -> None:
    base, _ = make_vectors(count, width, np.random.default_rng(0))
    keys = [str(row) for row in range(count)]
    old = count - count // 100

    def timed(store: Store, size: int) -> tuple[float, float]:
        started, cpu = time.perf_counter(), time.process_time()
        store.vectors("vectors", keys[:size], base[:size])
        return time.process_time() - cpu, time.perf_counter() - started

    with tempfile.TemporaryDirectory() as name:
        store = Store(Path(name), "key")
        timed(store, old)
        append = timed(store, count)
        again = timed(store, count)
        flat, anew = search.EXACT_VECTORS, timed(Store(Path(name) / "anew", "key"), count)
        stored = sum(path.stat().st_size for path in Path(name).rglob("*.faiss")) / 2 / 2**20
    print(
        f"{count} vectors: anew {anew[0]:.1f} s of CPU ({anew[1]:.1f} s), a hundredth appended "
        f"{append[0]:.1f} ({append[1]:.1f}), nothing new {again[0]:.1f} ({again[1]:.1f}); "
        f"{stored:.0f} MiB on disk; anew over append {anew[0] / append[0]:.1f} "
        f"(stored above {flat} vectors)",
        flush=True,
    )


def _exact(kind: str, count: int, width: int) -> None:
    """Share of the exhaustive search's pairs that the index finds."""
    base, _ = _make(kind, count, width)
    queries = np.concatenate([base[:1000], base[-1000:]])
    if kind == "hashes":
        found = near_hashes(queries, base, 40)
        every = search.Index(search.hash_index(base, exact=count))
        exact = near_hashes(queries, base, 40, every)
    else:
        base, queries = (layouts(base), layouts(queries)) if kind == "layouts" else (base, queries)
        least = least_layout(0.6, count) if kind == "layouts" else 0.9
        found = near_vectors(queries, base, least, 33)
        every = search.Index(search.vector_index(base, exact=count))
        exact = near_vectors(queries, base, least, 33, every)
    both = {tuple(pair) for pair in exact.tolist()}
    share = len(both & {tuple(pair) for pair in found.tolist()}) / len(both)
    print(f"{kind}, {count}: {share:.4f} of {len(both)} pairs of the exhaustive search", flush=True)


def main() -> None:
    """Print a Markdown table."""
    kinds = ["vectors", "hashes", "layouts", "append"]
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", type=int, nargs="+", default=[10_000, 100_000])
    parser.add_argument("--kind", choices=kinds, nargs="+", default=kinds)
    parser.add_argument("--width", type=int, default=256)
    parser.add_argument("--exact", action="store_true")
    parser.add_argument("--inside", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.inside:
        kind, size = given.kind[0], given.sizes[0]
        if kind == "append":
            _append(size, given.width)
        else:
            (_exact if given.exact else _search)(kind, size, given.width)
        return
    if not given.exact:
        print(
            "| kind | size | s of CPU | s | peak GiB | recall of planted | other pairs an image |\n"
            "| --- | --- | --- | --- | --- | --- | --- |",
            flush=True,
        )
    for kind in given.kind:
        for size in given.sizes:
            command = [sys.executable, "-m", "benchmarks.dedupe_scale", "--inside"]
            command += ["--exact"] * given.exact
            command += ["--kind", kind, "--sizes", str(size), "--width", str(given.width)]
            subprocess.run(command, check=True)


if __name__ == "__main__":
    main()
