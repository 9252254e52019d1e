"""How far an image's vector moves with its batch and its device, and the network's own rate.

    python -m benchmarks.embed_vectors [--model ViT-L-14] [--images 64]      # a GPU
    python -m benchmarks.embed_vectors --model ViT-S-32 --images 16          # the same code, a CPU

mendline-clip in float32, then an open_clip model with random weights (seed 0) in float32 and in
bf16. Each is asked for parts of scikit-image's photos in batches of 1, 7 and 32, in one batch, and
in reverse; once with calls of as many images as there are ("as given") and once with calls of one
size ("filled"), which is what runs on a GPU. Printed is the largest difference of a value of the
unit vectors.
"""

import argparse
import copy
import time
from collections.abc import Sequence

import numpy as np
import open_clip
import torch
from skimage import data

from catalog.images import Rgb
from networks.embedders import load_embedder
from networks.embedders.open_clip import GPU_BATCH, OpenClipEmbedder
from networks.interfaces import Identity

SIZES = (1, 7, 32)
RATES = (1, 32, 64, 128, 256)


def parts(count: int) -> list[Rgb]:
    """Parts of 180 x 200 of three photos, seed 0."""
    photos = [data.astronaut(), data.chelsea(), data.coffee()]
    rng = np.random.default_rng(0)
    found = []
    for number in range(count):
        down, right = rng.integers(0, 120, 2)
        found.append(photos[number % len(photos)][down : down + 180, right : right + 200].copy())
    return found


def in_batches(embedder: OpenClipEmbedder, prepared: Sequence[Rgb], size: int) -> np.ndarray:
    """(n, width) float32."""
    starts = range(0, len(prepared), size)
    return np.concatenate([embedder.embed_prepared(prepared[s : s + size]) for s in starts])


def by_batch(label: str, embedder: OpenClipEmbedder, prepared: list[Rgb]) -> None:
    """Print differences by the size of the batch."""
    before = embedder._fixed
    for fixed in (None, GPU_BATCH):
        embedder._fixed = fixed
        whole = in_batches(embedder, prepared, len(prepared))
        found = {str(n): np.abs(in_batches(embedder, prepared, n) - whole).max() for n in SIZES}
        turned = in_batches(embedder, prepared[::-1], len(prepared))[::-1]
        found["reversed"] = np.abs(turned - whole).max()
        line = ", ".join(f"{name} {value:.1e}" for name, value in found.items())
        how = f"filled to {fixed}" if fixed else "as given"
        print(f"{label}, {how}, against {len(prepared)} at once: {line}", flush=True)
    embedder._fixed = before


def from_cpu(label: str, embedder: OpenClipEmbedder, prepared: list[Rgb]) -> None:
    """Print the difference of float32 vectors on the GPU from those on the CPU."""
    there = copy.copy(embedder)
    there.model, there.device = copy.deepcopy(embedder.model).cpu(), torch.device("cpu")
    there.on_gpu, there._fixed = False, None
    there._white, there._mean, there._std = (
        value.cpu() for value in (embedder._white, embedder._mean, embedder._std)
    )
    found = np.abs(embedder.embed_prepared(prepared) - there.embed_prepared(prepared)).max()
    print(f"{label}, from the CPU: {found:.1e}", flush=True)


def rates(label: str, embedder: OpenClipEmbedder, side: int) -> None:
    """Print images a second of the network alone, its input on the GPU, by images a call."""
    found = []
    for size in RATES:
        given = torch.randn(size, 3, side, side, device=embedder.device, dtype=embedder._dtype)
        given = given.contiguous(memory_format=torch.channels_last)
        calls = max(512 // size, 2) if size > 1 else 20
        with torch.inference_mode():
            for number in range(calls + 3):
                if number == 3:  # the first ones warm up
                    torch.cuda.synchronize()
                    started = time.perf_counter()
                embedder.model.encode_image(given, normalize=True)
            torch.cuda.synchronize()
        found.append(f"{size}: {calls * size / (time.perf_counter() - started):.0f}")
    print(f"{label}, network alone, images a second by images a call: {', '.join(found)}")


def main() -> None:
    """Print a line a measurement."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="ViT-L-14")
    parser.add_argument("--images", type=int, default=64)
    given = parser.parse_args()
    images, name = parts(given.images), given.model
    torch.manual_seed(0)
    ours = load_embedder("mendline-clip")
    assert isinstance(ours, OpenClipEmbedder)
    tokenizer, random = open_clip.get_tokenizer(name), Identity(name, "1", trained=False)
    large = OpenClipEmbedder(open_clip.create_model(name), tokenizer, random)
    half = OpenClipEmbedder(copy.deepcopy(large.model).bfloat16(), tokenizer, random)
    for label, embedder in (
        ("mendline-clip float32", ours),
        (f"{name} float32", large),
        (f"{name} bf16", half),
    ):
        prepared = [embedder.prepare(image) for image in images]
        by_batch(label, embedder, prepared)
        if embedder.on_gpu:
            if embedder is not half:
                from_cpu(label, embedder, prepared[:8])
            rates(label, embedder, prepared[0].shape[0])
    apart = np.abs(large.embed_images(images[:8]) - half.embed_images(images[:8])).max()
    print(f"{name}, bf16 from float32: {apart:.1e}")


if __name__ == "__main__":
    main()
