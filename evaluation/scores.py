"""Per-image scores and the two readings of the benchmark's headline number.

RS = severity(restored) - severity(degraded), in -4..4 (severity is 1 extreme .. 5 none);
LPS = consistency distance between the two images; FS = 0.2 * (1 - LPS) * RS (RealRestorer,
arXiv 2603.25502, section on RealIR-Bench).

`released`: mean of per-image products, RS clamped at 0, each rounded to 6 decimals, as the authors'
evaluator prints them. `paper`: 0.2 * (1 - mean LPS) * mean RS, signed, as all cells of the paper's
tables are. `signed`: mean of per-image products without the clamp; the gate compares these.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from catalog import schemas
from catalog.degradations import Degradation
from catalog.errors import UserError
from catalog.tables import read_table, write_table
from networks.interfaces import Identity
from networks.scoring import product, score_name

SCORED = "scored"
MODEL_FAILURES = frozenset({"missing-prediction", "unreadable-prediction", "restorer-failed"})
"""Outcomes that are the model's fault: a score of 0."""
JUDGE_FAILURES = frozenset({"judge-failed-degraded", "judge-failed-restored"})
"""Outcomes that are the judge's: excluded on both sides of a comparison, bounded, counted."""
READINGS = ("released", "paper", "signed")


@dataclass(frozen=True)
class ImageScore:
    """What is known of one benchmark image."""

    image_id: str
    name: str
    degradation: Degradation
    outcome: str
    severity_degraded: float | None = None
    severity_restored: float | None = None
    distance: float | None = None

    @property
    def counted(self) -> bool:
        """Whether it has a score: judged on both sides, or failed by the model's own fault."""
        return self.outcome == SCORED or self.outcome in MODEL_FAILURES

    @property
    def rs(self) -> float:
        """Signed restoration score; 0 where the model gave no image."""
        if self.severity_restored is None or self.severity_degraded is None:
            return 0.0
        return self.severity_restored - self.severity_degraded

    @property
    def lps(self) -> float:
        """Distance; 0 where the model gave no image, as if the input had been returned."""
        return 0.0 if self.distance is None else self.distance

    @property
    def signed(self) -> float:
        """0.2 * (1 - LPS) * RS; see `networks.scoring.product` for distances above 1."""
        return product(self.lps, self.rs)

    @property
    def released(self) -> float:
        """0.2 * (1 - LPS) * max(RS, 0) from LPS and RS in 6 decimals, itself in 6 decimals."""
        return round(0.2 * (1.0 - self.lps) * max(0.0, self.rs), 6)


@dataclass(frozen=True)
class Provenance:
    """Who computed a set of scores; two sets are comparable when judge, consistency and benchmark
    are equal. Kept as schema metadata of scores.parquet.
    """

    judge: str
    judge_digest: str
    consistency: str
    consistency_digest: str
    model: str
    model_digest: str
    benchmark: str
    benchmark_digest: str
    score_name: str

    @classmethod
    def of(
        cls, judge: Identity, consistency: Identity, model: Identity, benchmark: str, digest: str
    ) -> "Provenance":
        """Of the identities of the networks and the benchmark's name and digest."""
        return cls(
            str(judge),
            judge.digest,
            str(consistency),
            consistency.digest,
            str(model),
            model.digest,
            benchmark,
            digest,
            score_name(judge, consistency),
        )

    def mismatch(self, other: "Provenance") -> list[str]:
        """What makes `other` incomparable, in words; empty when comparable."""
        found = []
        for what in ("judge", "consistency", "benchmark"):
            if getattr(self, f"{what}_digest") != getattr(other, f"{what}_digest"):
                mine, theirs = getattr(self, what), getattr(other, what)
                found.append(f"{what}: {mine} against {theirs}")
        return found

    @property
    def proxy(self) -> bool:
        """Whether the scores stand in for the benchmark's own judge and LPIPS."""
        return self.score_name != "fs"


@dataclass(frozen=True)
class ScoreTable:
    """All scores of one model on one benchmark."""

    provenance: Provenance
    rows: tuple[ImageScore, ...]

    def counted(self) -> list[ImageScore]:
        """Rows that have a score."""
        return [row for row in self.rows if row.counted]

    def tasks(self) -> list[Degradation]:
        """The degradations that occur, in the order of the recipe."""
        found = {row.degradation for row in self.rows}
        return [task for task in Degradation if task in found]

    def outcomes(self) -> dict[str, int]:
        """How many images ended in which outcome."""
        names = sorted({row.outcome for row in self.rows})
        return {name: sum(row.outcome == name for row in self.rows) for name in names}

    def write(self, path: Path) -> None:
        """Write as schemas.SCORES with the provenance in the metadata."""
        metadata = {f"mendline.{key}": value for key, value in vars(self.provenance).items()}
        rows = [{**vars(row), "degradation": row.degradation.value} for row in self.rows]
        write_table(path, rows, schemas.SCORES.with_metadata(metadata))

    @classmethod
    def read(cls, path: Path) -> "ScoreTable":
        """Read what `write` wrote. Raises `UserError` where the provenance is absent."""
        table = read_table(path, schemas.SCORES)
        found = pq.read_schema(path).metadata or {}
        prefix = b"mendline."
        fields = {
            key.removeprefix(prefix).decode(): value.decode()
            for key, value in found.items()
            if key.startswith(prefix)
        }
        try:
            provenance = Provenance(**fields)
        except TypeError as error:
            raise UserError(
                f"The scores in {path} do not say who computed them.",
                "Evaluate again with `dvc repro evaluate`; scores without identities are never "
                "compared.",
            ) from error
        return cls(provenance, tuple(_row(row) for row in _plain(table)))


def _plain(table: pa.Table) -> list[dict]:
    return table.to_pylist()


def _row(row: Mapping) -> ImageScore:
    # float32 in the table, six decimals in memory: what was written is what is read.
    numbers = {name: value for name, value in row.items() if isinstance(value, float)}
    fields = {**row, **{name: round(value, 6) for name, value in numbers.items()}}
    return ImageScore(**{**fields, "degradation": Degradation(row["degradation"])})


def columns(rows: Sequence[ImageScore]) -> np.ndarray:
    """(n, 4): LPS, RS, the signed product, the released product."""
    return np.array(
        [[row.lps, row.rs, row.signed, row.released] for row in rows], dtype=np.float64
    ).reshape(-1, 4)


def reading(means: np.ndarray, name: str) -> np.ndarray:
    """(k,) values of the reading `name` from (k, 4) means of `columns`."""
    if name == "paper":
        return 0.2 * (1.0 - means[:, 0]) * means[:, 1]
    return means[:, {"signed": 2, "released": 3}[name]]


def bounded(rows: Iterable[ImageScore], name: str) -> tuple[float, float]:
    """Bounds of the mean `signed` or `released` over all rows whatever the judge failed to say.

    A row that the judge failed on lies, by its known severities and distance, between the worst
    and the best it can be.
    """
    low, high, n = 0.0, 0.0, 0
    for row in rows:
        n += 1
        worst, best = row_range(row, name)
        low, high = low + worst, high + best
    return (low / n, high / n) if n else (float("nan"), float("nan"))


def row_range(row: ImageScore, name: str = "signed") -> tuple[float, float]:
    """The least and the greatest `signed` or `released` score that a row can have."""
    if row.counted:
        return (row.released,) * 2 if name == "released" else (row.signed,) * 2
    degraded = (1.0, 5.0) if row.severity_degraded is None else (row.severity_degraded,) * 2
    restored = (1.0, 5.0) if row.severity_restored is None else (row.severity_restored,) * 2
    least, most = restored[0] - degraded[1], restored[1] - degraded[0]
    if name == "released":
        least, most = max(0.0, least), max(0.0, most)
    # 0 in between is an end too, where the distance is above 1.
    ends = [product(row.lps, rs) for rs in (least, most, min(max(0.0, least), most))]
    return min(ends), max(ends)


def without(row: ImageScore, outcome: str) -> ImageScore:
    """The row of an image that has no score for `outcome`."""
    return replace(row, outcome=outcome)
