"""The Qwen3-VL judge on a tiny random model that is built on the spot."""

import shutil
from pathlib import Path

import numpy as np
import pytest

from benchmarks.judge_throughput import TINY, random_checkpoint
from catalog.degradations import Degradation
from catalog.errors import UserError
from catalog.images import pixel_digest
from networks.judges import load_judge
from networks.judges.vlm.cache import AnswerCache
from networks.judges.vlm.prompts import prompt_hash
from networks.judges.vlm.qwen import Qwen3VlJudge


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("tiny-qwen3-vl")
    random_checkpoint(place, TINY)
    return place


def _images() -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    sizes = [(64, 64), (60, 120), (200, 90)]
    return [rng.integers(0, 256, (*size, 3), dtype=np.uint8) for size in sizes]


def test_a_tiny_random_model_is_asked_in_batches_and_fails_in_words(folder: Path) -> None:
    judge = Qwen3VlJudge(folder, batch_size=2)
    answers = judge.judge(_images(), Degradation.HAZE)
    assert len(answers) == 3
    for answer in answers:
        assert (answer.severity is None) == (answer.failure is not None)


def test_batching_does_not_change_an_answer(folder: Path) -> None:
    from networks.judges.vlm.prompts import question
    from networks.judges.vlm.protocol import prepare

    prepared = [prepare(image) for image in _images()]
    text = question("released", Degradation.HAZE)
    together = Qwen3VlJudge(folder, batch_size=3).ask(prepared, text)
    alone = Qwen3VlJudge(folder, batch_size=1).ask(prepared, text)
    assert together == alone
    assert any(reply.text for reply in alone)


def test_identity_names_weights_and_prompt(folder: Path) -> None:
    released, paper = Qwen3VlJudge(folder), Qwen3VlJudge(folder, "paper")
    assert released.identity.weights == paper.identity.weights != "none"
    assert released.identity.prompt == prompt_hash("released") != paper.identity.prompt


def test_an_image_that_the_processor_refuses_fails_alone(folder: Path) -> None:
    long, narrow = np.zeros((1, 4000, 3), np.uint8), np.zeros((5, 600, 3), np.uint8)
    judge = Qwen3VlJudge(folder, batch_size=2)
    answers = judge.judge([long, narrow, np.zeros((0, 9, 3), np.uint8)], Degradation.HAZE)
    said = [answer.failure or "" for answer in answers]
    assert said[0] == "too long to judge: 4000 x 1, at the judge's size over 200 : 1"
    assert "too long" not in said[1]
    assert said[2] == "the image has no pixels"


def test_another_tokenizer_is_another_judge(folder: Path, tmp_path: Path) -> None:
    copied = tmp_path / folder.name
    shutil.copytree(folder, copied)
    assert Qwen3VlJudge(copied).identity == Qwen3VlJudge(folder).identity
    (copied / "chat_template.jinja").write_text("{{ messages }}")
    assert Qwen3VlJudge(copied).identity.weights != Qwen3VlJudge(folder).identity.weights


def test_what_is_in_the_cache_is_not_asked(folder: Path, tmp_path: Path) -> None:
    cache = AnswerCache(tmp_path / "a.sqlite")
    judge = Qwen3VlJudge(folder, cache=cache)
    image = _images()[0]
    cache.put(
        AnswerCache.key(pixel_digest(image), Degradation.RAIN, judge.identity), 2, "退化分数：2"
    )
    (answer,) = judge.judge([image], Degradation.RAIN)
    assert answer.severity == 2.0


@pytest.mark.parametrize("name", ["model.safetensors", "config.json"])
def test_a_broken_checkpoint_is_refused(name: str, folder: Path, tmp_path: Path) -> None:
    copied = tmp_path / "model"
    shutil.copytree(folder, copied)
    (copied / name).write_bytes(b"junk" * 99)
    with pytest.raises(UserError, match="cannot be loaded"):
        load_judge(f"qwen3-vl:{copied}")


def test_a_folder_without_safetensors_is_refused(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "pytorch_model.bin").write_bytes(b"pickle")
    with pytest.raises(UserError, match="no Qwen3-VL model"):
        load_judge(f"qwen3-vl:{tmp_path}")
