"""Images a second from shard to vectors, against open_clip's plain loop over a DataLoader.

    python -m benchmarks.embed_rate --photos FOLDER [--images 400] [--rounds 3]
    python -m benchmarks.embed_rate --photos FOLDER --model ViT-L-14   (random weights; bf16 on GPU)

Both decode the same JPEGs, prepare them as the model asks and run the same model; the DataLoader
has two workers, which start anew each round as in a script that runs once. Rounds alternate.
"""

import argparse
import copy
import tempfile
import time
from pathlib import Path
from typing import Any

import open_clip
import torch
from PIL import Image
from torch.utils.data import DataLoader, Dataset

from catalog.images import decode, read_header
from catalog.shards import ShardWriter, find_shards
from curation import embed
from curation.deduplicate.benchmarks import find_images
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


def main() -> None:
    """Print rates and their ratio, a line a round."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--photos", type=Path, required=True)
    parser.add_argument("--images", type=int, default=400)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--workers", type=int, default=2, help="of the DataLoader")
    parser.add_argument("--model", default="mendline-clip")
    given = parser.parse_args()
    if given.model == "mendline-clip":
        embedder = load_embedder(given.model)
    else:
        model = open_clip.create_model(given.model)
        if torch.cuda.is_available():
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
            for number in range(given.images):
                image = decode(photos[number % len(photos)].read_bytes())
                data = jpeg(image, 80 + number // len(photos) % 20)
                paths.append(folder / f"{number}.jpg")
                paths[-1].write_bytes(data)
                writer.add(data, read_header(data), {})
        shards = find_shards(folder / "shards")
        for number in range(given.rounds):
            started = time.perf_counter()
            plain_loop(paths, embedder, plain_model, given.batch, given.workers)
            plain = time.perf_counter() - started
            started = time.perf_counter()
            rows = sum(len(embed.embed_shard("", given.batch, shard)) for shard in shards)
            ours = time.perf_counter() - started
            print(
                f"round {number}: plain loop {given.images / plain:.1f}/s, "
                f"embed {rows / ours:.1f}/s, ratio {plain / ours * rows / given.images:.2f}",
                flush=True,
            )


if __name__ == "__main__":
    main()
