"""What the judge's severities are fitted to: which photos, and which crops of them."""

import json
from pathlib import Path

import numpy as np
import pytest

from catalog.errors import UserError
from networks.judges.proxy.fit import ladder, said, sources
from networks.judges.proxy.fit.heads import Data, read_ladder
from networks.judges.proxy.fit.packed import is_held_out


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


def test_a_ladder_that_is_unfinished_or_of_an_earlier_release_is_refused(tmp_path: Path) -> None:
    for source in range(ladder.SOURCES - 1):
        row = {"source": source, "kind": "clean", "severity": 5.0, "measures": {"luma_p50": 0.5}}
        (tmp_path / f"{source:04d}.json").write_text(json.dumps([row]))
    with pytest.raises(UserError, match=r"lacks 1 of the \d+ sources\. Run `fit ladder --out"):
        read_ladder(tmp_path)
    (tmp_path / f"{ladder.SOURCES - 1:04d}.json").write_text(json.dumps([row]))
    with pytest.raises(UserError, match="an earlier release, without levels"):
        read_ladder(tmp_path)


def test_answers_of_another_ladder_are_refused(tmp_path: Path) -> None:
    place = tmp_path / "said.npz"
    photos = np.arange(sources.COUNT)
    held = sum(is_held_out(photo) for photo in photos.tolist())
    kinds, nothing = np.repeat("clean", len(photos)), np.zeros((len(photos), 0))
    data = Data({}, {}, kinds, photos, photos, np.full(len(photos), 5.0), nothing)
    with pytest.raises(UserError, match=r"no file .*said\.npz"):
        said.read(place, data)
    said.write(said.Said(np.ones((held, 9))), place)
    assert said.read(place, data).severities.shape == (held, 9)
    said.write(said.Said(np.ones((held + 1, 9))), place)
    with pytest.raises(UserError, match=f"answers {held + 1} questions, not the {held} of this"):
        said.read(place, data)
