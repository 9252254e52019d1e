"""Synthesis with clips, patterns and the tensor path."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pydantic import ValidationError
from skimage import data

from catalog import images, schemas
from catalog.degradations import Degradation
from catalog.errors import UserError
from catalog.images import Rgb
from catalog.settings.curation import Deduplicate, Hash
from catalog.settings.pairs import Pair, Synthesize, Teach
from catalog.shards import ShardStore
from catalog.stage import Counts
from catalog.tables import read_table
from curation.pair import measures
from curation.pair.checking import Candidate, Checker
from curation.select import Selected
from curation.synthesize import _makers, synthesize
from curation.synthesize.held_out import HeldOut
from curation.synthesize.maker import Maker
from curation.synthesize.windows import WindowMaker
from curation.teach.attempts import Attempt, Attempting
from curation.teach.teachers import Teachers
from networks.degraders.clips import Clip
from networks.interfaces import Judgement
from networks.judges.proxy.judge import ProxyJudge
from tests.curation.conftest import Tree, picture


@pytest.fixture
def small_tree(empty_tree: Tree) -> Tree:
    """One clean photo."""
    for number in range(1):
        empty_tree.add(picture(number), "clean", license="CC0-1.0", source="folder")
    return empty_tree.write()


def run(
    tree: Tree, settings: Synthesize, pair: Pair | None = None
) -> tuple[Counts, list[dict[str, object]]]:
    layout = tree.layout
    layout.benchmark.mkdir(parents=True, exist_ok=True)
    counts = synthesize(
        layout.raw,
        layout.screening,
        layout.duplicates,
        layout.contamination,
        layout.scratch("synthesize"),
        layout.synthetic,
        settings,
        pair or Pair(),
        HeldOut([layout.benchmark], Hash().thumbnail_side, Deduplicate()),
    )
    rows = read_table(layout.synthetic / "pairs.parquet", schemas.PAIRS).to_pylist()
    return counts, rows


def write_clip(folder: Path, shown: list[np.ndarray]) -> None:
    folder.mkdir(parents=True)
    for number, frame in enumerate(shown):
        Image.fromarray(frame).save(folder / f"{number}.png")


def test_a_folder_of_clips_that_is_not_there_is_said_before_the_work(
    small_tree: Tree, tmp_path: Path
) -> None:
    with pytest.raises(UserError, match="There is no folder of clips"):
        run(small_tree, Synthesize(max_side=96, clips=str(tmp_path / "clips")))
    assert not list(small_tree.layout.scratch("synthesize").rglob("*.parquet"))


def test_clips_give_pairs_of_their_middle_frames(small_tree: Tree, tmp_path: Path) -> None:
    photo = data.coffee()
    moving = [photo[20:140, 10 + 6 * n : 170 + 6 * n] for n in range(9)]
    write_clip(tmp_path / "clips/pan", moving)
    write_clip(tmp_path / "clips/cut", moving[:3] + [255 - frame for frame in moving[3:5]])
    settings = Synthesize(
        degradations=[Degradation.BLUR], max_side=96, clips=str(tmp_path / "clips"), clip_windows=2
    )
    counts, rows = run(small_tree, settings)
    assert counts.extra["clips"] == 2
    clips = [row for row in rows if str(row["group"]).startswith("clip-")]
    assert len(rows) - len(clips) == 1  # that of the photo
    assert len({row["group"] for row in clips}) == 2
    store = ShardStore(small_tree.layout.synthetic)
    for row in clips:
        assert row["degradation"] == "blur"
        assert row["photo_id"] == row["clean_id"]
        scores = dict(row["scores"])  # type: ignore[call-overload]
        first, count = int(scores["drawn-first-frame"]), int(scores["drawn-frames"])
        sharp, blurred = store.get(str(row["clean_id"])), store.get(str(row["degraded_id"]))
        assert sharp.decode().shape == blurred.decode().shape
        assert f"frame {first + count // 2}" in str(sharp.provenance["source"])
        assert count in (5, 7, 9)
    verdicts = {row["reason"] for row in clips if row["verdict"] == "drop"}
    assert "scene-cut" in verdicts
    assert any(row["verdict"] == "keep" for row in clips)

    again, rows_again = run(small_tree, settings)
    assert rows_again == rows
    assert again.extra == counts.extra


def test_frames_of_the_benchmark_are_no_pairs(small_tree: Tree, tmp_path: Path) -> None:
    cup, rocket = data.coffee(), data.rocket()
    for name, photo in (("cup", cup), ("rocket", rocket)):
        write_clip(
            tmp_path / "clips" / name,
            [photo[20:340, 40 + 6 * n : 460 + 6 * n] for n in range(9)],
        )
    benchmark = small_tree.layout.benchmark / "blur"
    benchmark.mkdir(parents=True)
    # A darker, re-encoded version whose frame is not the clip's.
    Image.fromarray((cup[:380] * 0.8).astype(np.uint8)).save(benchmark / "1.jpg", quality=70)
    settings = Synthesize(
        degradations=[Degradation.BLUR], max_side=320, clips=str(tmp_path / "clips"), clip_windows=1
    )
    counts, rows = run(small_tree, settings)
    clips = [row for row in rows if str(row["group"]).startswith("clip-")]
    assert sorted((row["verdict"] == "keep", row["reason"]) for row in clips)[0] == (
        False,
        "benchmark",
    )
    assert [row["reason"] for row in clips].count("benchmark") == 1
    assert counts.dropped["benchmark"] == 1


def test_the_device_is_a_setting_and_marks_what_it_made(small_tree: Tree) -> None:
    tasks = [Degradation.HAZE, Degradation.COMPRESSION]
    plain = Synthesize(degradations=tasks, max_side=96)
    _, rows = run(small_tree, plain)
    _, made = run(small_tree, plain.model_copy(update={"device": "cpu"}))
    by_seed = {row["seed"]: row for row in rows}
    for row in made:
        other = by_seed[row["seed"]]
        assert "-tensors/" in str(row["teacher"])
        assert row["teacher"] != other["teacher"]
        drawn = {k: v for k, v in row["scores"] if k.startswith("drawn-")}  # type: ignore[attr-defined]
        assert drawn == {k: v for k, v in other["scores"] if k.startswith("drawn-")}  # type: ignore[attr-defined]
        assert row["consistency"] == pytest.approx(other["consistency"], abs=0.02)


def test_other_patterns_make_other_pairs(small_tree: Tree, tmp_path: Path) -> None:
    settings = Synthesize(
        degradations=[Degradation.FLARE], max_side=96, patterns={"flare": str(tmp_path / "glare")}
    )
    (tmp_path / "glare").mkdir()
    glare = np.zeros((60, 80, 3), np.uint8)
    glare[20:40, 30:50] = 250
    Image.fromarray(glare).save(tmp_path / "glare/a.png")
    _, rows = run(small_tree, settings)
    Image.fromarray(np.roll(glare, 20, axis=1)).save(tmp_path / "glare/a.png")
    _, changed = run(small_tree, settings)
    assert {row["teacher"] for row in rows}.isdisjoint({row["teacher"] for row in changed})
    with pytest.raises(ValidationError, match="no patterns are blended for blur"):
        Synthesize(patterns={"blur": "x"})


class Gone:
    """The embedded judge with its server away."""

    identity = ProxyJudge.identity

    def judge(self, images: Sequence[Rgb], _: Degradation) -> list[Judgement]:
        return [Judgement(None, 0.0, "no server")] * len(images)


def test_pairs_that_were_not_judged_are_judged_by_the_next_run(
    small_tree: Tree, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    photo = data.coffee()
    write_clip(tmp_path / "clips/pan", [photo[20:140, 10 + 6 * n : 170 + 6 * n] for n in range(5)])
    settings = Synthesize(
        degradations=[Degradation.BLUR], max_side=96, clips=str(tmp_path / "clips"), clip_windows=1
    )
    # So that the distance alone shows nothing.
    unseen = Pair(visible_distance=1.0, min_distance=0.0)
    with monkeypatch.context() as away:
        away.setattr(measures, "load_judge", lambda _: Gone())
        _, rows = run(small_tree, settings, unseen)
        assert [row["reason"] for row in rows] == ["not-judged"] * 2
    _, again = run(small_tree, settings, unseen)
    assert all(row["severity_clean"] is not None for row in again)
    assert {row["pair_id"] for row in again} == {row["pair_id"] for row in rows}


def test_what_was_made_of_pixels_decoded_in_another_way_is_made_anew(
    small_tree: Tree, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    layout = small_tree.layout
    photo, clip = Selected("a" * 64, "g", ()), Clip(tmp_path, "b" * 64, 9)
    candidate = Candidate("a" * 64, "b" * 64, Degradation.HAZE)

    def keys() -> set[str]:
        settings = Synthesize()
        attempting = Attempting(layout.raw, Teachers(Teach(), tmp_path, tmp_path))
        return {
            Maker(layout.raw, settings, Pair(), []).key(photo),
            WindowMaker(settings, Pair()).key(clip),
            Checker(layout.raw, layout.raw, Pair()).key(candidate),
            attempting.key(Attempt("a" * 64, Degradation.HAZE, "classical")),
        }

    before = keys()
    assert keys() == before
    monkeypatch.setattr(images, "VERSION", "another")
    assert len(before) == 4 and keys().isdisjoint(before)


def test_new_photos_change_the_reflections_alone(empty_tree: Tree) -> None:
    """Which photos glass mirrors depends on all of them; the other pairs are not made again."""
    ids = [empty_tree.add(picture(number), "clean", source="folder") for number in range(2)]
    raw, photo = empty_tree.write().layout.raw, Selected(ids[0], "g", ())
    few = Synthesize(degradations=[Degradation.HAZE, Degradation.REFLECTION], layers=1)
    many = few.model_copy(update={"layers": 2, "max_photos": 9})
    plain, mirrored = (maker.key(photo) for maker in _makers(raw, few, Pair(), ids[:1]))
    plain_again, other = (maker.key(photo) for maker in _makers(raw, many, Pair(), ids))
    assert plain == plain_again
    assert len({plain, mirrored, other}) == 3
    (only,) = _makers(
        raw, few.model_copy(update={"degradations": [Degradation.REFLECTION]}), Pair(), ids
    )
    assert [row["degradation"] for row in only.make(photo).rows] == ["reflection"]
