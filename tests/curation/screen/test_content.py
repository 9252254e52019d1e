"""The content filter with a real, tiny classifier; and that the card says when there is none."""

import shutil
from pathlib import Path

import pytest
import torch
from skimage import data
from transformers import ViTConfig, ViTForImageClassification, ViTImageProcessor

from catalog.errors import UserError
from catalog.settings.screen import Screen
from curation.screen.content import ContentFilter, load_filter
from curation.screen.screener import Screener


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("classifier")
    torch.manual_seed(0)
    config = ViTConfig(
        hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=32,
        image_size=32, patch_size=16, id2label={0: "fine", 1: "nsfw", 2: "gore"},
        label2id={"fine": 0, "nsfw": 1, "gore": 2},
    )  # fmt: skip
    ViTForImageClassification(config).save_pretrained(folder)
    ViTImageProcessor(size={"height": 32, "width": 32}).save_pretrained(folder)
    return folder


def test_the_score_is_the_sum_of_the_labels_that_are_not_wanted(model: Path) -> None:
    images = [data.coffee(), data.chelsea()]
    one, both, all_ = (
        ContentFilter(model, labels).scores(images)
        for labels in (["nsfw"], ["nsfw", "gore"], ["nsfw", "gore", "fine"])
    )
    assert all(0 < a < b < 1 for a, b in zip(one, both, strict=True))
    assert all_ == pytest.approx([1.0, 1.0], abs=1e-5)
    assert ContentFilter(model, ["nsfw"]).scores([]) == []


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        ("config.json", '"0": "fine"', '"0": "bland"'),
        ("preprocessor_config.json", '"do_rescale": true', '"do_rescale": false'),
    ],
)
def test_other_labels_and_another_preparation_are_another_filter(
    model: Path, tmp_path: Path, name: str, old: str, new: str
) -> None:
    copied = tmp_path / model.name
    shutil.copytree(model, copied)
    before = ContentFilter(model, ["nsfw"]).identity
    assert ContentFilter(copied, ["nsfw"]).identity == before
    text = (copied / name).read_text()
    assert old in text
    (copied / name).write_text(text.replace(old, new))
    assert ContentFilter(copied, ["nsfw"]).identity != before


def test_screening_drops_by_it_and_names_it(model: Path) -> None:
    settings = Screen(
        content_model=str(model), content_labels=["nsfw", "gore", "fine"], max_content=0.9
    )
    screener = Screener(settings)
    (row,) = screener.rows([data.coffee()])
    assert (row["verdict"], row["reason"]) == ("drop", "content")
    assert screener.identities["content"].startswith(f"content/{model.name}@")


def test_without_a_model_the_tables_say_none() -> None:
    assert load_filter(None, ("nsfw",)) is None
    assert Screener(Screen.model_validate({})).identities["content"] == "none"


def test_what_is_no_classifier_is_refused(model: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no image classifier"):
        ContentFilter(tmp_path, ["nsfw"])
    with pytest.raises(UserError, match="has no label nude"):
        ContentFilter(model, ["nude"])
    with pytest.raises(UserError, match="has no label"):
        ContentFilter(model, [])


def test_a_broken_classifier_is_refused(model: Path, tmp_path: Path) -> None:
    copied = tmp_path / "model"
    shutil.copytree(model, copied)
    (copied / "model.safetensors").write_bytes(b"junk" * 99)
    with pytest.raises(UserError, match="cannot be loaded"):
        ContentFilter(copied, ["nsfw"])
