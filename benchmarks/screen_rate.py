"""Images a second of judging and of screening whole shards, against a plain loop over a DataLoader.

    python -m benchmarks.screen_rate --photos FOLDER [--images 400] [--rounds 3]

Both decode the same JPEGs and ask the same networks and detectors. The plain loop is what a script
would do: a DataLoader whose two workers decode, and the networks called in its loop. Ours are the
stages as they run: a process a core over the shards, results cached and written as tables; its
processes start anew each round. Rounds alternate. `benchmarks.embed_rate` does it for embedding.
"""

import argparse
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
from torch.utils.data import DataLoader, Dataset

from catalog.degradations import Degradation
from catalog.images import Rgb, decode, read_header
from catalog.layout import Layout
from catalog.settings.screen import Screen
from catalog.shards import ShardWriter, read_shard
from curation.by_shard import map_shards
from curation.deduplicate.benchmarks import find_images
from curation.screen import stage
from curation.screen.screener import load_screener
from networks.judges import load_judge
from tests.curation.deduplicate.photos import jpeg

SETTINGS = Screen.model_validate({})
SEVERITIES = pa.schema([("image_id", pa.string()), *[(d.value, pa.float64()) for d in Degradation]])


class Files(Dataset[Rgb]):
    """Decoded images of a list of files."""

    def __init__(self, paths: Sequence[Path]) -> None:
        self.paths = paths

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> Rgb:
        """(h, w, 3) uint8."""
        return decode(self.paths[index].read_bytes())


def _judge(images: Sequence[Rgb]) -> list[dict[str, float | None]]:
    judge = load_judge(SETTINGS.judge)
    answers = {d: judge.judge(images, d) for d in Degradation}
    return [{d.value: answers[d][i].severity for d in Degradation} for i in range(len(images))]


def _screen(images: Sequence[Rgb]) -> list[dict[str, Any]]:
    return load_screener(SETTINGS.model_dump_json()).rows(images)


def judge_shard(shard: Path) -> list[dict[str, Any]]:
    """Severities of the images of a shard, decoded and judged 16 at a time."""
    stored = list(read_shard(shard))
    rows: list[dict[str, Any]] = []
    for start in range(0, len(stored), SETTINGS.batch_size):
        batch = stored[start : start + SETTINGS.batch_size]
        judged = _judge([one.decode() for one in batch])
        rows += [{"image_id": o.image_id, **row} for o, row in zip(batch, judged, strict=True)]
    return rows


def plain_loop(paths: Sequence[Path], work: Callable[[Sequence[Rgb]], Any], workers: int) -> int:
    """Images that went through `work`, batch by batch."""
    loader = DataLoader(
        Files(paths), SETTINGS.batch_size, num_workers=workers, collate_fn=lambda images: images
    )
    return sum(len(work(images)) for images in loader)


def _judged(layout: Layout) -> int:
    tables = map_shards(layout, "judged", judge_shard, SEVERITIES, (str(time.time()),))
    return sum(len(table) for _, table in tables)


def _screened(layout: Layout) -> int:
    counts = stage.run(layout, SETTINGS)
    # No round is to find the results of an earlier one.
    for result in layout.scratch("screen").glob("*.parquet"):
        result.unlink()
    return counts.rows_in


def main() -> None:
    """Print rates and their ratio, a line a round and a kind of work."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--photos", type=Path, required=True)
    parser.add_argument("--images", type=int, default=400)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--workers", type=int, default=2, help="of the DataLoader")
    given = parser.parse_args()
    photos = find_images(given.photos)
    with tempfile.TemporaryDirectory() as name:
        layout = Layout(Path(name))
        paths = []
        with ShardWriter(layout.raw / "rate", max_images=max(given.images // 8, 1)) as writer:
            for number in range(given.images):
                image = decode(photos[number % len(photos)].read_bytes())
                data = jpeg(image, 80 + number // len(photos) % 20)
                paths.append(Path(name) / f"{number}.jpg")
                paths[-1].write_bytes(data)
                writer.add(data, read_header(data))
        kinds = {"judge": (_judge, _judged), "screen": (_screen, _screened)}
        for number in range(given.rounds):
            for kind, (work, ours) in kinds.items():
                started = time.perf_counter()
                count = plain_loop(paths, work, given.workers)
                plain = (time.perf_counter() - started) / count
                started = time.perf_counter()
                count = ours(layout)
                stage_s = (time.perf_counter() - started) / count
                print(
                    f"round {number}, {kind}: plain loop {1 / plain:.1f}/s, stage "
                    f"{1 / stage_s:.1f}/s, ratio {plain / stage_s:.2f}",
                    flush=True,
                )


if __name__ == "__main__":
    main()
