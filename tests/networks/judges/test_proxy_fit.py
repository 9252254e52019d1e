"""What the judge's severities are fitted to: which photos, and which crops of them."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from catalog.errors import UserError
from networks.judges.proxy import head
from networks.judges.proxy.fit import ladder, said, sources
from networks.judges.proxy.fit.heads import Data, read_ladder

ASK = """
import sys
from pathlib import Path
from networks.judges.proxy.fit.said import Hashes, ask
ask(Path(sys.argv[1]), Path(sys.argv[2]), Hashes(*sys.argv[3:]), 1)
"""


def those_that_ship() -> said.Hashes:
    found = head.hashes()
    return said.Hashes(found["network"], found["glass"])


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


def test_answers_are_those_of_these_networks_to_this_ladder(tmp_path: Path) -> None:
    every = np.arange(ladder.SOURCES)
    photos = np.array([ladder.photo_of(source) for source in every.tolist()])
    kinds, nothing = np.repeat("clean", len(every)), np.zeros((len(every), 0))
    data = Data({}, {}, kinds, photos, every, np.full(len(every), 5.0), nothing)
    held, ours = said.held_out(), said.Hashes("ab" * 32, "cd" * 32)
    for source in held:
        place = said.place_of(tmp_path, ours, source)
        assert not place.exists()
        np.save(place, np.full((1, 9), float(source)))
    found = said.read(tmp_path, ours, data)
    assert found.severities.shape == (said.is_asked(data).sum(), 9)
    assert found.severities[:, 0].tolist() == held

    for others in (ours._replace(network="cd" * 32), ours._replace(glass="ab" * 32)):
        with pytest.raises(UserError, match=f"lacks what these networks say of {len(held)} of"):
            said.read(tmp_path, others, data)
    np.save(said.place_of(tmp_path, ours, held[1]), np.ones((2, 9)))
    with pytest.raises(UserError, match="answers other questions than those of this ladder"):
        said.read(tmp_path, ours, data)
    place = said.place_of(tmp_path, ours, held[2])
    place.write_bytes(place.read_bytes()[:-20])
    with pytest.raises(UserError, match=rf"{place.name} is damaged"):
        said.read(tmp_path, ours, data)


def test_whoever_asks_goes_on_with_what_is_not_answered_yet(tmp_path: Path) -> None:
    """With every source answered but one, it asks for that one's photo alone, which is missing."""
    held, ours = said.held_out(), those_that_ship()
    for source in held[1:]:
        np.save(said.place_of(tmp_path, ours, source), np.ones((1, 9)))

    def ask() -> subprocess.CompletedProcess[str]:
        # In a process of its own: one that torch has computed in is not to be forked.
        command = [sys.executable, "-c", ASK, str(tmp_path / "no-photos"), str(tmp_path), *ours]
        return subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)

    assert "is missing" in ask().stderr
    np.save(said.place_of(tmp_path, ours, held[0]), np.ones((1, 9)))
    assert ask().returncode == 0
