"""diffusers pipelines as restorers, with tiny random ones built on the spot."""

import json
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from catalog.degradations import WORDING, Degradation
from catalog.errors import UserError
from networks.interfaces import Identity, Restorer
from networks.restorers import load_restorer
from networks.restorers.pipelines import (
    FAMILIES,
    Options,
    PipelineRestorer,
    read_options,
    working_size,
)
from tests.networks.editing import tiny

IMAGE = np.random.default_rng(0).integers(0, 255, (90, 121, 3), np.uint8)


def qwen_plus(folder: Path) -> Path:
    """A random QwenImageEditPlusPipeline: the older one's parts under its name."""
    tiny.qwen_image(folder)
    index = json.loads((folder / "model_index.json").read_text())
    index["_class_name"] = "QwenImageEditPlusPipeline"
    (folder / "model_index.json").write_text(json.dumps(index))
    return folder


def longcat(folder: Path) -> Path:
    """A random LongCatImageEditPipeline."""
    from diffusers import (
        AutoencoderKL,
        FlowMatchEulerDiscreteScheduler,
        LongCatImageEditPipeline,
        LongCatImageTransformer2DModel,
    )
    from transformers import Qwen2_5_VLForConditionalGeneration, Qwen2_5_VLProcessor

    tiny.qwen(folder / "text_encoder", 24, folder / "text_processor")
    torch.manual_seed(5)
    make: Any = LongCatImageEditPipeline
    make(
        scheduler=FlowMatchEulerDiscreteScheduler(use_dynamic_shifting=True),
        vae=AutoencoderKL(
            block_out_channels=(8, 8, 8, 8),
            norm_num_groups=4,
            layers_per_block=1,
            latent_channels=16,
            down_block_types=("DownEncoderBlock2D",) * 4,
            up_block_types=("UpDecoderBlock2D",) * 4,
            use_quant_conv=False,
            use_post_quant_conv=False,
            scaling_factor=0.3611,
            shift_factor=0.1159,
        ),
        text_encoder=Qwen2_5_VLForConditionalGeneration.from_pretrained(folder / "text_encoder"),
        tokenizer=tiny.tokenizer(),
        text_processor=Qwen2_5_VLProcessor.from_pretrained(folder / "text_processor"),
        transformer=LongCatImageTransformer2DModel(
            num_layers=1,
            num_single_layers=1,
            attention_head_dim=16,
            num_attention_heads=2,
            joint_attention_dim=24,
            pooled_projection_dim=24,
            axes_dims_rope=[4, 6, 6],
        ),
    ).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def kontext(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.kontext(tmp_path_factory.mktemp("kontext") / "model")


def load(folder: Path, options: str) -> PipelineRestorer:
    found = load_restorer(f"diffusers:{folder}?{options}", "cpu")
    assert isinstance(found, PipelineRestorer)
    assert isinstance(found, Restorer)
    return found


def test_exact_size_whatever_the_batch_and_the_instruction_is_asked(kontext: Path) -> None:
    single, double = (load(kontext, f"steps=1&side=64&batch={batch}") for batch in (1, 2))
    images = [IMAGE, IMAGE[:, ::-1].copy(), IMAGE[:40]]
    one, two = (r.restore(images, Degradation.HAZE) for r in (single, double))
    for image, first, second in zip(images, one, two, strict=True):
        assert first.shape == second.shape == image.shape
        assert first.dtype == np.uint8
        assert np.abs(first.astype(int) - second).max() <= 2, "the batch changed the result"
    assert not np.array_equal(one[0], one[1])
    assert single.identity.digest == double.identity.digest
    asked: list[dict[str, Any]] = []
    call = single.pipe

    def watch(**given: Any) -> Any:
        asked.append(given)
        return call(**given)

    single.pipe = watch
    single.restore([IMAGE], Degradation.RAIN)
    assert asked[0]["prompt"] == WORDING[Degradation.RAIN].instruction_en
    assert (asked[0]["width"], asked[0]["height"]) == working_size(121, 90, 64, 16)


def test_large_images_are_restored_in_tiles_at_their_own_size(kontext: Path) -> None:
    tiled = load(kontext, "steps=1&side=64&overlap=16&tiles=true&batch=3")
    sizes: list[tuple[int, int]] = []
    call = tiled._call

    def watch(images: list[Any], size: tuple[int, int], instruction: str) -> list[Any]:
        sizes.extend(image.shape[:2] for image in images)
        return [image.copy() for image in images]

    tiled._call = watch  # type: ignore[method-assign]
    (same,) = tiled.restore([IMAGE], Degradation.BLUR)
    assert sizes == [(64, 64)] * 6
    assert np.abs(same.astype(int) - IMAGE).max() <= 1, "tiles that change nothing leave no seam"
    tiled._call = call  # type: ignore[method-assign]
    small, large = tiled.restore([IMAGE[:50, :50], IMAGE], Degradation.BLUR)
    assert small.shape == (50, 50, 3) and large.shape == IMAGE.shape
    assert tiled.identity != load(kontext, "steps=1&side=64").identity


def test_another_autoencoder_or_text_encoder_is_another_restorer(
    kontext: Path, tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(kontext, tmp_path / "model"))
    first = load(folder, "steps=1&side=64").identity
    assert first == load(kontext, "steps=1&side=64").identity, "wherever it lies"
    for part in ("vae", "text_encoder_2"):
        (path,) = (folder / part).glob("*.safetensors")
        state = load_file(path)
        save_file({name: value * 1.1 for name, value in state.items()}, path, {"format": "pt"})
        assert load(folder, "steps=1&side=64").identity != first
        shutil.copy2(kontext / part / path.name, path)


@pytest.mark.slow
@pytest.mark.parametrize("make", [tiny.qwen_image, qwen_plus, longcat])
def test_the_other_families_keep_the_size_too(make: Any, tmp_path: Path) -> None:
    model = load(make(tmp_path / "model"), "steps=1")
    images = [IMAGE, IMAGE]
    one, two = model.restore(images, Degradation.NOISE)
    assert one.shape == IMAGE.shape
    assert np.array_equal(one, two)


def test_what_is_no_safe_pipeline_is_refused(kontext: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="not in the hub's local cache"):
        load_restorer("diffusers:somebody/some-model")
    with pytest.raises(UserError, match="holds no pipeline"):
        load_restorer(f"diffusers:{tmp_path}")
    pickled = tmp_path / "pickled"
    shutil.copytree(kontext, pickled)
    weights = pickled / "transformer/diffusion_pytorch_model.safetensors"
    weights.rename(weights.with_name("diffusion_pytorch_model.bin"))
    with pytest.raises(UserError, match="is pickled"):
        load_restorer(f"diffusers:{pickled}")
    (pickled / "model_index.json").write_text('{"_class_name": "StableDiffusionPipeline"}')
    with pytest.raises(UserError, match="not known here"):
        load_restorer(f"diffusers:{pickled}")


def test_a_gpu_takes_no_kernel_that_dies_of_the_models_lengths() -> None:
    """See networks.editing.attention; PyTorch left to itself takes cuDNN's first."""
    taken: list[bool] = []

    def pipe(**given: Any) -> Any:
        taken.append(torch.backends.cuda.cudnn_sdp_enabled())
        return SimpleNamespace(images=[given["image"]])

    family, who = FAMILIES["FluxKontextPipeline"], Identity("kontext", "v1")
    for device in ("cuda:0", "cpu"):
        PipelineRestorer(pipe, family, who, Options(side=64), device).restore(
            [IMAGE], Degradation.RAIN
        )
    assert taken == [False, True]


@pytest.mark.parametrize(
    "text",
    [
        "speed=3",
        "steps=many",
        "steps=-4",
        "guidance=nan",
        "tiles=perhaps",
        "side=64&overlap=60",
    ],
)
def test_wrong_options_are_told(text: str) -> None:
    with pytest.raises(UserError):
        read_options(text)
