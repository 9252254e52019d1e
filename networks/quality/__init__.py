"""How good an image looks without a reference, by name: extras beside the judge, never a judge."""

from typing import Protocol

from catalog.images import Rgb
from networks.interfaces import Identity
from networks.names import unknown

NAMES = ("pyiqa:piqe", "pyiqa:entropy", "pyiqa:niqe:FILE@SHA256")


class Quality(Protocol):
    """A number for one image, on a scale of its own."""

    identity: Identity
    lower_is_better: bool

    def quality(self, image: Rgb) -> float:
        """Raises `ImageRefused` for an image that the measure has no number for."""
        ...


def load_quality(name: str) -> Quality:
    """Load the measure called `name`, one of `NAMES`, by the package pyiqa (extra `iqa`).

    PIQE and entropy need no weights; NIQE needs its parameters, a .mat file of the given SHA-256.
    Raises `UserError` for another name, another hash, or where the package is absent.
    """
    kind, _, rest = name.partition(":")
    metric, _, place = rest.partition(":")
    if kind != "pyiqa" or metric not in ("piqe", "entropy", "niqe"):
        raise unknown("measure of quality", name, NAMES)
    from networks.quality.iqa import Iqa

    return Iqa(metric, place)
