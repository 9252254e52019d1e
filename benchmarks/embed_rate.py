"""Images a second from shard to vectors, against open_clip's plain loop over a DataLoader.

    python -m benchmarks.embed_rate --photos FOLDER [--images 400] [--rounds 3]
    python -m benchmarks.embed_rate --photos FOLDER --model ViT-L-14   (random weights; bf16 on GPU)

Both decode the same JPEGs, prepare them as the model asks and run the same model; the DataLoader
has two workers, or those given (several numbers are taken in turns), which start anew each round as
in a script that runs once; so do our processes where there is a GPU, and the first of these rounds
has their imports too, some seconds once a run. Rounds alternate.
"""

import argparse
import copy
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import open_clip
import torch
from PIL import Image
from torch.utils.data import DataLoader, Dataset

from catalog.images import decode, read_header
from catalog.shards import ShardWriter, find_shards
from curation import embed
from curation.deduplicate.benchmarks import find_images
from curation.preparing import all_cores
from networks.embedders import load_embedder
from networks.embedders.open_clip import OpenClipEmbedder
from networks.interfaces import Identity
from tests.curation.deduplicate.photos import jpeg


class Files(Dataset):
    """Images of a folder, prepared for the model."""

    def __init__(self, paths: list[Path], transform: Any) -> None:
        self.paths, self.transform = paths, transform

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> torch.Tensor:
        """(3, side, side) float32."""
        return self.transform(Image.open(self.paths[index]).convert("RGB"))


def plain_loop(
    paths: list[Path], embedder: OpenClipEmbedder, model: Any, batch: int, workers: int
) -> None:
    """As in open_clip's README, in batches; `model` as open_clip makes it."""
    loader = DataLoader(Files(paths, embedder.transform), batch, num_workers=workers)
    dtype = next(model.visual.parameters()).dtype
    with torch.inference_mode():
        for images in loader:
            images = images.to(embedder.device, dtype)
            model.encode_image(images, normalize=True).cpu()


def files(photos: list[Path], count: int) -> Iterator[bytes]:
    """JPEGs of the photos, again and again each time in another quality."""

    def one(photo: Path, round_: int) -> bytes:
        return jpeg(decode(photo.read_bytes()), 80 + round_ % 20)

    with ThreadPoolExecutor() as pool:
        for round_ in range(-(-count // len(photos))):
            left = count - round_ * len(photos)
            yield from pool.map(partial(one, round_=round_), photos[:left])


def main() -> None:
    """Print rates and their ratio, a line a round."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--photos", type=Path, required=True)
    parser.add_argument("--images", type=int, default=400)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--workers", type=int, nargs="+", default=[2], help="of the DataLoader")
    parser.add_argument("--model", default="mendline-clip")
    given = parser.parse_args()
    if given.model == "mendline-clip":
        embedder = load_embedder(given.model)
    else:
        device = "cuda" if torch.cuda.is_available() else "cpu"
        with torch.device(device):
            model = open_clip.create_model(given.model, device=device)
        if device == "cuda":
            model = model.bfloat16()
        identity = Identity(given.model, "1", trained=False)
        embedder = OpenClipEmbedder(model, open_clip.get_tokenizer(given.model), identity)
    assert isinstance(embedder, OpenClipEmbedder)
    plain_model = copy.deepcopy(embedder.model).to(memory_format=torch.contiguous_format)
    embed._loaded = lambda name: embedder  # type: ignore[assignment]
    photos = find_images(given.photos)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        paths = []
        with ShardWriter(folder / "shards") as writer:
            for number, data in enumerate(files(photos, given.images)):
                paths.append(folder / f"{number}.jpg")
                paths[-1].write_bytes(data)
                writer.add(data, read_header(data), {})
        shards = find_shards(folder / "shards")
        # The first call of a network on a GPU loads its kernels.
        embedder.embed_images([np.zeros((64, 64, 3), np.uint8)] * given.batch)
        for number in range(given.rounds):
            plain = {}
            for workers in given.workers:
                started = time.perf_counter()
                plain_loop(paths, embedder, plain_model, given.batch, workers)
                plain[workers] = given.images / (time.perf_counter() - started)
            started = time.perf_counter()
            with all_cores(embedder) as cores:
                rows = sum(len(embed.embed_shard("", given.batch, at, cores)) for at in shards)
            ours = rows / (time.perf_counter() - started)
            print(f"round {number}: embed {ours:.1f}/s", end="")
            for workers, rate in plain.items():
                print(f"; plain loop of {workers} {rate:.1f}/s, ratio {ours / rate:.2f}", end="")
            print(flush=True)


if __name__ == "__main__":
    main()
