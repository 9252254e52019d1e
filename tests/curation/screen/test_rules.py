"""The rules of screening: from what was found of an image to a verdict and its reason."""

import numpy as np
import pytest
from skimage import data

from catalog.degradations import Degradation
from catalog.settings.screen import Screen
from curation.screen.forms import Form
from curation.screen.prompts import Reading
from curation.screen.quality import Quality, measure_quality
from curation.screen.rules import Found, decide, explanation
from networks.degraders import load_degrader
from networks.interfaces import Judgement
from networks.watermark.kinds import Kind, Mark

SETTINGS = Screen.model_validate({})


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
        (Mark(0.5, Kind.WATERMARK, names_owner=True), "watermark"),
        (Mark(0.3, Kind.WATERMARK, names_owner=True), "severity"),
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


def test_the_explanation_says_which_limit_a_mark_is_held_to() -> None:
    for names_owner, expected in (
        (0.0, "  watermark    0.45 (dropped above 0.6)"),
        (1.0, "* watermark    0.45 (dropped above 0.3, it names an owner)"),
    ):
        scores = {"watermark": 0.45, "names-owner": names_owner}
        lines = explanation(
            "a.jpg", {"verdict": "drop", "reason": "unsure", "scores": scores}, SETTINGS
        )
        assert any(line.endswith(expected) for line in lines)


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
