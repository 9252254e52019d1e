"""From the evidence of whole photos, with and without marks, to a probability."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from catalog.progress import track
from networks.watermark.detector import Score, look
from networks.watermark.fit.scenes import Maker
from networks.watermark.network import MarkNet

FALSE_POSITIVES = 0.01
"""Share of unmarked held-out photos above a probability of one half."""


def calibrate(
    net: MarkNet,
    pictures: Sequence[Path],
    fonts: Sequence[Path],
    tests: int,
    rng: np.random.Generator,
) -> tuple[Score, float]:
    """A logistic regression over the evidence, and the recall it has where one half lies."""
    from sklearn.linear_model import LogisticRegression

    maker = Maker(pictures, fonts)
    found, truth = [], []
    for index in track(range(2 * tests), "photos"):
        marked = index % 2 == 1
        image, covered = maker.whole(rng, marked)
        if covered == marked:
            found.append(look(net, image)[1])
            truth.append(marked)
    values, marks = np.array(found), np.array(truth)
    model = LogisticRegression(C=1.0).fit(values, marks)
    raw = model.decision_function(values)
    level = float(np.quantile(raw[~marks], 1 - FALSE_POSITIVES))
    score = Score(tuple(model.coef_[0].tolist()), float(model.intercept_[0]) - level)
    return score, float((raw[marks] > level).mean())
