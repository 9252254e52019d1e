"""Borders, collages, screenshots and drawings, made by script of photos that were not fitted to."""

from pathlib import Path

import numpy as np
import pytest
from skimage import data

from catalog.errors import UserError
from catalog.settings.screen import Screen
from curation.screen import forms as module
from curation.screen.forming import MAKERS
from curation.screen.forms import Form, forms

SETTINGS = Screen.model_validate({})
PHOTOS = [data.coffee(), data.chelsea(), data.astronaut(), data.rocket()]


def _found(image: np.ndarray) -> set[Form]:
    scores = forms(image)
    assert all(0 <= score <= 1 for score in scores.values())
    return {
        form for form, score in scores.items() if score > getattr(SETTINGS, f"max_{form.value}")
    }


@pytest.mark.parametrize("photo", range(len(PHOTOS)))
def test_photos_are_photos(photo: int) -> None:
    assert _found(PHOTOS[photo]) == set()
    assert _found((PHOTOS[photo] * 0.15).astype(np.uint8)) == set()


@pytest.mark.parametrize("form", list(Form))
def test_most_of_what_the_script_makes_is_found(form: Form) -> None:
    rng = np.random.default_rng(3)
    made = [MAKERS[form](PHOTOS, rng) for _ in range(12)]
    assert sum(form in _found(image) for image in made) >= 8


def test_a_plain_ground_is_no_border() -> None:
    ground = np.full((300, 400, 3), 240, np.uint8)
    rows, columns = np.indices((300, 400))
    round_thing = ((rows - 150) / 80) ** 2 + ((columns - 200) / 120) ** 2 < 1
    ground[round_thing] = data.coffee()[:300, :400][round_thing]
    assert Form.BORDER not in _found(ground)
    framed = np.full((340, 440, 3), 240, np.uint8)
    framed[20:320, 20:420] = data.coffee()[:300, :400]
    assert Form.BORDER in _found(framed)


@pytest.mark.parametrize("size", [(1, 1), (20, 900), (64, 64), (70, 1500)])
@pytest.mark.parametrize("value", [0, 128, 255])
def test_plain_and_narrow_images_have_finite_scores(size: tuple[int, int], value: int) -> None:
    scores = forms(np.full((*size, 3), value, np.uint8))
    assert np.isfinite(list(scores.values())).all()
    if min(size) < 64:
        assert set(scores.values()) == {0.0}


def test_weights_of_another_hash_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    changed = tmp_path / "forms.json"
    changed.write_bytes(module.WEIGHTS.read_bytes() + b" ")
    monkeypatch.setattr(module, "WEIGHTS", changed)
    module._models.cache_clear()
    with pytest.raises(UserError, match="have the SHA-256"):
        forms(PHOTOS[0])
