"""Collection as the refresh flow calls it."""

from pathlib import Path

from catalog.layout import Layout
from catalog.settings import Params


def fetch(layout: Layout, params: Params, urls: str | None, folder: str | None) -> dict[str, int]:
    """Collect what is new from a URL list, a folder, or both; return the outcomes.

    Relative paths are below the work tree. A list or folder from which all is there already gives
    {}. Raises `UserError`.
    """
    from curation.collect.run import collect
    from curation.collect.sources import Source
    from curation.collect.sources.folder import Folder
    from curation.collect.sources.url_list import UrlList

    sources: list[Source] = []
    if urls:
        sources.append(UrlList(_below(layout, urls), params.collect.columns))
    if folder:
        sources.append(Folder(_below(layout, folder)))
    return dict(collect(sources, layout, params.collect).outcomes)


def _below(layout: Layout, path: str) -> Path:
    return layout.root / Path(path).expanduser()
