"""Severities told with the clean photo at hand: `python -m benchmarks.judge_ceiling`.

Photos of ../shared/data/clean, degraded as by `benchmarks.judge_synthesis`. A forest of random
trees learns the drawn severity from what differs between the photo and its degraded version: the
change itself, and that of every measure of the embedded judge. Prints the SRCC on photos it did not
learn from, by degradation: a judge who does not see the photo can hardly do better, but where it
does, these differences do not hold all that can be seen.
"""

from pathlib import Path

import click
import cv2
import numpy as np
from scipy.stats import spearmanr

from catalog.degradations import Degradation
from catalog.images import Rgb, decode
from catalog.progress import track
from networks.consistency.gmsd import Gmsd
from networks.degraders import load_degrader
from networks.judges.proxy.measures import measure
from networks.judges.proxy.views import coarse_of

DATA = Path(__file__).parents[1] / "../shared/data/clean"
FOLDS = 8


def differences(photo: Rgb, degraded: Rgb, before: dict[str, float]) -> list[float]:
    """What changed between two images of one size; `before`: the measures of the first."""
    first, second = (coarse_of(one).astype(np.float32) for one in (photo, degraded))
    luma, changed = (cv2.cvtColor(one, cv2.COLOR_RGB2GRAY) for one in (first, second))
    rms = np.sqrt(cv2.blur(((second - first) ** 2).mean(axis=2), (8, 8)))
    steep = [_gradient(one) for one in (luma, changed, changed - luma)]
    after = measure(degraded)
    return [
        *np.quantile(rms, (0.1, 0.5, 0.9, 0.99)),
        rms.mean(),
        np.log(rms.mean() + 1e-3),
        Gmsd().distance(coarse_of(photo), coarse_of(degraded)),
        float((changed - luma).std()),
        np.corrcoef(luma.ravel(), changed.ravel())[0, 1],
        changed.std() / luma.std(),
        steep[1] / steep[0],
        steep[2] / steep[0],
        *((second - first).mean(axis=(0, 1))),
        *(after[name] - before[name] for name in before),
    ]


def _gradient(values: np.ndarray) -> float:
    return float(np.hypot(cv2.Scharr(values, -1, 1, 0), cv2.Scharr(values, -1, 0, 1)).mean())


@click.command()
@click.option("--seed", default=1)
@click.option("-d", "only", multiple=True, help="One degradation; all where none is named.")
def main(seed: int, only: tuple[str, ...]) -> None:
    """Measure and print."""
    from sklearn.ensemble import ExtraTreesRegressor
    from sklearn.model_selection import GroupKFold, cross_val_predict

    cv2.setNumThreads(1)
    photos = [decode(path.read_bytes()) for path in sorted(DATA.glob("*.jpg"))]
    clean = [dict(measure(photo)) for photo in track(photos, "photos")]
    for degradation in [Degradation(one) for one in only] or list(Degradation):
        rows, drawn = [], []
        for index, photo in enumerate(track(photos, degradation.value)):
            rng = np.random.default_rng([seed, index])
            # As far apart as those of the 25 photos of judge_synthesis.
            layers = [photos[index - 8]] if degradation is Degradation.REFLECTION else []
            degrader = load_degrader(degradation, layers=layers)
            severity = float(rng.uniform(1, 5))
            rows.append(differences(photo, degrader.degrade(photo, severity, rng), clean[index]))
            drawn.append(severity)
        forest = ExtraTreesRegressor(300, min_samples_leaf=2, random_state=0)
        groups = np.arange(len(photos))
        told = cross_val_predict(forest, np.array(rows), drawn, groups=groups, cv=GroupKFold(FOLDS))
        print(f"{degradation:12} SRCC {spearmanr(told, drawn)[0]:.2f} of {len(drawn)}", flush=True)


if __name__ == "__main__":
    main()
