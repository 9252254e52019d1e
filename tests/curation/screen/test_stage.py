"""The screening stage over real shards."""

import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from skimage import data

from catalog import schemas
from catalog.degradations import Degradation
from catalog.errors import UserError
from catalog.images import encode_png, read_header
from catalog.layout import Layout
from catalog.settings.screen import Screen
from catalog.shards import ShardWriter, find_shards
from catalog.tables import read_table
from catalog.threads import cores
from curation.copies import BESIDE, LARGE, most_copies
from curation.screen.screener import Screener, load_screener
from curation.screen.stage import run, screen_shard
from networks.interfaces import Judge, Judgement
from networks.watermark.detector import Marks

SETTINGS = Screen.model_validate({})


def _store(layout: Layout, snapshot: str, images: list[np.ndarray]) -> list[str]:
    with ShardWriter(layout.raw / snapshot) as writer:
        encoded = [encode_png(image) for image in images]
        return [writer.add(one, read_header(one)) for one in encoded]


def test_every_image_has_one_row_and_the_counts_add_up(tmp_path: Path) -> None:
    layout = Layout(tmp_path)
    photo = data.astronaut()
    dark = (photo * 0.12).astype(np.uint8)
    tiny = photo[:40, :40]
    speck = photo[:1, :1]
    first = _store(layout, "one", [photo, dark, tiny, speck])
    _store(layout, "two", [dark])
    counts = run(layout, SETTINGS)
    table = read_table(layout.screening, schemas.SCREENING)
    rows = {row["image_id"]: row for row in table.to_pylist()}
    assert table["image_id"].to_pylist() == first
    assert rows[first[1]]["verdict"] == "degraded"
    assert rows[first[1]]["degradation"] == "low-light"
    assert rows[first[1]]["severity"] < 2.5
    assert rows[first[2]]["reason"] == "too-small"
    assert rows[first[3]]["reason"] == "too-small"
    assert rows[first[3]]["severity"] is None
    assert counts.rows_in == 5
    assert counts.dropped["known-in-snapshot"] == 1
    assert counts.rows_in == counts.rows_out + counts.dropped.total()


def test_the_same_input_gives_the_same_bytes(tmp_path: Path) -> None:
    layout = Layout(tmp_path)
    _store(layout, "one", [data.coffee()])
    run(layout, SETTINGS)
    before = layout.screening.read_bytes()
    run(layout, SETTINGS)
    assert layout.screening.read_bytes() == before


def test_no_images_give_an_empty_table(tmp_path: Path) -> None:
    Layout(tmp_path).raw.mkdir(parents=True)
    counts = run(Layout(tmp_path), SETTINGS)
    assert counts.rows_in == 0
    assert len(read_table(Layout(tmp_path).screening, schemas.SCREENING)) == 0


class Away:
    """The embedded judge, which does not answer the first `count` questions, or not with sense."""

    def __init__(self, judge: Judge, count: int, answer: Judgement) -> None:
        self.judge_network, self.count, self.answer = judge, count, answer
        self.identity = judge.identity

    def judge(self, images: Sequence[np.ndarray], degradation: Degradation) -> list[Judgement]:
        answers = self.judge_network.judge(images, degradation)
        taken = min(self.count, len(answers))
        self.count -= taken
        return [self.answer] * taken + answers[taken:]


GONE = Judgement(None, 0.0, "the judge's server cannot be reached")


def test_a_judge_that_failed_is_asked_again_by_the_next_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    layout = Layout(tmp_path)
    _store(layout, "one", [(data.astronaut() * 0.1).astype(np.uint8)])
    screener = load_screener(SETTINGS.model_dump_json())
    with monkeypatch.context() as away:
        away.setattr(screener, "judge", Away(screener.judge, 9, GONE))
        assert run(layout, SETTINGS).dropped == {"judge-failed": 1}
    assert run(layout, SETTINGS).dropped == {}


def test_only_images_without_an_answer_are_screened_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Some images a model never scores; a shard with one is not screened anew by every run."""
    layout = Layout(tmp_path)
    photos = [data.coffee(), (data.astronaut() * 0.1).astype(np.uint8), data.chelsea()]
    _store(layout, "one", photos)
    screener = load_screener(SETTINGS.model_dump_json())
    with monkeypatch.context() as away:
        # Of the first degradation only: the dark photo is dark all the same.
        away.setattr(screener, "judge", Away(screener.judge, 2, GONE))
        run(layout, SETTINGS)
    rows = read_table(layout.screening, schemas.SCREENING).to_pylist()
    assert [row["reason"] for row in rows] == ["judge-failed", "severity", rows[2]["reason"]]
    looked: list[tuple[int, ...]] = []
    find = screener.marks.find

    def counted(image: np.ndarray) -> Marks:
        looked.append(image.shape)
        return find(image)

    monkeypatch.setattr(screener.marks, "find", counted)
    run(layout, SETTINGS)
    assert looked == [photo.shape for photo in photos[:2]]
    completed = layout.screening.read_bytes()
    run(layout, SETTINGS)
    assert len(looked) == 2
    shutil.rmtree(layout.scratch("screen"))
    run(layout, SETTINGS)
    assert layout.screening.read_bytes() == completed


def test_a_judge_that_is_gone_stops_the_stage(monkeypatch: pytest.MonkeyPatch) -> None:
    screener = Screener(SETTINGS)
    screener.judge = Away(screener.judge, 100, GONE)
    photo = data.astronaut()[:128, :128]
    with pytest.raises(UserError, match=r"16 questions in a row.*cannot be reached"):
        screener.rows([photo] * 2)


@pytest.mark.parametrize("value", [float("nan"), 0.0, 17.0])
def test_an_answer_that_is_no_severity_is_none(value: float) -> None:
    screener = Screener(SETTINGS)
    screener.judge = Away(screener.judge, 9, Judgement(value))
    (row,) = screener.rows([data.astronaut()[:128, :128]])
    assert (row["verdict"], row["reason"], row["severity"]) == ("drop", "judge-failed", None)


def test_rows_come_in_the_order_of_the_shard(tmp_path: Path) -> None:
    layout = Layout(tmp_path)
    photo = encode_png(data.coffee())
    broken = encode_png(data.chelsea())[:3000]
    with ShardWriter(layout.raw / "one") as writer:
        keys = [writer.add(one, read_header(one)) for one in (photo, broken)]
    (shard,) = find_shards(layout.raw)
    rows = screen_shard(SETTINGS, shard)
    assert [row["image_id"] for row in rows] == keys
    assert [row["reason"] == "broken-image" for row in rows] == [False, True]


def test_networks_that_are_large_are_held_once() -> None:
    class Network:
        def __init__(self, model: object) -> None:
            self.model = model

    plenty = cores() * 4 * LARGE
    assert most_copies([None, Network("a name on a server")], plenty) == cores()
    assert most_copies([Network(torch.nn.Linear(10, 10))], plenty) == cores()
    large = torch.nn.Linear(1, 1)
    # A tensor of so many bytes that takes none: every element is the same one.
    large.weight.data = torch.zeros(1).expand(LARGE // 4 + 1)
    assert most_copies([None, Network(large)], plenty) == 1


def test_as_many_processes_as_the_memory_holds_and_at_least_one(
    capfd: pytest.CaptureFixture[str],
) -> None:
    assert most_copies([None], cores() * BESIDE) == cores()
    assert "memory-is-short" not in capfd.readouterr().err
    assert most_copies([None], BESIDE // 2) == 1
    if cores() > 1:
        assert "memory-is-short" in capfd.readouterr().err


def test_an_unknown_judge_is_named(tmp_path: Path) -> None:
    layout = Layout(tmp_path)
    with pytest.raises(UserError, match="no judge named 'prozy'"):
        run(layout, Screen(judge="prozy"))
