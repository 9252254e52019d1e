"""Scores against clean references, for paired sets such as FoundIR: PSNR, SSIM, a distance."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from catalog.errors import ImageRefused
from catalog.progress import track
from evaluation.benchmark import Benchmark
from evaluation.restoring import Failed, Source
from evaluation.statistics import mean_interval
from evaluation.summary import SAMPLES, SEED
from networks.interfaces import Consistency

SMALLEST_SIDE = 7
"""The window of SSIM (Wang et al. 2004, uniform, as scikit-image has it)."""


def full_reference(
    benchmark: Benchmark, source: Source, consistency: Consistency
) -> dict[str, Any]:
    """Compare each prediction with its clean reference; the content of the JSON result.

    PSNR in dB over RGB (infinite for equal images, which is counted apart and left out of the
    mean), SSIM over RGB, both by scikit-image; the distance under the network's own name.
    A missing or unreadable prediction is counted by cause and has no PSNR; there is no honest
    number for it.
    """
    from skimage.metrics import peak_signal_noise_ratio, structural_similarity

    rows: list[dict[str, Any]] = []
    for item in track(benchmark.items, "evaluate"):
        row: dict[str, Any] = {"name": item.name, "outcome": "scored"}
        rows.append(row)
        try:
            clean = benchmark.image(item)
            restored = source.get(item, clean)
        except ImageRefused as error:
            row |= {"outcome": "unreadable-reference", "why": error.what}
            continue
        except Failed as failure:
            row |= {"outcome": failure.outcome, "why": str(failure)}
            continue
        if min(clean.shape[:2]) < SMALLEST_SIDE:
            row |= {"outcome": "too-small", "why": f"a side is below {SMALLEST_SIDE} pixels"}
            continue
        equal = bool(np.array_equal(clean, restored))
        psnr = None if equal else float(peak_signal_noise_ratio(clean, restored, data_range=255))
        ssim = float(structural_similarity(clean, restored, channel_axis=2, data_range=255))
        row |= {
            "identical": equal,
            "psnr": psnr if psnr is None else round(psnr, 6),
            "ssim": round(ssim, 6),
            "distance": round(float(consistency.distance(clean, restored)), 6),
        }
    return {
        "mode": "full-reference",
        "distance": str(consistency.identity),
        "images": rows,
        "outcomes": _count(row["outcome"] for row in rows),
        "identical": sum(bool(row.get("identical")) for row in rows),
        "mean": {name: _mean(rows, name) for name in ("psnr", "ssim", "distance")},
    }


def _count(values: Any) -> dict[str, int]:
    found: dict[str, int] = {}
    for value in values:
        found[value] = found.get(value, 0) + 1
    return dict(sorted(found.items()))


def _mean(rows: Sequence[dict[str, Any]], name: str) -> dict[str, Any] | None:
    values = [row[name] for row in rows if row.get(name) is not None]
    if not values:
        return None
    return mean_interval(values, ["all"] * len(values), SAMPLES, SEED).as_json()
