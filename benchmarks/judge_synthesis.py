"""Rank correlation of judged and true severities: `python -m benchmarks.judge_synthesis`.

Photos of ../shared/data/clean, none of them trained on, degraded by `networks.degraders` at known
severities, three of each photo and degradation. Prints SRCC by degradation, and what the judge says
of the photos as they are.
"""

from pathlib import Path

import click
import cv2
import numpy as np
from scipy.stats import spearmanr

from catalog.degradations import Degradation
from catalog.images import decode
from catalog.progress import track
from networks.degraders import load_degrader
from networks.judges import load_judge

DATA = Path(__file__).parents[1] / "../shared/data/clean"


@click.command()
@click.option("--judge", "name", default="proxy")
@click.option("--photos", default=25, help="How many, evenly from the folder.")
@click.option("--seed", default=0)
@click.option("-d", "only", multiple=True, help="One degradation; all where none is named.")
def main(name: str, photos: int, seed: int, only: tuple[str, ...]) -> None:
    """Measure and print."""
    cv2.setNumThreads(1)
    judge = load_judge(name)
    paths = sorted(DATA.glob("*.jpg"))
    chosen = [decode(p.read_bytes()) for p in paths[:: max(len(paths) // photos, 1)][:photos]]
    for degradation in [Degradation(one) for one in only] or list(Degradation):
        true: list[float] = []
        found: list[float] = []
        for index, photo in enumerate(track(chosen, degradation.value)):
            rng = np.random.default_rng([seed, index])
            layers = [chosen[index - 1]] if degradation is Degradation.REFLECTION else []
            degrader = load_degrader(degradation, layers=layers)
            for _ in range(3):
                severity = float(rng.uniform(1, 5))
                (answer,) = judge.judge([degrader.degrade(photo, severity, rng)], degradation)
                if answer.severity is not None:
                    true.append(severity)
                    found.append(answer.severity)
        plain = [a.severity for a in judge.judge(chosen, degradation) if a.severity is not None]
        print(
            f"{degradation:12} SRCC {spearmanr(found, true)[0]:.2f} of {len(true)}, "
            f"median {np.median(found):.1f}, clean {np.median(plain):.1f}"
        )


if __name__ == "__main__":
    main()
