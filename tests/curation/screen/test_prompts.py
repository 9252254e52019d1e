"""Screening by prompts, through the code that a big CLIP uses."""

from pathlib import Path

import numpy as np
import open_clip
import pytest
import torch
from click.testing import CliRunner
from safetensors.torch import save_file
from skimage import data

from catalog import schemas
from catalog.degradations import Degradation
from catalog.errors import UserError
from catalog.images import encode_png, read_header
from catalog.layout import Layout
from catalog.settings.screen import Screen
from catalog.shards import ShardWriter
from catalog.tables import read_table
from curation.screen import prompts
from curation.screen.prompts import PromptReader
from curation.screen.screener import Screener
from curation.screen.stage import run
from flows.cli import mendline
from networks.embedders import load_embedder
from networks.interfaces import Identity

PROFILE = Path(__file__).parents[3] / "profiles/embedded.yaml"
TINY = {
    "embed_dim": 32,
    "vision_cfg": {"image_size": 32, "layers": 1, "width": 32, "head_width": 16, "patch_size": 16},
    "text_cfg": {"context_length": 77, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 1},
}


@pytest.fixture
def tiny(tmp_path: Path) -> str:
    """The name of a tiny open_clip model with random weights in a file, as a user would give it."""
    import json

    config = tmp_path / "tiny-prompts.json"
    config.write_text(json.dumps(TINY))
    open_clip.add_model_config(config)
    torch.manual_seed(1)
    weights = tmp_path / "tiny.safetensors"
    save_file(open_clip.create_model("tiny-prompts").state_dict(), weights)
    return f"open_clip:tiny-prompts:{weights}"


class Axes:
    """An embedder whose texts and images are known: the first word that fits sets the axis."""

    identity = Identity("axes", "1")
    width = 10

    def embed_texts(self, texts: list[str]) -> np.ndarray:
        axes = np.full(len(texts), 9)
        words = ("blur", "focus", "jpeg", "pixel", "compress", "moir", "monitor", "screen", "dark",
                 "night", "noise", "noisy", "grain", "flare", "glare", "reflection", "haz", "fog",
                 "smog", "rain")  # fmt: skip
        of = (0, 0, 1, 1, 1, 2, 2, 2, 3, 3, 4, 4, 4, 5, 5, 6, 7, 7, 7, 8)
        for index, text in enumerate(texts):
            found = [(text.find(word), axis) for word, axis in zip(words, of, strict=True)
                     if word in text]  # fmt: skip
            axes[index] = min(found)[1] if found else 9
        return np.eye(10, dtype=np.float32)[axes]

    def embed_images(self, images: list[np.ndarray]) -> np.ndarray:
        return np.eye(10, dtype=np.float32)[[int(image[0, 0, 0]) for image in images]]


def test_each_description_stands_for_its_degradation() -> None:
    reader = PromptReader(Axes())
    images = [np.full((4, 4, 3), index, np.uint8) for index in range(10)]
    readings = reader.read(images)
    for degradation, reading in zip(Degradation, readings, strict=False):
        assert max(reading.margins, key=lambda d: reading.margins[d]) == degradation
        assert reading.margins[degradation] > 0.5
        assert reading.shares[degradation] > 0.9
    assert max(readings[9].margins.values()) < 0
    assert reader.read([]) == []


def test_an_open_clip_model_decides_for_a_shard(tiny: str, tmp_path: Path) -> None:
    layout = Layout(tmp_path / "tree")
    photos = [data.coffee(), (data.coffee() * 0.1).astype(np.uint8)]
    with ShardWriter(layout.raw / "one") as writer:
        for photo in photos:
            encoded = encode_png(photo)
            writer.add(encoded, read_header(encoded))
    settings = Screen(decided_by="prompts", embedder=tiny, prompt_margin=-2.0, clean_margin=-2.0)
    counts = run(layout, settings)
    table = read_table(layout.screening, schemas.SCREENING)
    rows = table.to_pylist()
    assert counts.rows_in == len(rows) == 2
    for row in rows:
        scores = dict(row["scores"])
        assert {f"margin/{d}" for d in Degradation} <= set(scores)
        # A margin of -2 names all nine, so the judge was asked about all nine.
        assert {f"severity/{d}" for d in Degradation} <= set(scores)
        there = [d for d in Degradation
                 if scores[f"presence/{d}"] <= settings.threshold(d)]  # fmt: skip
        assert row["reason"] in ("prompt", "too-mild", "drawing", "screenshot", "watermark")
        ranked = sorted(there or Degradation, key=lambda d: -scores[f"margin/{d}"])
        assert row["degradation"] == ranked[0]
        assert row["also"] == (ranked[1:] if there else [])
    (one,) = Screener(settings).prompts.read([photos[0]])  # type: ignore[union-attr]
    assert dict(rows[0]["scores"])["margin/rain"] == pytest.approx(
        one.margins[Degradation.RAIN], abs=1e-5
    )


def test_random_weights_may_not_decide() -> None:
    embedder = Axes()
    embedder.identity = Identity("axes", "1", trained=False)
    with pytest.raises(UserError, match="its weights are random"):
        PromptReader(embedder)
    with pytest.raises(UserError, match="no embedder named"):
        load_embedder("clop")


def test_other_texts_are_another_screening(tiny: str, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = Screen(decided_by="prompts", embedder=tiny)
    first = Screener(settings).digest
    assert Screener(settings).digest == first
    monkeypatch.setitem(prompts.OURS, Degradation.RAIN, ("a photo of a wet street",))
    assert Screener(settings).digest != first


def test_the_command_prints_what_the_judge_was_not_asked_about(
    tiny: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = PROFILE.read_text().replace("decided_by: judge", "decided_by: prompts")
    settings = settings.replace("prompt_margin: 0.02", "prompt_margin: 2.0")
    monkeypatch.chdir(tmp_path)
    Path("params.yaml").write_text(settings.replace("embedder: mendline-clip", f"embedder: {tiny}"))
    Path("photo.png").write_bytes(encode_png(data.coffee()))
    result = CliRunner().invoke(mendline, ["screen", "photo.png"])
    assert result.exit_code == 0, result.output
    assert result.output.startswith("photo.png  ")
