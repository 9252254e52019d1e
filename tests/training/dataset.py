"""A small work tree with a dataset made of photos that scikit-image ships."""

from pathlib import Path
from typing import Any

import numpy as np
import yaml
from skimage import data

from catalog import images, schemas
from catalog.degradations import Degradation
from catalog.layout import Layout
from catalog.pairs import pair_id
from catalog.settings import load_params
from catalog.shards import ShardWriter
from catalog.stage import Counts
from catalog.tables import write_table
from training.stage import Inputs, train_stage

ROOT = Path(__file__).parents[2]
SIDE = 64


def degrade(clean: np.ndarray, task: Degradation, rng: np.random.Generator) -> np.ndarray:
    """A crude stand-in for each degradation, strong enough that a small model gains quickly."""
    x = clean.astype(np.float32)
    if task in (Degradation.LOW_LIGHT, Degradation.MOIRE):
        x = x * 0.35
    elif task in (Degradation.HAZE, Degradation.FLARE, Degradation.REFLECTION):
        x = x * 0.5 + 110
    elif task in (Degradation.NOISE, Degradation.RAIN):
        x = x + rng.normal(0, 30, x.shape)
    else:
        x = sum(np.roll(x, shift, axis=1) for shift in range(-3, 4)) / 7
    return np.clip(x + 0.5, 0, 255).astype(np.uint8)


def make_dataset(
    layout: Layout,
    per_task: int = 6,
    seed: int = 0,
    tasks: tuple[Degradation, ...] = tuple(Degradation),
    real: tuple[Degradation, ...] = (Degradation.BLUR, Degradation.HAZE),
    size: tuple[int, int] = (80, 96),
) -> list[dict[str, Any]]:
    """Write shards and data/dataset/pairs.parquet; return its rows."""
    rng = np.random.default_rng(seed)
    photos = [data.astronaut(), data.coffee(), data.chelsea()]
    rows: list[dict[str, Any]] = []

    def store(writer: ShardWriter, image: np.ndarray) -> str:
        encoded = images.encode_png(image)
        return writer.add(encoded, images.read_header(encoded), {"source": "test"})

    with ShardWriter(layout.raw / "snapshot") as raw, ShardWriter(layout.synthetic) as synthetic:
        for task in tasks:
            for number in range(per_task):
                photo = photos[int(rng.integers(len(photos)))]
                top = int(rng.integers(photo.shape[0] - size[0]))
                left = int(rng.integers(photo.shape[1] - size[1]))
                clean = photo[top : top + size[0], left : left + size[1]]
                degraded = degrade(clean, task, rng)
                degraded_id, clean_id = store(synthetic, degraded), store(raw, clean)
                rows.append(
                    {
                        "pair_id": pair_id(degraded_id, clean_id, task),
                        "degraded_id": degraded_id,
                        "clean_id": clean_id,
                        "degradation": str(task),
                        "origin": "real" if task in real and number % 3 == 1 else "synthetic",
                        "group": clean_id,
                        "split": "validation" if number % 3 == 2 else "train",
                    }
                )
    write_table(layout.dataset / "pairs.parquet", rows, schemas.DATASET)
    return rows


TINY: dict[str, Any] = {
    "student": {
        "init": "scratch",
        "width": 32,
        "heads": 2,
        "double_blocks": 1,
        "single_blocks": 4,
        "mlp_ratio": 2.0,
        "tile": 64,
        "overlap": 16,
    },
    "transfer": {
        "steps": 12,
        "batch": 9,
        "crop": 32,
        "warmup": 3,
        "ema": 0.0,
        "validate_every": 4,
        "validation_pairs": 1,
        "checkpoint_every": 3,
    },
}


def write_params(layout: Layout, **sections: dict[str, Any]) -> None:
    """params.yaml from the embedded profile with `sections` updated."""
    content = yaml.safe_load((ROOT / "profiles/embedded.yaml").read_text("utf-8"))
    for name, values in sections.items():
        content[name] = {**(content[name] or {}), **values}
    layout.params.write_text(yaml.safe_dump(content), "utf-8")


def train(layout: Layout, **changes: object) -> Counts:
    """The stage `transfer` of `TINY` with `changes`, in this process."""
    write_params(layout, **{**TINY, "transfer": {**TINY["transfer"], **changes}})
    params = load_params(layout.params)
    return train_stage(
        "transfer",
        Inputs.of(layout, "transfer"),
        layout.transfer,
        layout.scratch("transfer"),
        params.student,
        params.transfer,
    )
