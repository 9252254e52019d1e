"""What of the gate's chance of error each candidate may use up, where many try for one place.

Twenty useless candidates that are each let through by chance one time in twenty would often bring
one through. So the k-th that is compared with one champion may use 1 / (k (k + 1)) of alpha: a
half, a sixth, a twelfth. The shares of K candidates add up to 1 - 1 / (K + 1), never to more than
one, and by Bonferroni's inequality the chance that any useless one passes is at most alpha. How
many will come need not be known, and no verdict is changed by a later candidate (alpha-spending;
Foster and Stine 2008, here without anything earned back).
"""

import math

_TAIL = 10
_MOST = 1_000_000


def spent_by(k: int, alpha: float) -> float:
    """The part of `alpha` (0..1) that the k-th candidate may use; k counts from 1."""
    if k < 1:
        raise ValueError(f"Candidates count from 1, not {k}.")
    return alpha / (k * (k + 1))


def resamples(tail: float, least: int) -> int:
    """Bootstrap resamples so that ten of them lie below the quantile `tail`; at most a million."""
    return max(least, math.ceil(min(_MOST, _TAIL / tail)) if tail else _MOST)


def percent(confidence: float) -> str:
    """A level below 1 as "97.5%", with two digits of what it lacks to all."""
    digits = max(0, 1 - math.floor(math.log10(100 * (1 - confidence) * (1 + 1e-9))))
    text = f"{100 * confidence:.{digits}f}"
    return f"{text.rstrip('0').rstrip('.') if '.' in text else text}%"
