"""What tests of review share."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.curation.review.serving import Running, make_tree


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Running]:
    make_tree(tmp_path)
    server = Running(tmp_path, "--share", "1")
    yield server
    server.kill()
