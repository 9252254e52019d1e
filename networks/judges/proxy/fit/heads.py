"""Measuring the samples, and fitting the ordinal heads to them."""

import json
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch

from catalog.degradations import Degradation
from catalog.errors import UserError
from catalog.images import decode
from catalog.progress import track
from networks.judges.proxy.fit import ladder
from networks.judges.proxy.fit.photos import is_held_out
from networks.judges.proxy.fit.recipe import CLEAN_AT_THRESHOLD, EVIDENCE
from networks.judges.proxy.fit.recipe import PULL as PULL_BY
from networks.judges.proxy.fit.samples import judged_severity
from networks.judges.proxy.head import KNOTS, Curve, Head, spread
from networks.judges.proxy.measures import derive, measure

STEPS = (1.8, 2.6, 3.4, 4.4)
"""Severities at which the ordinal loss asks "at least as strong as this"."""
PULL = 0.03
"""Strength of the pull of the weights towards their prior."""
PRESENT = 3.3
"""Severity at the score that `CLEAN_AT_THRESHOLD` of the clean crops reach."""


@dataclass(frozen=True)
class Data:
    """Measured samples."""

    measures: dict[str, np.ndarray]
    """(n,) by name"""
    severities: dict[Degradation, np.ndarray]
    """(n,), 5 where the degradation is absent"""
    kinds: np.ndarray
    photos: np.ndarray
    """(n,) index of the photo"""
    sources: np.ndarray
    """(n,) number of the crop; the photo's where there is one of each"""
    drawn: np.ndarray
    """(n,) severity that was asked of the degrader, 1 .. 5; 5 for clean ones and mixtures"""
    levels: np.ndarray
    """(n, sight.LEVELS) of the ladder, (n, 0) of the samples, whose levels were not looked at"""

    def __len__(self) -> int:
        return len(self.kinds)

    @property
    def held_out(self) -> np.ndarray:
        """(n,) bool: samples of photos that are not trained on."""
        return np.array([is_held_out(int(photo)) for photo in self.photos])

    def matrix(self, names: tuple[str, ...]) -> np.ndarray:
        """(n, names)"""
        return np.stack([self.measures[name] for name in names], axis=1)


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
            **{f"severity/{d}": row["severities"].get(d, 5.0) for d in Degradation},
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
    columns = {name: content[name].to_numpy() for name in content.column_names}
    measures = {
        name.removeprefix("measure/"): values.astype(np.float64)
        for name, values in columns.items()
        if name.startswith("measure/")
    }
    return Data(
        derive(measures),
        {d: columns[f"severity/{d}"].astype(np.float64) for d in Degradation},
        columns["kind"],
        columns["photo"],
        columns["photo"],
        np.full(len(columns["kind"]), 5.0),
        np.zeros((len(columns["kind"]), 0)),
    )


def read_ladder(folder: Path) -> Data:
    """What `ladder.measure_source` wrote of all sources.

    Raises `UserError` where some are missing, or were written by an earlier release.
    """
    places = [folder / f"{source:04d}.json" for source in range(ladder.SOURCES)]
    missing = sum(not place.is_file() for place in places)
    if missing:
        raise UserError(
            f"{folder} lacks {missing} of the {ladder.SOURCES} sources.",
            f"Run `fit ladder --out {folder}`, which goes on where it was.",
        )
    rows = [row for place in places for row in json.loads(place.read_text("utf-8"))]
    if not all("levels" in row for row in rows):
        raise UserError(
            f"{folder} was measured by an earlier release, without levels.",
            "Run `fit ladder` with another --out.",
        )
    kinds = np.array([row["kind"] for row in rows])
    drawn = np.array([row["severity"] for row in rows])
    severity = judged_severity(drawn)
    return Data(
        {name: np.array([row["measures"][name] for row in rows]) for name in rows[0]["measures"]},
        {d: np.where(kinds == d.value, severity, 5.0) for d in Degradation},
        kinds,
        np.array([ladder.photo_of(row["source"]) for row in rows]),
        np.array([row["source"] for row in rows]),
        drawn,
        np.array([row["levels"] for row in rows]),
    )


def fit_head(data: Data, train: np.ndarray, degradation: Degradation) -> Head:
    """The head of one degradation from the rows `train` (bool)."""
    prior = EVIDENCE[degradation]
    names = tuple(prior)
    raw = data.matrix(names)
    knots = _knots(raw[train])
    signs = np.sign(list(prior.values()))
    spread_out = spread(raw, knots) * signs
    strength = torch.tensor([abs(weight) for weight in prior.values()], dtype=torch.float64)
    truth = data.severities[degradation]
    weights, threshold = _fit(
        torch.from_numpy(spread_out[train]),
        torch.from_numpy(truth[train]),
        torch.from_numpy((data.kinds == "clean")[train]),
        strength,
        PULL_BY.get(degradation, PULL),
    )
    score = spread_out @ weights
    clean = score[data.kinds == "clean"]
    alone = data.kinds == degradation.value
    presence = curve(clean, score[alone], truth[alone], CLEAN_AT_THRESHOLD[degradation])
    return Head(names, knots, weights * signs, threshold, presence)


def _knots(values: np.ndarray) -> np.ndarray:
    """(measures, KNOTS) quantiles of each measure, strictly increasing."""
    knots = np.quantile(values, np.linspace(0.002, 0.998, KNOTS), axis=0).T
    steps = np.arange(KNOTS) * 1e-6 * (1 + np.abs(knots).max(axis=1, keepdims=True))
    return np.maximum.accumulate(knots, axis=1) + steps


def _fit(
    inputs: torch.Tensor,
    severity: torch.Tensor,
    clean: torch.Tensor,
    prior: torch.Tensor,
    pull: float,
) -> tuple[np.ndarray, float]:
    """Non-negative weights near `prior`, and the score at which severity 4.4 is even odds.

    Samples with the degradation and clean ones count the same in sum, others half as much.
    """
    target = (severity[:, None] <= torch.tensor(STEPS, dtype=torch.float64)).double()
    own = severity < 5
    other = ~own & ~clean
    share = torch.where(own, 1 / own.sum(), torch.where(clean, 1 / clean.sum(), 0.5 / other.sum()))
    share = (share / share.sum()).double()
    free = torch.log(torch.expm1(prior)).requires_grad_()
    start = torch.tensor([1.5], dtype=torch.float64, requires_grad=True)
    gaps = torch.zeros(len(STEPS) - 1, dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.Adam([free, start, gaps], lr=0.05)
    for _ in range(500):
        weights = torch.nn.functional.softplus(free)
        # Thresholds descend: a milder step is passed at a lower score.
        above = torch.nn.functional.softplus(gaps).flip(0).cumsum(0).flip(0)
        thresholds = start + torch.cat([above, torch.zeros(1, dtype=torch.float64)])
        logits = (inputs @ weights)[:, None] - thresholds
        losses = torch.nn.functional.binary_cross_entropy_with_logits(
            logits, target, reduction="none"
        )
        loss = (losses.mean(dim=1) * share).sum() + pull * ((weights - prior) ** 2).sum()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return torch.nn.functional.softplus(free).detach().numpy(), float(start.detach())


def curve(clean: np.ndarray, scores: np.ndarray, severities: np.ndarray, share: float) -> Curve:
    """From score to severity, by quantiles of clean and of strongly degraded samples.

    5 at the lowest clean score, 4.85 at the median, 4.1 where six times `share` of the clean ones
    lie above, 3.3 where `share` do, and 1 where 80 % of the severe ones are passed: real images
    are milder than synthetic ones, and so use all five levels.
    """
    points = [
        clean.min() - 1e-3,
        np.quantile(clean, 0.5),
        np.quantile(clean, 1 - min(0.4, 6 * share)),
        np.quantile(clean, 1 - share),
    ]
    severe = max(float(np.quantile(scores[severities < 2.2], 0.8)), points[-1] + 0.5)
    points += [(points[-1] + severe) / 2, severe]
    ordered = np.maximum.accumulate(np.array(points)) + np.arange(6) * 1e-4
    return Curve(ordered, np.array([5.0, 4.85, 4.1, PRESENT, 2.2, 1.0]))
