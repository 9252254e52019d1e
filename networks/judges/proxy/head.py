"""The ordinal heads: from measures to a severity and its probability."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

KNOTS = 33
STEPS = (1.8, 2.6, 3.4, 4.4)
"""Severities at which the heads decide "at least as strong as this"."""


@dataclass(frozen=True)
class Weights:
    """An ensemble of one-layer networks over measures that are spread evenly."""

    names: list[str]
    """Measures, in order."""
    knots: np.ndarray
    """(measures, KNOTS): quantiles by which a measure becomes -1 .. 1, constant beyond."""
    first: np.ndarray
    """(members, measures, hidden)"""
    bias: np.ndarray
    """(members, hidden)"""
    second: np.ndarray
    """(members, hidden, 9)"""
    thresholds: np.ndarray
    """(members, 9, steps), descending along the steps"""

    @staticmethod
    def normalise(values: np.ndarray, knots: np.ndarray) -> np.ndarray:
        """(n, measures) raw to (n, measures) in -1 .. 1 by the quantiles."""
        places = np.linspace(-1, 1, KNOTS)
        columns = [np.interp(values[:, i], knots[i], places) for i in range(values.shape[1])]
        return np.stack(columns, axis=1).astype(np.float32)

    def reached(self, values: np.ndarray) -> np.ndarray:
        """(n, 9, steps): probability that the severity is at or below each step."""
        given = self.normalise(values, self.knots)
        hidden = np.tanh(given[None] @ self.first + self.bias[:, None])
        score = hidden @ self.second
        logits = score[:, :, :, None] - self.thresholds[:, None]
        # The mean of logits, not of probabilities: one member that is unsure does not decide.
        return 1 / (1 + np.exp(-logits.mean(axis=0)))

    def table(self, measures: list[Mapping[str, float]]) -> np.ndarray:
        """(n, measures) of dictionaries by name."""
        return np.array([[one[name] for name in self.names] for one in measures], np.float32)


def raw_severity(reached: np.ndarray) -> np.ndarray:
    """(..., steps) to (...): the expected severity, 1 .. 5."""
    centres = np.array([1.4, 2.2, 3.0, 3.8, 5.0])
    below = np.concatenate([reached, np.ones((*reached.shape[:-1], 1))], axis=-1)
    mass = np.diff(below, axis=-1, prepend=0.0)
    return (mass * centres).sum(axis=-1)
