"""Measuring the samples, and fitting the ordinal heads to them."""

import json
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch

from catalog.degradations import Degradation
from catalog.images import decode
from catalog.progress import track
from networks.judges.proxy.fit.photos import is_held_out
from networks.judges.proxy.head import KNOTS, STEPS, Weights
from networks.judges.proxy.measures import measure

DEGRADATIONS = [d.value for d in Degradation]


@dataclass(frozen=True)
class Data:
    """Measured samples."""

    names: list[str]
    values: np.ndarray
    """(n, measures) float32"""
    severities: np.ndarray
    """(n, 9) float32, 5 where the degradation is absent"""
    kinds: list[str]
    photos: np.ndarray
    """(n,) index of the photo"""

    @property
    def held_out(self) -> np.ndarray:
        """(n,) bool: samples of photos that are not trained on."""
        return np.array([is_held_out(int(photo)) for photo in self.photos])


def measure_samples(folder: Path, table: Path, processes: int) -> None:
    """Measure all samples below `folder` into one Parquet table."""
    rows = [
        entry for file in sorted(folder.glob("*.json")) for entry in json.loads(file.read_text())
    ]
    paths = [str(folder / f"{row['image_id']}.bin") for row in rows]
    with ProcessPoolExecutor(processes) as pool:
        found = list(track(pool.map(_measure, paths, chunksize=8), "measure", total=len(paths)))
    lines = [
        {
            "image_id": row["image_id"],
            "photo": row["photo"],
            "kind": row["kind"],
            **{f"severity/{d}": row["severities"].get(d, 5.0) for d in DEGRADATIONS},
            **{f"measure/{name}": value for name, value in values.items()},
        }
        for row, values in zip(rows, found, strict=True)
    ]
    pq.write_table(pa.Table.from_pylist(lines), table)


def _measure(path: str) -> dict[str, float]:
    cv2.setNumThreads(1)
    return measure(decode(Path(path).read_bytes()))


def read_data(table: Path) -> Data:
    """What `measure_samples` wrote."""
    content = pq.read_table(table)
    names = [n.removeprefix("measure/") for n in content.column_names if n.startswith("measure/")]
    columns = [content[f"measure/{name}"].to_numpy() for name in names]
    severities = [content[f"severity/{d}"].to_numpy() for d in DEGRADATIONS]
    return Data(
        names,
        np.stack(columns, axis=1).astype(np.float32),
        np.stack(severities, axis=1).astype(np.float32),
        content["kind"].to_pylist(),
        content["photo"].to_numpy(),
    )


def spread_knots(values: np.ndarray) -> np.ndarray:
    """(measures, KNOTS) quantiles of each measure, strictly increasing."""
    knots = np.quantile(values, np.linspace(0.002, 0.998, KNOTS), axis=0).T.astype(np.float64)
    steps = np.arange(KNOTS) * 1e-6 * (1 + np.abs(knots).max(axis=1, keepdims=True))
    return (np.maximum.accumulate(knots, axis=1) + steps).astype(np.float32)


def fit_heads(data: Data, train: np.ndarray, seeds: Sequence[int], hidden: int = 48) -> Weights:
    """An ensemble of small networks with ordinal outputs, fitted to the rows of `train`.

    Each head gives one score a degradation and four ordered thresholds, by which
    P(severity <= step) = sigmoid(score - threshold) (cumulative link model, McCullagh 1980).
    Measures are hidden at random, so that no head leans on one that real images do not follow.
    """
    knots = spread_knots(data.values[train])
    inputs = torch.from_numpy(Weights.normalise(data.values[train], knots))
    steps = torch.tensor(STEPS, dtype=torch.float32)
    target = (torch.from_numpy(data.severities[train])[:, :, None] <= steps).float()
    parts = [_fit_one(inputs, target, seed, hidden) for seed in seeds]
    return Weights(
        data.names,
        knots,
        np.stack([part[0] for part in parts]),
        np.stack([part[1] for part in parts]),
        np.stack([part[2] for part in parts]),
        np.stack([part[3] for part in parts]),
    )


def _fit_one(
    inputs: torch.Tensor, target: torch.Tensor, seed: int, hidden: int
) -> list[np.ndarray]:
    generator = torch.Generator().manual_seed(seed)
    count, width = inputs.shape
    first = torch.randn(width, hidden, generator=generator) / width**0.5
    bias = torch.zeros(hidden)
    second = torch.randn(hidden, len(DEGRADATIONS), generator=generator) / hidden**0.5
    start = torch.full((len(DEGRADATIONS),), 3.0)
    gaps = torch.zeros(len(DEGRADATIONS), len(STEPS) - 1)
    parameters = [p.requires_grad_() for p in (first, bias, second, start, gaps)]
    optimizer = torch.optim.AdamW(
        [{"params": [first, second], "weight_decay": 0.05},
         {"params": [bias, start, gaps], "weight_decay": 0.0}],
        lr=4e-3,
    )  # fmt: skip
    epochs, batch = 60, 128
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, 6e-3, total_steps=epochs * -(-count // batch)
    )
    for _ in range(epochs):
        for rows in torch.randperm(count, generator=generator).split(batch):
            given = inputs[rows]
            kept = torch.rand(given.shape, generator=generator) > 0.15
            jitter = 0.06 * torch.randn(given.shape, generator=generator)
            score = torch.tanh((given + jitter) * kept @ first + bias) @ second
            logits = score[:, :, None] - _thresholds(start, gaps)
            loss = torch.nn.functional.binary_cross_entropy_with_logits(logits, target[rows])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
    ordered = _thresholds(start, gaps)
    return [p.detach().numpy().astype(np.float32) for p in (*parameters[:3], ordered)]


def _thresholds(start: torch.Tensor, gaps: torch.Tensor) -> torch.Tensor:
    """(9, steps) descending: a milder step is passed at a lower score."""
    fall = torch.nn.functional.softplus(gaps).flip(1).cumsum(1).flip(1)
    return start[:, None] + torch.cat([fall, torch.zeros(len(start), 1)], dim=1)
