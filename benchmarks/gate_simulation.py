"""How often the gate is right: simulated candidates whose true difference is known.

    python -m benchmarks.gate_simulation [--trials 1000] [--bootstrap 1000]

A world of 464 images, nine tasks, answers in the five grades. Each image has a severity of its own;
each model lifts it by an amount that partly depends on the image (both models find the same images
hard) and partly on the model alone. The true difference in FS units is set by a shift of the lift
that a run of 400,000 images calibrates. Named alternatives on the same draws: comparing bare means,
and strict mode at margins 0.08 and 0.05. The last two columns are the permutation check: how often
it calls the candidate better, and how often it and the bootstrap's lower bound say the same.
"""

import argparse
import json
import time
from collections import Counter

import numpy as np

from catalog.degradations import Degradation
from catalog.settings.evaluation import Gate
from evaluation.gate import PROMOTE, decide
from evaluation.scores import ImageScore, Provenance, ScoreTable
from evaluation.statistics import Agreement
from networks.interfaces import Identity

PER_TASK = (52, 52, 52, 52, 52, 51, 51, 51, 51)  # 464
LIFT, SHARED, OWN = 1.3, 0.8, 0.9  # grades: mean RS of the paper's model; spreads
DISTANCE = 0.40  # mean LPS of the paper's models
REPEAT = Agreement(60, 1.0, 1.0)


def world(rng: np.random.Generator, n: int) -> tuple[np.ndarray, np.ndarray]:
    """Severity of each degraded image (grades), and how easy it is for any model."""
    return rng.choice([1.0, 2.0, 3.0, 4.0], n, p=[0.2, 0.4, 0.3, 0.1]), rng.normal(0, SHARED, n)


def restored(
    rng: np.random.Generator, degraded: np.ndarray, easy: np.ndarray, shift: float | np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Grades after restoration, and distances."""
    n = len(degraded)
    lifted = degraded + LIFT + shift + easy + rng.normal(0, OWN, n)
    return np.clip(np.round(lifted), 1, 5), np.clip(rng.normal(DISTANCE, 0.12, n), 0, 1)


def score(degraded: np.ndarray, after: np.ndarray, distance: np.ndarray) -> np.ndarray:
    """Signed FS an image."""
    return 0.2 * (1 - distance) * (after - degraded)


def calibrate(target: float) -> float:
    """The shift of the lift whose true difference in mean FS is `target`."""
    degraded, easy = world(np.random.default_rng(99), 400_000)

    def mean(shift: float) -> float:
        return float(
            score(degraded, *restored(np.random.default_rng(7), degraded, easy, shift)).mean()
        )

    base, low, high = mean(0.0), -1.0, 2.0
    for _ in range(30):
        middle = (low + high) / 2
        low, high = (middle, high) if mean(middle) - base < target else (low, middle)
    return (low + high) / 2


def tables(rng: np.random.Generator, shifts: np.ndarray) -> tuple[ScoreTable, ScoreTable]:
    """Candidate and champion on one draw of the benchmark; one shift a task."""
    tasks = [task for task, n in zip(Degradation, PER_TASK, strict=True) for _ in range(n)]
    degraded, easy = world(rng, len(tasks))
    by_image = np.repeat(shifts, PER_TASK)
    sides = [restored(rng, degraded, easy, by_image), restored(rng, degraded, easy, 0.0)]
    network = Identity("simulated", "1")
    provenance = Provenance.of(network, network, network, "simulated", "0")
    return tuple(  # type: ignore[return-value]
        ScoreTable(
            provenance,
            tuple(
                ImageScore(str(i), str(i), task, "scored", degraded[i], after[i], distance[i])
                for i, task in enumerate(tasks)
            ),
        )
        for after, distance in sides
    )


def trial(rng: np.random.Generator, shifts: np.ndarray, gate: Gate) -> Counter:
    """Which rules would promote."""
    candidate, champion = tables(rng, shifts)
    found = decide(candidate, champion, REPEAT, gate)
    low = found.difference.low or 0.0
    passes = low > 0 and found.difference.estimate >= gate.min_difference
    lows = [result.difference.low or 0.0 for result in found.tasks.values()]
    return Counter(
        {
            "gate": found.verdict == PROMOTE,
            f"verdict {found.verdict}": 1,
            "without the veto": passes,
            "strict at 0.08": found.verdict == PROMOTE and min(lows) > -0.08,
            "strict at 0.05": found.verdict == PROMOTE and min(lows) > -0.05,
            "bare means": found.difference.estimate > 0,
            "sign flips": found.better_p < 1 - gate.confidence,
            "sign flips agree": (found.better_p < 1 - gate.confidence) == (low > 0),
        }
    )


def main() -> None:
    """Print a table and JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=1000)
    parser.add_argument("--bootstrap", type=int, default=1000)
    options = parser.parse_args()
    gate = Gate(
        bootstrap=options.bootstrap,
        permutations=options.bootstrap,
        confidence_for="candidate",  # many against one champion: benchmarks.many_candidates
    )
    cases: dict[str, np.ndarray] = {
        f"true difference {value:.2f}": np.full(9, calibrate(value))
        for value in (0.0, 0.01, 0.02, 0.03, 0.04, 0.05)
    }
    shifts = np.full(9, calibrate(0.05))
    shifts[7] = calibrate(-0.10)
    cases["0.05 on eight tasks, -0.10 on one"] = shifts
    results = {}
    rules = (
        "gate",
        "without the veto",
        "strict at 0.08",
        "strict at 0.05",
        "bare means",
        "sign flips",
        "sign flips agree",
    )
    print("promoted".ljust(36), *(rule.rjust(17) for rule in rules))
    started = time.perf_counter()
    for name, shift in cases.items():
        rng = np.random.default_rng(2026)
        total: Counter = Counter()
        for _ in range(options.trials):
            total += trial(rng, shift, gate)
        shares = {key: value / options.trials for key, value in sorted(total.items())}
        results[name] = shares
        print(name.ljust(36), *(f"{shares.get(rule, 0):16.1%} " for rule in rules), flush=True)
    candidate, champion = tables(np.random.default_rng(0), np.zeros(9))
    begun = time.perf_counter()
    decide(candidate, champion, REPEAT, Gate())
    print(f"one decision at 464 x 9, 10,000 resamples: {time.perf_counter() - begun:.2f} s")
    print(f"{options.trials} trials a case, {time.perf_counter() - started:.0f} s")
    print(json.dumps(results, sort_keys=True))


if __name__ == "__main__":
    main()
