"""The search APIs by name, and the phrases they are asked for."""

import difflib
from collections.abc import Callable, Sequence

from catalog.degradations import Degradation
from catalog.errors import UserError
from catalog.settings.collect import Collect
from curation.collect.sources import PagedSource
from curation.collect.sources.openverse import Openverse
from curation.collect.sources.pexels import Pexels
from curation.collect.sources.wikimedia import Wikimedia

APIS: dict[str, Callable[[list[str], Collect], PagedSource]] = {
    source.name: source for source in (Openverse, Wikimedia, Pexels)
}


def phrases_for(degradations: Sequence[str], settings: Collect) -> list[str]:
    """The settings' phrases for some degradations, for all when none is given."""
    for name in degradations:
        if name not in list(Degradation):
            near = difflib.get_close_matches(name, list(Degradation), n=1)
            raise UserError(
                f"{name!r} is no degradation.",
                f"Did you mean {near[0]}?" if near else f"Take one of {', '.join(Degradation)}.",
            )
    wanted = [Degradation(name) for name in degradations] or list(Degradation)
    found = [phrase for name in wanted for phrase in settings.search.phrases.get(name, ())]
    if not found:
        raise UserError(
            f"There is no search phrase for {', '.join(wanted)}.",
            "Add some to collect.search.phrases in params.yaml.",
        )
    return list(dict.fromkeys(found))


def search_source(name: str, degradations: Sequence[str], settings: Collect) -> PagedSource:
    """The API `name` (a key of `APIS`) asked for the phrases of the degradations."""
    return APIS[name](phrases_for(degradations, settings), settings)
