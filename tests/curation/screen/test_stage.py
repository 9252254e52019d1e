"""The screening stage over real shards, and its rules."""

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
from curation.copies import LARGE, most_copies
from curation.screen.forms import Form
from curation.screen.prompts import Reading
from curation.screen.quality import Quality, measure_quality
from curation.screen.rules import Found, decide, explanation
from curation.screen.screener import Screener, load_screener
from curation.screen.stage import run, screen_shard
from networks.degraders import load_degrader
from networks.interfaces import Judge, Judgement
from networks.watermark.detector import Marks
from networks.watermark.kinds import Kind, Mark

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


def _judgements(**severities: float | None) -> dict[Degradation, Judgement]:
    given = {name.replace("_", "-"): value for name, value in severities.items()}
    return {d: Judgement(given.get(d.value, 5.0), 1.0) for d in Degradation}


@pytest.mark.parametrize(
    ("size", "severities", "watermark", "verdict", "reason", "named", "also"),
    [
        ((300, 300), {"rain": 2.0}, 0.0, "degraded", "severity", "rain", ()),
        ((300, 300), {"rain": 2.0, "low_light": 1.5}, 0.0, "degraded", "severity", "low-light",
         ("rain",)),
        ((300, 300), {"rain": 2.0}, 0.95, "drop", "watermark", "rain", ()),
        ((90, 300), {"rain": 2.0}, 0.0, "drop", "too-small", "rain", ()),
        ((300, 300), {"rain": 3.35}, 0.0, "drop", "unsure", "rain", ()),
        ((300, 300), {}, 0.0, "clean", "clean", "blur", ()),
        ((120, 300), {}, 0.0, "drop", "clean-but-small", "blur", ()),
        ((300, 300), dict.fromkeys([d.value.replace("-", "_") for d in Degradation]), 0.0, "drop",
         "judge-failed", None, ()),
        # What was not judged may be there.
        ((300, 300), {"rain": None}, 0.0, "drop", "judge-failed", "blur", ()),
        ((300, 300), {"rain": None, "haze": 2.0}, 0.0, "degraded", "severity", "haze", ()),
        ((300, 300), {"rain": None, "haze": 3.35}, 0.0, "drop", "judge-failed", "haze", ()),
    ],
)  # fmt: skip
def test_rules(
    size: tuple[int, int],
    severities: dict[str, float | None],
    watermark: float,
    verdict: str,
    reason: str,
    named: str | None,
    also: tuple[str, ...],
) -> None:
    found = Found(_good(min(size)), _judgements(**severities), Mark(watermark))
    decision = decide(found, SETTINGS)
    assert (decision.verdict, decision.reason) == (verdict, reason)
    assert decision.degradation == named
    assert decision.also == also


@pytest.mark.parametrize(
    ("mark", "reason"),
    [
        (Mark(0.7, Kind.LOGO), "logo"),
        (Mark(0.7, Kind.TEXT), "text-overlay"),
        (Mark(0.5, Kind.TEXT), "severity"),
        (Mark(0.5, Kind.WATERMARK, named=True), "watermark"),
        (Mark(0.3, Kind.WATERMARK, named=True), "severity"),
        (Mark(float("nan")), "watermark"),
    ],
)
def test_a_mark_is_dropped_for_what_it_is(mark: Mark, reason: str) -> None:
    found = Found(_good(300), _judgements(rain=2.0), mark)
    assert decide(found, SETTINGS).reason == reason
    # A lower limit for all marks holds for those that name an owner, too.
    strict = SETTINGS.model_copy(update={"max_watermark": 0.2})
    assert decide(found, strict).reason == mark.kind


@pytest.mark.parametrize(
    ("severity", "presence", "limit", "reason"),
    [
        (2.0, 4.0, 3.8, "traces"),
        (3.79, 4.0, 3.8, "traces"),
        (3.8, 4.0, 3.8, "clean"),
        (2.0, 4.0, 1.0, "clean"),
        # Presence decides first.
        (2.0, 3.4, 3.8, "unsure"),
        (2.0, 3.0, 3.8, "severity"),
    ],
)
def test_a_clean_source_shows_no_traces(
    severity: float, presence: float, limit: float, reason: str
) -> None:
    judged = _judgements() | {Degradation.MOIRE: Judgement(severity, 1.0, presence=presence)}
    settings = SETTINGS.model_copy(update={"clean_severity": limit})
    decision = decide(Found(_good(400), judged), settings)
    assert decision.reason == reason
    assert decision.degradation == Degradation.MOIRE
    assert (decision.verdict == "clean") == (reason == "clean")


def _good(side: int) -> Quality:
    return Quality(side, 1.0, 1.0, 0.0, 200.0)


@pytest.mark.parametrize("form", list(Form))
def test_what_is_no_photo_is_dropped_by_name(form: Form) -> None:
    limit = getattr(SETTINGS, f"max_{form.value}")
    for score, reason in ((limit, "severity"), (min(limit + 0.01, 1.0), form.value)):
        found = Found(_good(400), _judgements(rain=2.0), forms={form: score})
        assert decide(found, SETTINGS).reason == reason


@pytest.mark.parametrize(
    ("quality", "reason"),
    [
        (Quality(400, 1.0, 1.0, 0.0, 200.0), "clean"),
        (Quality(120, 1.0, 1.0, 0.0, 200.0), "clean-but-small"),
        (Quality(400, 30.0, 1.0, 0.0, 200.0), "clean-but-noisy"),
        (Quality(400, 1.0, 5.0, 0.0, 200.0), "clean-but-soft"),
        (Quality(400, 1.0, 1.0, 2.0, 200.0), "clean-but-compressed"),
    ],
)
def test_only_good_photos_are_clean_sources(quality: Quality, reason: str) -> None:
    decision = decide(Found(quality, _judgements()), SETTINGS)
    assert decision.reason == reason
    assert decision.verdict == ("clean" if reason == "clean" else "drop")


def test_placeholders_and_gradients_are_blank_and_the_darkest_photos_are_not() -> None:
    rng = np.random.default_rng(0)
    grey = np.full((300, 400, 3), 128)
    ramp = np.broadcast_to(np.linspace(40, 220, 400)[:, None], (300, 400, 3))
    blank = [grey, grey + rng.normal(0, 3, grey.shape), ramp, np.zeros((96, 96, 3))]
    dark = load_degrader(Degradation.LOW_LIGHT)
    photos = [
        dark.degrade(photo, 1.0, np.random.default_rng(seed))
        for photo in (data.coffee(), data.chelsea(), data.rocket())
        for seed in range(3)
    ]
    for image, reason in [(i.clip(0, 255).astype(np.uint8), "blank") for i in blank] + [
        (photo, "severity") for photo in photos
    ]:
        found = Found(measure_quality(image), _judgements(reflection=1.0))
        assert decide(found, SETTINGS).reason == reason


def test_content_that_is_not_wanted_is_dropped_before_anything_is_named() -> None:
    found = Found(_good(400), _judgements(rain=2.0), Mark(1.0), content=0.9)
    assert decide(found, SETTINGS).reason == "content"
    assert decide(Found(_good(400), _judgements(rain=2.0), content=0.1), SETTINGS).reason == (
        "severity"
    )


@pytest.mark.parametrize(
    ("margins", "severities", "verdict", "reason", "named", "also"),
    [
        ({"haze": 0.1}, {"haze": 2.0}, "degraded", "prompt", "haze", ()),
        ({"haze": 0.1, "rain": 0.2}, {"haze": 2.0, "rain": 3.0}, "degraded", "prompt", "rain",
         ("haze",)),
        ({"haze": 0.1}, {"haze": 4.5}, "drop", "too-mild", "haze", ()),
        ({"haze": 0.1}, {"haze": None}, "drop", "judge-failed", "haze", ()),
        # Where prompts name two, only what the judge finds too is there.
        ({"haze": 0.2, "rain": 0.1}, {"haze": 4.8, "rain": 1.5}, "degraded", "prompt", "rain", ()),
        ({"haze": 0.2, "rain": 0.1}, {"haze": 2.0, "rain": 5.0}, "degraded", "prompt", "haze", ()),
        ({"haze": 0.01}, {}, "drop", "unsure", "haze", ()),
        ({}, {}, "clean", "clean", "blur", ()),
    ],
)  # fmt: skip
def test_rules_where_prompts_decide(
    margins: dict[str, float],
    severities: dict[str, float | None],
    verdict: str,
    reason: str,
    named: str,
    also: tuple[str, ...],
) -> None:
    settings = Screen(decided_by="prompts", prompt_margin=0.02, clean_margin=0.0)
    reading = Reading(
        {d: margins.get(d.value, -0.05) for d in Degradation}, dict.fromkeys(Degradation, 0.1)
    )
    judgements = {Degradation(name): Judgement(value) for name, value in severities.items()}
    decision = decide(Found(_good(400), judgements, reading=reading), settings)
    assert (decision.verdict, decision.reason) == (verdict, reason)
    assert (decision.degradation, decision.also) == (
        Degradation(named),
        tuple(map(Degradation, also)),
    )


def test_what_is_no_number_makes_nothing_clean() -> None:
    """A network in half precision overflows on some images."""
    nothing = float("nan")
    decision = decide(Found(_good(400), _judgements(), content=nothing), SETTINGS)
    assert (decision.verdict, decision.reason) == ("drop", "content")
    row = {"verdict": "drop", "reason": "content", "scores": {"content": nothing}}
    assert any(line.startswith("  * content") for line in explanation("a.jpg", row, SETTINGS))
    reading = Reading(dict.fromkeys(Degradation, nothing), dict.fromkeys(Degradation, nothing))
    decision = decide(Found(_good(400), reading=reading), Screen(decided_by="prompts"))
    assert (decision.verdict, decision.reason) == ("drop", "unsure")


def test_presence_decides_where_a_judge_tells_it_apart() -> None:
    judgements = _judgements()
    judgements[Degradation.HAZE] = Judgement(2.0, presence=4.0)
    judgements[Degradation.RAIN] = Judgement(4.0, presence=2.0)
    decision = decide(Found(_good(400), judgements), SETTINGS)
    assert decision.verdict == "degraded"
    assert (decision.degradation, decision.also) == (Degradation.RAIN, ())
    assert decision.severity == 4.0


def test_the_explanation_says_what_a_source_lacks() -> None:
    scores = {"severity/haze": 4.5, "severity/moire": 3.1, "quality/side": 300.0}
    for name in ("haze", "moire"):
        scores |= {f"presence/{name}": 4.0, f"confidence/{name}": 1.0}
    row = {"verdict": "drop", "reason": "traces", "degradation": "moire", "scores": scores}
    first, *_, last = explanation("a.jpg", row, SETTINGS)
    assert "by rule traces" in first
    assert "clean_severity" in first
    assert last.endswith("lowest severity 3.10, of moire (at least 3.8)")


def test_the_explanation_marks_only_what_counts_as_present() -> None:
    settings = Screen(min_confidence=0.8)
    scores = {"severity/haze": 2.0, "presence/haze": 2.0, "confidence/haze": 0.6}
    row = {"verdict": "drop", "reason": "unsure", "degradation": "haze", "scores": scores}
    (line,) = [line for line in explanation("a.jpg", row, settings) if "haze" in line]
    assert not line.strip().startswith("*")
    assert "sure 60% (needs 80%)" in line
    assert "not sure of it (min_confidence)" in explanation("a.jpg", row, settings)[0]


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

    assert most_copies([None, Network("a name on a server")]) is None
    assert most_copies([Network(torch.nn.Linear(10, 10))]) is None
    large = torch.nn.Linear(1, 1)
    # A tensor of so many bytes that takes none: every element is the same one.
    large.weight.data = torch.zeros(1).expand(LARGE // 4 + 1)
    assert most_copies([None, Network(large)]) == 1


def test_thresholds_that_contradict_each_other_are_refused() -> None:
    with pytest.raises(ValueError, match="clean and degraded at once"):
        Screen(degraded_at=3.0, degraded_at_by={Degradation.RAIN: 4.5}, clean_at=3.5)


def test_margins_that_contradict_each_other_are_refused() -> None:
    with pytest.raises(ValueError, match="clean and degraded at once"):
        Screen(prompt_margin=0.01, clean_margin=0.02)


@pytest.mark.parametrize("value", [float("nan"), 7.0])
def test_a_margin_that_no_cosines_have_is_refused(value: float) -> None:
    with pytest.raises(ValueError, match=r"must lie in -2 \.\. 2"):
        Screen(prompt_margin_by={Degradation.HAZE: value})


def test_an_unknown_judge_is_named(tmp_path: Path) -> None:
    layout = Layout(tmp_path)
    with pytest.raises(UserError, match="no judge named 'prozy'"):
        run(layout, Screen(judge="prozy"))
