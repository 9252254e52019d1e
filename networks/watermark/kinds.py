"""What is written or drawn over a photo."""

from dataclasses import dataclass
from enum import StrEnum


class Kind(StrEnum):
    """What a mark is."""

    WATERMARK = "watermark"
    """a name, an agency's pale or repeated writing"""
    TEXT = "text-overlay"
    """a caption or a date stamp"""
    LOGO = "logo"
    """a sign"""


KINDS = tuple(Kind)


@dataclass(frozen=True)
class Mark:
    """What is over an image."""

    probability: float
    """0 .. 1, that there is any mark"""
    kind: Kind = Kind.WATERMARK
    """What it is, if it is there."""
    names_owner: bool = False
    """Whether its writing names an owner."""


NO_MARK = Mark(0.0)
