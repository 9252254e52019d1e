"""Collection as the refresh flow calls it."""

from pathlib import Path

from catalog.layout import Layout
from catalog.settings import Params


def fetch(layout: Layout, params: Params, urls: str | None, folder: str | None) -> dict[str, int]:
    """Collect what is new from a URL list (relative to the work tree) or a folder; the outcomes."""
    raise NotImplementedError
