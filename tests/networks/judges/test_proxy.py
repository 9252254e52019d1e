"""The embedded judge on photos degraded by known amounts."""

import io
from collections import Counter
from pathlib import Path
from typing import Any

import cv2
import matplotlib
import numpy as np
import pytest
from PIL import Image
from scipy.stats import spearmanr
from skimage import data

from catalog.degradations import Degradation
from catalog.errors import UserError
from catalog.images import Rgb, decode
from networks.degraders import load_degrader
from networks.interfaces import Judge
from networks.judges import load_judge
from networks.judges.proxy import glass, network, sight
from networks.judges.proxy.head import PLACE, load_heads
from networks.judges.proxy.judge import REMEMBERED, ProxyJudge
from networks.judges.proxy.kernel import load_kernels

DRAWN = np.linspace(1, 5, 9)


@pytest.fixture(scope="module")
def judge() -> Judge:
    return load_judge("proxy")


def test_severity_falls_with_what_is_done_to_a_photo(judge: Judge) -> None:
    """And far, though no degrader does it so plainly: what is fitted must not end where they do."""
    photo = data.astronaut()
    rng = np.random.default_rng(0)
    versions = {
        "blur": [cv2.GaussianBlur(photo, (0, 0), sigma) for sigma in (1, 3, 6)],
        "noise": [
            np.clip(photo + rng.normal(0, sigma, photo.shape), 0, 255).astype(np.uint8)
            for sigma in (10, 25, 50)
        ],
        "low-light": [(photo * share).astype(np.uint8) for share in (0.6, 0.3, 0.1)],
        "haze": [
            (photo * share + 220 * (1 - share)).astype(np.uint8) for share in (0.7, 0.45, 0.1)
        ],
        "compression": [_coded(photo, quality) for quality in (50, 15, 4)],
    }
    for name, worse in versions.items():
        answers = judge.judge([photo, *worse], Degradation(name))
        severities = [answer.severity for answer in answers]
        assert all(s is not None and 1 <= s <= 5 for s in severities)
        assert severities == sorted(severities, reverse=True), name
        assert severities[-1] is not None
        assert severities[-1] < 2, name


def _coded(photo: Rgb, quality: int) -> Rgb:
    content = io.BytesIO()
    Image.fromarray(photo).save(content, "JPEG", quality=quality)
    return decode(content.getvalue())


def test_what_cannot_be_judged_is_a_failure_in_words(judge: Judge) -> None:
    answers = judge.judge(
        [np.zeros((1, 1, 3), np.uint8), np.zeros((400, 31, 3), np.uint8)], Degradation.BLUR
    )
    assert all(answer.severity is None and "too small" in answer.failure for answer in answers)


@pytest.mark.parametrize("value", [0, 128, 255])
@pytest.mark.parametrize("size", [(32, 32), (33, 900), (900, 33), (48, 1600), (9000, 60)])
def test_plain_and_narrow_images_have_finite_answers(
    judge: Judge, value: int, size: tuple[int, int]
) -> None:
    for degradation in Degradation:
        (answer,) = judge.judge([np.full((*size, 3), value, np.uint8)], degradation)
        assert answer.severity is not None
        assert np.isfinite(list(answer.scores.values())).all()


def test_flare_and_reflection_are_advisory(judge: Judge) -> None:
    photo = data.coffee()
    advisory = {d for d in Degradation if judge.judge([photo], d)[0].advisory}
    assert advisory == {Degradation.FLARE, Degradation.REFLECTION}


def test_an_image_has_one_answer_whatever_its_batch(judge: Judge) -> None:
    first, second = data.coffee(), data.chelsea()
    both = judge.judge([first, second], Degradation.NOISE)
    alone = load_judge("proxy").judge([second], Degradation.NOISE)
    assert both[1] == alone[0]


def counted(monkeypatch: pytest.MonkeyPatch, *places: tuple[object, str]) -> Counter[str]:
    """How often what is named was called, from now on."""
    calls: Counter[str] = Counter()
    for owner, name in places:
        whole = getattr(owner, name)

        def count(*given: object, whole: Any = whole, name: str = name) -> object:
            calls[name] += 1
            return whole(*given)

        monkeypatch.setattr(owner, name, count)
    return calls


def test_a_large_batch_is_measured_once_and_asks_for_reflections_where_it_is_to(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    judge = ProxyJudge()
    calls = counted(monkeypatch, (judge, "_see"), (glass, "reflection"))
    rng = np.random.default_rng(0)
    images = [rng.integers(0, 256, (32, 32, 3), np.uint8) for _ in range(REMEMBERED + 6)]
    for degradation in (Degradation.RAIN, Degradation.HAZE):
        judge.judge(images, degradation)
    assert calls == {"_see": len(images)}
    for _ in range(2):
        judge.judge(images, Degradation.REFLECTION)
    assert calls == {"_see": len(images), "reflection": len(images)}
    judge.judge(images[:1], Degradation.RAIN)
    judge.judge([data.coffee()], Degradation.RAIN)
    assert len(judge._known) <= REMEMBERED


def test_each_network_sees_a_view_once_and_where_it_is_asked(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    judge = ProxyJudge()
    calls = counted(monkeypatch, (network, "_strengths"), (sight, "levels_of"))
    images = [np.tile(data.coffee(), (2, 2, 1)), data.coffee()]
    after = {
        Degradation.FLARE: {"_strengths": 2},
        Degradation.HAZE: {"_strengths": 2, "levels_of": 2},
        Degradation.NOISE: {"_strengths": 3, "levels_of": 2},  # the large one in full size too
        Degradation.MOIRE: {"_strengths": 3, "levels_of": 2},
    }
    for degradation, found in after.items():
        judge.judge(images, degradation)
        assert calls == found, degradation


def test_what_was_asked_before_changes_no_answer(judge: Judge) -> None:
    image = np.tile(data.chelsea(), (3, 3, 1))
    asked = {degradation: judge.judge([image], degradation) for degradation in Degradation}
    other = ProxyJudge()
    for degradation in reversed(Degradation):
        assert other.judge([image], degradation) == asked[degradation]


def test_a_degradation_may_be_named_in_text(judge: Judge) -> None:
    for degradation in Degradation:
        by_name = load_judge("proxy").judge([data.coffee()], degradation.value)  # type: ignore[arg-type]
        assert by_name == judge.judge([data.coffee()], degradation)


def test_weights_of_another_network_of_reflections_are_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    damaged = ProxyJudge()
    monkeypatch.setitem(damaged._hashes, "glass", "0" * 64)
    assert damaged.judge([data.coffee()], Degradation.BLUR)[0].severity is not None
    with pytest.raises(UserError, match="the judge's network of reflections"):
        damaged.judge([data.coffee()], Degradation.REFLECTION)


def test_unknown_names_are_refused() -> None:
    with pytest.raises(UserError, match="Did you mean proxy"):
        load_judge("poxy")


def test_weights_of_another_hash_are_refused(tmp_path: Path) -> None:
    changed = tmp_path / "weights.json"
    changed.write_bytes(PLACE.read_bytes().replace(b"0.1", b"0.2", 1))
    with pytest.raises(UserError, match="have the SHA-256"):
        load_heads(changed)
    with pytest.raises(UserError, match="cannot be read"):
        load_heads(tmp_path / "nothing.json")


@pytest.mark.shared_data
def test_the_restored_side_of_real_pairs_is_judged_cleaner(judge: Judge, shared_data: Path) -> None:
    cleaner = 0
    for path in sorted((shared_data / "realir").glob("*/*_degraded.webp")):
        restored = path.with_name(path.name.replace("degraded", "restored"))
        pair = [decode(file.read_bytes()) for file in (path, restored)]
        before, after = judge.judge(pair, Degradation(path.parent.name))
        assert before.severity is not None
        assert after.severity is not None
        cleaner += after.severity > before.severity
    assert cleaner >= 16


def test_what_is_added_to_the_evidence_is_bounded_and_grows_with_severity() -> None:
    for degradation, head in load_heads().items():
        assert head.kernel is not None, degradation
        assert head.kernel.centres.shape == (len(head.kernel.weights), len(head.kernel.names))
        # Far from all that was learnt, a kernel says its bias: nothing can run away.
        far = head.kernel.mean + head.kernel.scale * 1e6
        assert 1 <= float(head.kernel.severity(far[None])[0]) <= 5, degradation
        evidence, within = np.array([0.0, 3.0, 3.0]), np.array([3.0, 3.0, 2.0])
        assert np.all(np.diff(head.score(evidence, within)) > 0), degradation


def _ladder(judge: Judge, name: str) -> list[float]:
    """Judged severities of nine versions of a photo that the judge was not fitted to, 1 .. 5."""
    file = Path(matplotlib.get_data_path()) / "sample_data/grace_hopper.jpg"
    photo = decode(file.read_bytes())
    rng = np.random.default_rng(3)
    degrader = load_degrader(name)
    images = [degrader.degrade(photo, float(severity), rng) for severity in DRAWN]
    found = [answer.severity for answer in judge.judge(images, Degradation(name))]
    return [severity for severity in found if severity is not None]


@pytest.mark.parametrize("name", ["noise", "rain", "low-light", "compression", "haze", "flare"])
def test_severities_of_the_synthesis_are_ranked(judge: Judge, name: str) -> None:
    assert spearmanr(_ladder(judge, name), DRAWN)[0] > 0.8


def test_strong_reflections_are_judged_stronger_than_mild_ones_on_the_whole(judge: Judge) -> None:
    found = _ladder(judge, "reflection")
    assert np.mean(found[:3]) < np.mean(found[-3:]) - 0.3


def test_kernels_of_another_hash_are_refused() -> None:
    with pytest.raises(UserError, match="have the SHA-256"):
        load_kernels("0" * 64)
