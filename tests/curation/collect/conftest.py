"""Fixtures of the collector's tests."""

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from catalog.layout import Layout
from catalog.settings.collect import Collect

sys.path.insert(0, str(Path(__file__).parent))

from web import Web, running_web


@pytest.fixture
def web() -> Iterator[Web]:
    """A web on 127.0.0.1 without any page."""
    with running_web() as small_web:
        yield small_web


@pytest.fixture
def settings() -> Collect:
    """Quick, impolite settings that let 127.0.0.1 through."""
    return Collect(
        allow_addresses=("127.0.0.1/32",),
        host_rate=2000,
        backoff=0.02,
        decoders=1,
        connect_timeout=2,
        read_timeout=0.5,
        total_timeout=1.5,
        max_bytes=300_000,
    )


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    """An empty work tree."""
    return Layout(tmp_path / "tree")


@pytest.fixture
def url_list(tmp_path: Path) -> Callable[..., Any]:
    """Writes URLs to a txt file and returns it as a source."""
    from curation.collect.sources.url_list import UrlList

    def write(*urls: str, name: str = "urls.txt") -> UrlList:
        path = tmp_path / name
        path.write_text("\n".join(urls))
        return UrlList(path, Collect().columns)

    return write


def outcomes(table: Path) -> dict[str, dict[str, Any]]:
    """Rows of an outcome table (or of a snapshot's) by URL, or by key for files."""
    path = table / "outcomes.parquet" if table.is_dir() else table
    rows = pq.read_table(path).to_pylist()
    found = {row["url"] or row["url_key"]: row for row in rows}
    assert len(found) == len(rows)
    return found
