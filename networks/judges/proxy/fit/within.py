"""Fitting the kernels: the severity within a degradation, from the ladder."""

from dataclasses import replace

import numpy as np

from catalog.degradations import Degradation
from networks.judges.proxy.fit import ladder
from networks.judges.proxy.fit.heads import Data
from networks.judges.proxy.fit.recipe import BEYOND, FIRST, LISTENED, SHARES, SIGHTED, WITHIN
from networks.judges.proxy.head import Curve, Head
from networks.judges.proxy.kernel import LIMIT, Kernel, scaled
from networks.judges.proxy.sight import PREFIX, Sight

WIDTH = 0.3
"""gamma times the number of measures, times two where there are components too."""
COMPONENTS = 200
PENALTY = 10.0
TUBE = 0.2
"""Severities: smaller errors cost nothing, which leaves fewer centres."""
FOLDS = 6
MILD = (0.3, 0.6, 0.8, 0.9, 0.95, 0.98)
"""Shares of the clean photos at which the curve of a severity has points."""
STRONG = ((0.5, 2.3), (0.8, 1.4), (0.99, 1.0))
"""Shares of the images with it, and the severity at which so many are no stronger."""


def fit_sight(data: Data) -> Sight:
    """The components in which the levels differ most, over the versions of `recipe.SIGHTED`."""
    from sklearn.decomposition import PCA

    rows = np.isin(data.kinds, [degradation.value for degradation in SIGHTED])
    levels = data.levels[rows]
    mean, scale = levels.mean(axis=0), levels.std(axis=0) + 1e-3
    plain = Sight(mean, scale, np.eye(len(mean))).components(levels)
    axes = PCA(COMPONENTS, svd_solver="full").fit(plain).components_
    return Sight(mean, scale, axes)


def sighted(data: Data, sight: Sight) -> Data:
    """The data with the components among the measures."""
    components = sight.components(data.levels)
    columns = {name: components[:, number] for number, name in enumerate(sight.names)}
    return replace(data, measures=data.measures | columns)


def names_of(data: Data, degradation: Degradation) -> tuple[str, ...]:
    """What the kernel of a degradation looks at: measures by `recipe.WITHIN`, and the components of
    a `Sight` by `recipe.SIGHTED`."""
    chosen = WITHIN[degradation]
    seen = [name for name in sorted(data.measures) if name.startswith(PREFIX)]
    measures = [
        name
        for name in sorted(data.measures)
        if name not in seen and (not chosen or name.startswith(chosen))
    ]
    return (*measures, *(seen if degradation in SIGHTED else ()))


def fit_kernel(data: Data, rows: np.ndarray, degradation: Degradation) -> Kernel:
    """The kernel of one degradation from the rows (bool) that carry it."""
    from sklearn.svm import SVR

    names = names_of(data, degradation)
    own = rows & (data.kinds == degradation.value)
    values = data.matrix(names)[own]
    mean, deviation = values.mean(axis=0), values.std(axis=0) + 1e-6
    reach, scale = LIMIT * deviation, deviation.copy()
    seen = np.array([name.startswith(PREFIX) for name in names])
    measures = int((~seen).sum())
    if seen.any():
        # All components together vary as much as all measures do.
        scale[seen] = np.sqrt((deviation[seen] ** 2).sum() / measures)
    gamma = WIDTH / (2 * measures if seen.any() else measures)
    model = SVR(C=PENALTY, gamma=gamma, epsilon=TUBE)
    model.fit(scaled(values, mean, reach, scale), data.drawn[own])
    return Kernel(
        names,
        mean,
        reach,
        scale,
        model.support_vectors_,
        model.dual_coef_[0],
        float(model.intercept_[0]),
        gamma,
    )


def shown(data: Data, degradation: Degradation) -> np.ndarray:
    """(n,) bool: the rows of the ladder that the kernel may be fitted to, by `recipe.FIRST`."""
    return ladder.first(data.sources, FIRST.get(degradation, ladder.SOURCES))


def across(data: Data, degradation: Degradation) -> np.ndarray:
    """(n,) severity by kernels that were not fitted to the photo they are asked about."""
    fold = data.photos % FOLDS
    values = data.matrix(names_of(data, degradation))
    found = np.zeros(len(data))
    for number in range(FOLDS):
        there = fold == number
        found[there] = fit_kernel(data, shown(data, degradation) & ~there, degradation).severity(
            values[there]
        )
    return found


def join(
    data: Data, head: Head, degradation: Degradation, asked: np.ndarray, said: np.ndarray
) -> tuple[Head, np.ndarray]:
    """The head with a kernel fitted to the rows, and the scores across photos of the rows `asked`
    (bool), of which the network, which has not seen their photos, says `said`.

    The curve from score to severity is drawn from those scores: kernels and networks find milder
    what they were fitted to.
    """
    head = replace(
        head,
        share=SHARES[degradation],
        enough=head.threshold + BEYOND.get(degradation, 0.0),
        listened=LISTENED[degradation],
    )
    evidence = head.evidence(data.matrix(head.names))
    within = across(data, degradation)
    within[asked] = head.blend(within[asked], said)
    score = head.score(evidence, within)
    own = asked & (data.kinds == degradation.value)
    clean = asked & (data.kinds == "clean")
    line = severity_curve(score[clean], head.presence(evidence[clean]), score[own])
    kernel = fit_kernel(data, shown(data, degradation), degradation)
    return replace(head, kernel=kernel, severity=line), score


def severity_curve(clean: np.ndarray, presences: np.ndarray, own: np.ndarray) -> Curve:
    """From score to severity, by the scores of clean photos and of those with the degradation.

    On clean photos a severity is as frequent as the same presence; of those with the degradation,
    half are at 2.3 or less: real images are milder than synthetic ones, and so use all five levels.
    """
    places = [float(clean.min()) - 1e-3, *np.quantile(clean, MILD).tolist()]
    values = [5.0, *np.quantile(presences, [1 - share for share in MILD]).tolist()]
    values = [max(value, 3.0) for value in values]
    for share, value in STRONG:
        place = float(np.quantile(own, share))
        if place > places[-1] + 0.2:
            places.append(place)
            values.append(value)
    if values[-1] > 1:
        places.append(places[-1] + 1.0)
        values.append(1.0)
    ordered = np.maximum.accumulate(places) + np.arange(len(places)) * 1e-4
    return Curve(ordered, np.minimum.accumulate(values))
