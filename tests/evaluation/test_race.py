"""Six promoters at once on one machine: a file lock around an SQLite store."""

import pytest

from catalog.layout import Layout
from evaluation.registry.store import Registry
from tests.evaluation.racing import race


def test_six_promoters_at_once(layout: Layout, registry: Registry) -> None:
    race(registry, [layout.root], layout.params.read_text(), 2)


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_six_promoters_a_hundred_times(layout: Layout, registry: Registry) -> None:
    race(registry, [layout.root], layout.params.read_text(), 100)
