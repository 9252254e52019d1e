"""Collection as the refresh flow calls it."""

from pathlib import Path
from typing import TYPE_CHECKING

from catalog.errors import UserError
from catalog.layout import Layout
from catalog.settings import Params

if TYPE_CHECKING:
    from curation.collect.sources import Source


def fetch(layout: Layout, params: Params, urls: str | None, folder: str | None) -> dict[str, int]:
    """Collect what is new from a URL list, a folder, or both; return the outcomes.

    Relative paths are below the work tree. A list or folder from which all is there already gives
    {}. Raises `UserError`.
    """
    from curation.collect.run import collect

    return dict(collect(_sources(layout, params, urls, folder), layout, params.collect).outcomes)


def check(layout: Layout, params: Params, urls: str | None, folder: str | None) -> None:
    """Raise `UserError` for a list or folder of which nothing can come; nothing is fetched.

    Only the first URL is read: a fault further down is told when the whole list is.
    """
    for source in _sources(layout, params, urls, folder):
        if next(iter(source.items()), None) is None:
            raise UserError(
                f"{urls} holds no URLs at all.", "Give a list with at least one URL in it."
            )


def _sources(
    layout: Layout, params: Params, urls: str | None, folder: str | None
) -> "list[Source]":
    from curation.collect.sources.folder import Folder
    from curation.collect.sources.url_list import UrlList

    sources: list[Source] = []
    if urls:
        sources.append(UrlList(_below(layout, urls), params.collect.columns))
    if folder:
        sources.append(Folder(_below(layout, folder), layout.root))
    return sources


def _below(layout: Layout, path: str) -> Path:
    return layout.root / Path(path).expanduser()
