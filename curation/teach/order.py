"""In which order the teachers of a degradation are asked: by what they score on it.

Scores measured by Mendline (data/teachers/scores.json, written by `mendline teachers --measured`)
come first; the published ones of RealIR-Bench stand in for teachers that were not measured. The two
are by different judges, so they are never compared with each other.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from catalog.degradations import Degradation
from catalog.errors import UserError

FILE = "scores.json"
Scores = Mapping[str, Mapping[str, float]]
"""Teacher to degradation to score, larger is better."""

_TASKS = (
    "rain", "blur", "low-light", "haze", "reflection", "flare", "moire", "noise", "compression",
)  # fmt: skip

PUBLISHED: Scores = {
    name: dict(zip(_TASKS, scores, strict=True))
    for name, scores in {
        "realrestorer": (0.135, 0.159, 0.110, 0.090, 0.230, 0.247, 0.142, 0.090, 0.097),
        "qwen-image-edit": (0.196, 0.040, 0.014, 0.008, 0.243, 0.258, 0.135, 0.094, 0.046),
        "longcat-image-edit": (0.161, 0.000, 0.020, 0.000, 0.158, 0.261, 0.139, 0.061, 0.014),
        "flux.1-kontext": (0.102, 0.019, 0.029, 0.004, 0.024, 0.049, 0.070, 0.072, 0.072),
        "step1x-edit": (0.003, 0.123, 0.047, 0.031, 0.012, 0.000, 0.028, 0.012, 0.050),
        "nano-banana-pro": (0.236, 0.144, 0.077, 0.195, 0.176, 0.192, 0.137, 0.087, 0.116),
    }.items()
}
"""FS by task (RealRestorer, arXiv 2603.25502), by a part of a teacher's name."""


def ordered(names: Sequence[str], task: Degradation, measured: Scores) -> list[str]:
    """`names`, best first: measured above 0, then not measured, then measured to harm.

    Of those not measured the published come first, by their scores; the rest keeps its order.
    """

    def rank(name: str) -> tuple[int, float]:
        own = measured.get(name, {}).get(task)
        if own is not None:
            return (0 if own > 0 else 3, -own)
        known = [scores[task] for part, scores in PUBLISHED.items() if part in _plain(name)]
        return (1, -max(known)) if known else (2, 0.0)

    return sorted(names, key=rank)


def _plain(name: str) -> str:
    return name.lower().replace("_", "-")


def read_scores(folder: Path) -> Scores:
    """The measured scores in `folder`; empty when there are none. Raises `UserError`."""
    path = folder / FILE
    if not path.exists():
        return {}
    try:
        found = json.loads(path.read_text("utf-8"))["scores"]
        return {
            str(name): {str(Degradation(task)): float(value) for task, value in tasks.items()}
            for name, tasks in found.items()
        }
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(
            f"{path} holds no scores of teachers: {error}.",
            "Delete it, and write it again with `mendline teachers --measured`.",
        ) from error
