"""What the judge's severities are fitted to: which photos, and which crops of them."""

from pathlib import Path

import numpy as np
import pytest

from catalog.errors import UserError
from networks.judges.proxy.fit import ladder, sources


def test_every_photo_has_a_crop() -> None:
    found = {ladder.photo_of(source) for source in range(ladder.SOURCES)}
    assert found == set(range(sources.COUNT))


def test_the_first_sources_are_whole_and_of_both_old_kinds() -> None:
    every = np.arange(ladder.SOURCES)
    taken = ladder.first(np.repeat(every, 3), 124).reshape(ladder.SOURCES, 3)
    assert set(taken.sum(axis=1)) == {0, 3}
    assert taken[:, 0].sum() == 124
    photos = {ladder.photo_of(int(source)) for source in np.flatnonzero(taken[:, 0])}
    assert min(photos) < sources.COUNTS[0] < max(photos) < sum(sources.COUNTS[:2])
    assert ladder.first(every, ladder.SOURCES).all()


def test_pictures_of_another_package_are_refused(tmp_path: Path) -> None:
    (tmp_path / "pictures/tuxpaint-data").mkdir(parents=True)
    np.save(tmp_path / "pictures/tuxpaint-data/0.npy", np.zeros((300, 300, 3), np.uint8))
    with pytest.raises(UserError, match="not those that the judge was fitted to"):
        sources.load(tmp_path, sources.COUNT - 1)
