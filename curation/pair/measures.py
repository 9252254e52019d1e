"""What is measured of a pair: severity of both sides, consistency, movement of the content."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

from catalog import images
from catalog.degradations import Degradation
from catalog.images import Rgb
from catalog.settings.pairs import Pair
from curation.copies import most_copies
from curation.pair.alignment import find_movement
from curation.pair.colour import find_drift
from curation.pair.warps import find_warp
from networks.changes.detector import load_detector
from networks.consistency import load_consistency
from networks.interfaces import Consistency, Judge
from networks.judges import load_judge
from networks.judges.answers import Silence, ask

_DIGITS = 4


@dataclass(frozen=True)
class Measures:
    """Numbers behind the verdict on a pair; None where something could not be measured."""

    severity_degraded: float | None
    severity_clean: float | None
    consistency: float
    shift: float
    """px; 0 for synthetic pairs, which do not move"""
    scores: Mapping[str, float]

    def columns(self) -> dict[str, object]:
        """As columns of schemas.PAIRS."""
        return {
            "severity_degraded": self.severity_degraded,
            "severity_clean": self.severity_clean,
            "consistency": self.consistency,
            "shift": self.shift,
            "scores": list(self.scores.items()),
        }


class Instruments:
    """The judge and the distance that the settings name, loaded when something is measured.

    They stay in the process that loaded them: pickled, only the settings go along.
    """

    def __init__(self, settings: Pair) -> None:
        self.settings = settings

    def __getstate__(self) -> dict[str, Pair]:
        return {"settings": self.settings}

    @cached_property
    def judge(self) -> Judge:
        """Of the severities of both sides."""
        return load_judge(self.settings.judge)

    @cached_property
    def silence(self) -> Silence:
        """Ends the stage where the judge is gone."""
        return Silence(self.settings.judge, "pair.judge")

    @property
    def processes(self) -> int:
        """How many processes may hold the judge."""
        return most_copies([self.judge])

    @cached_property
    def consistency(self) -> Consistency:
        """Of the content of both sides."""
        return load_consistency(self.settings.consistency)

    @property
    def digests(self) -> list[str]:
        """What measurements of them must be keyed by; the first is of how pixels are decoded."""
        return [images.VERSION, self.judge.identity.digest, self.consistency.identity.digest]

    def measure(
        self, degraded: Rgb, clean: Rgb, degradation: Degradation, aligned: bool = False
    ) -> Measures:
        """Measure a pair of images of one size; `aligned` says that nothing can have moved.

        Raises `UserError` where the judge answers nothing any more.
        """
        before, after = answers = ask(self.judge, [degraded, clean], degradation)
        self.silence.hear([degraded, clean], answers)
        scores = {f"degraded-{name}": value for name, value in before.scores.items()}
        scores |= {f"clean-{name}": value for name, value in after.scores.items()}
        shift = 0.0
        if not aligned:
            found = compare(degraded, clean, degradation)
            shift = found["move-rms"]
            scores |= found
        # SIMD sums depend on where an array lies in memory; the last digits are no measurement,
        # and the same input must give the same bytes.
        return Measures(
            _rounded(before.severity),
            _rounded(after.severity),
            round(float(self.consistency.distance(degraded, clean)), _DIGITS),
            round(shift, _DIGITS),
            {name: round(float(value), _DIGITS) for name, value in sorted(scores.items())},
        )


def compare(degraded: Rgb, clean: Rgb, degradation: Degradation) -> dict[str, float]:
    """What moved, drifted or changed from one side to the other, by name."""
    return {
        **find_movement(degraded, clean).scores(),
        "move-warp": find_warp(degraded, clean),
        "content-changed": load_detector().probability(degraded, clean, degradation),
        **find_drift(degraded, clean).scores(),
    }


def _rounded(severity: float | None) -> float | None:
    return None if severity is None else round(float(severity), _DIGITS)
