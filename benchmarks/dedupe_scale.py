"""Time, memory and recall of the searches as collections grow.

    python -m benchmarks.dedupe_scale --sizes 10000 100000 [--kind vectors|hashes] [--width 256]

Vectors: unit vectors around 1,000 themes, as embeddings are, a hundredth of them with a planted
copy at cosine 0.92 to 0.99. Hashes: 256 random bits, a hundredth with a copy 4 to 40 bits away.
Each size runs in a process of its own, so that its peak memory is its own.
"""

import argparse
import resource
import subprocess
import sys
import time

import numpy as np

from curation.deduplicate.search import near_hashes, near_vectors


def _vectors(count: int, width: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
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
    return base, np.stack([np.arange(planted), np.arange(count - planted, count)], axis=1)


def _hashes(count: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    base = rng.integers(0, 256, (count, 32), dtype=np.uint8)
    planted = count // 100
    bits = np.unpackbits(base[:planted], axis=1)
    for row, far in enumerate(rng.integers(4, 41, planted)):
        bits[row, rng.choice(256, far, replace=False)] ^= 1
    base[count - planted :] = np.packbits(bits, axis=1)
    return base, np.stack([np.arange(planted), np.arange(count - planted, count)], axis=1)


def _one(kind: str, count: int, width: int) -> None:
    rng = np.random.default_rng(0)
    base, planted = _vectors(count, width, rng) if kind == "vectors" else _hashes(count, rng)
    started = time.perf_counter()
    found = near_vectors(base, base, 0.9, 33) if kind == "vectors" else near_hashes(base, base, 40)
    seconds = time.perf_counter() - started
    pairs = set(map(tuple, np.sort(found, axis=1).tolist()))
    recall = sum(tuple(pair) in pairs for pair in planted.tolist()) / len(planted)
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(f"| {kind} | {count} | {seconds:.1f} | {memory:.2f} | {recall:.4f} |", flush=True)


def main() -> None:
    """Print a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", type=int, nargs="+", default=[10_000, 100_000])
    parser.add_argument(
        "--kind", choices=["vectors", "hashes"], nargs="+", default=["vectors", "hashes"]
    )
    parser.add_argument("--width", type=int, default=256)
    parser.add_argument("--inside", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.inside:
        _one(given.kind[0], given.sizes[0], given.width)
        return
    print(
        "| kind | size | s | peak GiB | recall of planted pairs |\n| --- | --- | --- | --- | --- |",
        flush=True,
    )
    for kind in given.kind:
        for size in given.sizes:
            command = [sys.executable, "-m", "benchmarks.dedupe_scale", "--inside"]
            command += ["--kind", kind, "--sizes", str(size), "--width", str(given.width)]
            subprocess.run(command, check=True)


if __name__ == "__main__":
    main()
