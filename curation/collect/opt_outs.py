"""Opt-outs from use that come with an answer: X-Robots-Tag, TDM-Reservation, IPTC data mining."""

import re
from collections.abc import Iterable, Sequence

_WITH_VALUE = {
    "unavailable_after",
    "max-snippet",
    "max-image-preview",
    "max-video-preview",
}

_NAME = re.compile(r"\*|[a-z_][a-z0-9_.-]*")

# PLUS Coalition vocabulary, property plus:DataMining, as IPTC Photo Metadata 2023.1 defines it.
_DATA_MINING = b"ldf/vocab/DMI-PROHIBITED"


def agent_token(user_agent: str) -> str:
    """The product token of a user agent: its first word without the version."""
    return re.split(r"[/\s(]", user_agent.strip(), maxsplit=1)[0].lower()


def directives(values: Iterable[str], agent: str) -> set[str]:
    """Directives of X-Robots-Tag headers that apply to all robots or to `agent` (a token).

    A name before a colon makes what follows it in the same header apply to that robot only, "*"
    to all. "none" stands for noindex and nofollow.
    """
    found: set[str] = set()
    for value in values:
        named: str | None = None
        for part in value.lower().split(","):
            word = part.strip()
            name, colon, rest = word.partition(":")
            # The time of a date has colons too, but no robot's name before them.
            if colon and _NAME.fullmatch(name.strip()) and name.strip() not in _WITH_VALUE:
                named, word = name.strip(), rest.strip()
            if named in (None, "*", agent):
                found.add(word)
    return found | ({"noindex", "nofollow"} if "none" in found else set())


def header_opt_out(
    robots_tags: Sequence[str], tdm_reservation: str | None, agent: str, obeyed: Iterable[str]
) -> str | None:
    """The first directive in `obeyed` that the headers carry, or None."""
    found = directives(robots_tags, agent)
    if (tdm_reservation or "").strip() == "1":
        found.add("tdm-reservation")
    return next((name for name in obeyed if name in found), None)


def image_opt_out(data: bytes) -> bool:
    """Whether the image's own metadata prohibits data mining (IPTC, PLUS vocabulary)."""
    return _DATA_MINING in data
