"""Editing models through the same loop: loss, caches, adapters, resume to the bit."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from catalog.degradations import WORDING, Degradation
from catalog.errors import UserError
from catalog.layout import Layout
from catalog.settings.training import Network, Stage, Student
from catalog.stage import Counts
from networks.editing import lora
from networks.editing.families import open_editor
from networks.restorers import load_restorer
from networks.student.model import INSTRUCTIONS, NO_INSTRUCTION
from tests.networks.editing import tiny
from tests.training.dataset import make_dataset
from training.batches import Batch, BatchMaker, cover
from training.draws import Draws
from training.editing import EditorTrainable, image_hash
from training.encoded import EncodedCache
from training.first import first_editor
from training.images import PairImages
from training.plan import describe, make_plan
from training.stage import Inputs, ShardStore, read_pairs, train_stage

MAKERS: dict[str, Callable[[Path], Path]] = {
    "step1x": tiny.bundle,
    "flux-kontext": tiny.kontext,
    "qwen-image-edit": tiny.qwen_image,
}
STAGE = Stage(
    steps=2,
    batch=2,
    crop=32,
    shapes="square",
    learning_rate=1e-3,
    warmup=1,
    micro_batch=1,
    validate_every=2,
    validation_pairs=1,
    validation_steps=1,
    checkpoint_every=1,
    workers=0,
)
TASKS = (Degradation.BLUR, Degradation.HAZE)


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("models")
    return {family: make(root / family) for family, make in MAKERS.items()}


def tree(root: Path) -> Layout:
    layout = Layout(root)
    make_dataset(layout, per_task=3, tasks=TASKS, real=(), size=(40, 56))
    return layout


def run(layout: Layout, network: Network, stage: Stage, name: str = "transfer") -> Counts:
    return train_stage(
        name,
        Inputs.of(layout, name),
        getattr(layout, name),
        layout.scratch(name),
        Student(),
        stage,
        network,
    )


@pytest.mark.parametrize("family", MAKERS)
def test_adapters_of_every_family_learn_and_restore(
    models: dict[str, Path], tmp_path: Path, family: str
) -> None:
    layout = tree(tmp_path)
    network = Network(family=family, folder=str(models[family]))  # type: ignore[arg-type]
    counts = run(layout, network, STAGE.model_copy(update={"lora_rank": 4, "lora_alpha": 4.0}))
    assert counts.extra["parameters"] > counts.extra["frozen_parameters"]
    found = load_file(layout.transfer / "adapter_model.safetensors")
    best = counts.extra["best"]["step"]
    learned = [value for name, value in found.items() if ".lora_B." in name and value.any()]
    assert bool(learned) == (best > 0)
    assert {f"loss_t{t}" for t in (0.2, 0.5, 0.8)} < set(counts.extra["best"])
    image = np.zeros((32, 40, 3), np.uint8)
    restored = load_restorer(f"{layout.transfer}?steps=1&side=32").restore([image], TASKS[0])
    assert restored[0].shape == image.shape
    assert {p.name for p in (layout.scratch("transfer") / "samples").glob("*-0000002.png")} == {
        f"{task}-0000002.png" for task in TASKS
    }


def test_a_whole_model_learns_freezes_and_keeps_its_layout(
    models: dict[str, Path], tmp_path: Path
) -> None:
    layout = tree(tmp_path)
    network = Network(family="step1x", folder=str(models["step1x"]), weights="fp32")
    freeze = ("transformer.single_transformer_blocks.0.*",)
    changed = {"freeze": freeze, "ema": 0.5, "activation_checkpointing": "full"}
    run(layout, network, STAGE.model_copy(update=changed))
    parts = "transformer/diffusion_pytorch_model.safetensors"
    before, after = load_file(models["step1x"] / parts), load_file(layout.transfer / parts)
    assert before.keys() == after.keys()
    assert all(before[name].dtype == after[name].dtype for name in before)
    frozen = [name for name in before if ".single_blocks.0." in name]
    assert frozen
    assert all(torch.equal(before[name], after[name]) for name in frozen)
    # The second stage goes on from what the first one wrote.
    run(layout, network, STAGE.model_copy(update={"steps": 1}), "finetune")
    assert open_editor(layout.finetune).name == "step1x"


def test_a_run_that_was_stopped_goes_on_to_the_same_bits(
    models: dict[str, Path], tmp_path: Path
) -> None:
    network = Network(family="flux-kontext", folder=str(models["flux-kontext"]))
    stage = STAGE.model_copy(
        update={
            "lora_rank": 4,
            "steps": 3,
            "validate_every": 3,
            "encoded_cache_mib": 64,
            "web_style": 0.5,
            "ema": 0.9,
        }
    )
    whole, broken = tree(tmp_path / "whole"), tree(tmp_path / "broken")
    run(whole, network, stage)
    # Exactly what SIGTERM does after the second step, without waiting for one.
    from training.loop import Trainer

    step = Trainer._step
    with pytest.MonkeyPatch.context() as patch, pytest.raises(KeyboardInterrupt):

        def interrupted(self: Trainer, number: int, batch: list[Batch]) -> dict[str, Any]:
            if number == 2:
                self.checkpoints.wait()
                raise KeyboardInterrupt
            return step(self, number, batch)

        patch.setattr(Trainer, "_step", interrupted)
        run(broken, network, stage)
    run(broken, network, stage)
    one, two = (
        {p.name: p.read_bytes() for p in sorted(layout.transfer.iterdir())}
        for layout in (whole, broken)
    )
    assert one == two


def made(layout: Layout, stage: Stage, **given: Any) -> BatchMaker:
    pairs = read_pairs(layout.dataset)["train"]
    images = PairImages(ShardStore(layout.raw, layout.synthetic), 2**20)
    return BatchMaker(Draws(pairs, 1, 0, 0), images, stage, **given)


def test_the_loss_is_that_of_rectified_flow_and_caches_change_nothing(
    models: dict[str, Path], tmp_path: Path
) -> None:
    layout = tree(tmp_path)
    editor = open_editor(models["step1x"], dtype=torch.float32)
    plain = EditorTrainable(editor, "hash")
    cached = EditorTrainable(editor, "hash", cache=EncodedCache(tmp_path / "cache", 2**26))
    stage = STAGE.model_copy(update={"instruction_dropout": 0.5, "batch": 4, "micro_batch": 4})
    batch = made(layout, stage, noise_shape=plain.noise_shape).batch(0)
    assert batch.noise.shape == (4, 4, 64)
    with torch.no_grad():
        found = plain.losses(batch, "velocity")
        assert torch.equal(cached.losses(batch, "velocity"), found)
        missed = cached.cache.misses
        assert torch.equal(cached.losses(batch, "velocity"), found)
        assert (cached.cache.misses, cached.cache.hits > 0) == (missed, True)
        for i, pair in enumerate(batch.pairs):
            dropped = batch.instruction[i] == NO_INSTRUCTION
            words = "" if dropped else WORDING[pair.degradation].instruction_en
            assert dropped or INSTRUCTIONS[batch.instruction[i]] is pair.degradation
            degraded, clean = batch.degraded[i : i + 1], batch.clean[i : i + 1]
            x0, noise, t = editor.encode(clean), batch.noise[i : i + 1], batch.t[i : i + 1]
            x_t = x0 + t * (noise - x0)
            given = editor.condition(degraded, [words])
            velocity = editor.velocity(x_t, editor.encode(degraded), (32, 32), t, given)
            expected = (velocity - (noise - x0)).square().mean()
            assert found[i].item() == pytest.approx(expected.item(), rel=1e-4)
    with pytest.raises(UserError, match="Set loss to velocity"):
        plain.losses(batch, "psnr")


def test_nothing_is_hashed_where_nothing_is_cached(
    models: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = EditorTrainable(open_editor(models["step1x"], dtype=torch.float32), "hash")
    batch = made(tree(tmp_path), STAGE, noise_shape=plain.noise_shape).batch(0)
    assert not batch.styled.any()
    asked: list[torch.Tensor] = []
    monkeypatch.setattr("training.editing.image_hash", lambda image: asked.append(image) or "")
    plain.losses(batch, "velocity")
    assert not asked


def test_what_augmentation_touched_is_not_cached_and_keys_are_contents(tmp_path: Path) -> None:
    layout = tree(tmp_path)
    stage = STAGE.model_copy(update={"web_style": 0.5, "batch": 32, "micro_batch": 32})
    batch = made(layout, stage, web_style=lambda image, rng: 255 - image).batch(0)
    assert 0 < batch.styled.float().mean() < 1
    assert bool(made(layout, Stage(crop=32, batch=4)).batch(0).styled.all())  # random crops
    one = torch.arange(12.0).reshape(3, 2, 2)
    assert image_hash(one) == image_hash(one.clone())
    assert image_hash(one) != image_hash(one + 1e-3)
    assert image_hash(one) != image_hash(one.reshape(3, 1, 4))
    cache = EncodedCache(tmp_path / "cache", 200)
    assert cache.get(("a",), lambda: {"x": torch.ones(40)})["x"].sum() == 40
    assert cache.get(("a",), lambda: {"x": torch.zeros(40)})["x"].sum() == 40
    assert cache.get(("b",), lambda: {"x": torch.zeros(40)})["x"].sum() == 0  # no more room
    assert cache.get(("b",), lambda: {"x": torch.ones(1)})["x"].sum() == 1
    two = [EncodedCache(tmp_path / "shared", 400, processes=2) for _ in range(2)]
    for number, one_of_two in enumerate(two * 3):
        one_of_two.get((str(number),), lambda: {"x": torch.ones(25)})
    assert len(list((tmp_path / "shared").rglob("*.safetensors"))) == 4  # of 100 bytes each
    next((tmp_path / "cache").rglob("*.safetensors")).write_bytes(b"torn")
    assert cache.get(("a",), lambda: {"x": torch.zeros(2)})["x"].sum() == 0


def test_random_crops_are_not_cached_on_either_side_and_validation_is(
    models: dict[str, Path], tmp_path: Path
) -> None:
    editor = open_editor(models["flux-kontext"], dtype=torch.float32)
    cache = EncodedCache(tmp_path / "cache", 2**26)
    own = EditorTrainable(editor, "hash", cache=cache, crops=True)
    stage = STAGE.model_copy(update={"shapes": "crop"})
    batch = made(tree(tmp_path), stage, noise_shape=own.noise_shape).batch(0)
    with torch.no_grad():
        own.losses(batch, "velocity")
        assert not list(tmp_path.rglob("cache/**/*.safetensors"))
        own.losses(replace(batch, styled=torch.zeros(2, dtype=torch.bool)), "velocity")
    assert len(list(tmp_path.rglob("cache/**/*.safetensors"))) == 6  # two sides and a text of each


def test_what_other_encoders_said_is_removed(tmp_path: Path) -> None:
    first, second = (EncodedCache(tmp_path / "cache", 200) for _ in range(2))
    first.only("a" * 64)
    first.get(("x",), lambda: {"x": torch.ones(40)})
    again = EncodedCache(tmp_path / "cache", 200)
    again.only("a" * 64)
    assert again.get(("x",), lambda: {"x": torch.zeros(40)})["x"].sum() == 40
    second.only("b" * 64)
    assert second.get(("x",), lambda: {"x": torch.zeros(40)})["x"].sum() == 0
    assert second.get(("x",), lambda: {"x": torch.ones(40)})["x"].sum() == 0, "there was room"
    assert [path.name for path in (tmp_path / "cache").iterdir()] == ["b" * 16]


def test_buckets_follow_the_image_and_both_sides_stay_together(tmp_path: Path) -> None:
    layout = tree(tmp_path)
    stage = STAGE.model_copy(update={"shapes": "buckets", "batch": 4})
    parts = made(layout, stage).micro_batches(0)
    assert len(parts) == 4
    for part in parts:
        height, width = part.clean.shape[-2:]
        assert part.degraded.shape == part.clean.shape
        assert (height, width) == (32, 32) or width > height  # 40 x 56 pixels
        assert (height % 16, width % 16) == (0, 0)
    image = np.arange(40 * 56 * 3, dtype=np.uint8).reshape(40, 56, 3)
    assert np.array_equal(cover(image, (40, 56)), image)
    assert np.array_equal(cover(image, (40, 40)), image[:, 8:48])
    with pytest.raises(ValueError, match="micro_batch must be 1"):
        Stage(shapes="buckets", micro_batch=2)


def test_a_training_on_a_gpu_reads_the_text_encoder_in_bf16(
    models: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    from training.first import first_editor

    network = Network(family="step1x", folder=str(models["step1x"]), weights="fp32")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    editor, _ = first_editor(network, None, STAGE)
    assert next(editor.frozen()["text encoder"].parameters()).dtype is torch.bfloat16
    assert next(editor.network.parameters()).dtype is torch.float32
    assert next(editor.network.parameters()).device.type == "cpu"


def test_adapters_go_on_with_their_own_rank_and_alpha_or_not_at_all(
    models: dict[str, Path], tmp_path: Path
) -> None:
    network = Network(family="flux-kontext", folder=str(models["flux-kontext"]))
    stage = STAGE.model_copy(update={"lora_rank": 4, "lora_alpha": 8.0})
    editor, weights = first_editor(network, None, stage)
    lora.save_adapter(editor, tmp_path, base_hash=weights)
    assert first_editor(network, tmp_path, stage)[1] == weights
    for other in ({"lora_rank": 2}, {"lora_alpha": 4.0}):
        with pytest.raises(UserError, match="not those of the adapters to go on with, 4 and 8"):
            first_editor(network, tmp_path, stage.model_copy(update=other))
    merged, _ = first_editor(network, tmp_path, stage.model_copy(update={"lora_rank": 0}))
    assert not any(".lora_" in name for name, _ in merged.network.named_parameters())


def test_a_network_that_is_not_there_is_named(models: dict[str, Path], tmp_path: Path) -> None:
    layout = tree(tmp_path)
    with pytest.raises(UserError, match=r"network\.folder is not set"):
        run(layout, Network(family="step1x"), STAGE)
    with pytest.raises(UserError, match="holds flux-kontext, not step1x"):
        run(layout, Network(family="step1x", folder=str(models["flux-kontext"])), STAGE)
    with pytest.raises(UserError, match="lora_rank is for editing models"):
        run(layout, Network(), STAGE.model_copy(update={"lora_rank": 4}))
    with pytest.raises(ValueError, match="name its family too"):
        Network(folder="x")


def test_the_plan_of_the_released_size_is_the_known_work(tmp_path: Path) -> None:
    layout = tree(tmp_path)
    network = Network(family="step1x", weights="fp32")
    stage = STAGE.model_copy(
        update={"crop": 1024, "activation_checkpointing": "full", "steps": 500, "batch": 16}
    )
    plan = make_plan(Inputs.of(layout, "transfer"), Student(), stage, network)
    # 12.43 B parameters, 168.7 TFLOP forward and 506 a training sample (ours: with the connector).
    assert plan.parameters / 1e9 == pytest.approx(12.43, abs=0.005)
    assert plan.tflop_per_sample == pytest.approx(506, rel=0.01)
    assert plan.seconds == pytest.approx(8000 * 506 / 989.4 / 0.4, rel=0.01)
    assert plan.memory["weights"] == pytest.approx(12.43e9 * 4 / 2**20, rel=1e-3)
    assert plan.memory["optimizer"] == pytest.approx(12.43e9 * 8 / 2**20, rel=1e-3)
    # 57 blocks keep their input, 8,832 tokens of 3,072 in bf16.
    assert plan.memory["activations"] > 57 * 8832 * 3072 * 2 / 2**20
    lora = stage.model_copy(update={"lora_rank": 64})
    adapters = make_plan(
        Inputs.of(layout, "transfer"), Student(), lora, Network(family="step1x", offload=True)
    )
    assert adapters.memory["weights"] < 26_000
    assert adapters.memory["encoders"] == 0
    assert adapters.memory_mib < 40 * 1024
    assert "500 steps, 8000 samples" in describe("transfer", adapters)
