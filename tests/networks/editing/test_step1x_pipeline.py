"""The whole of Step1X-Edit and RealRestorer on tiny random weights, against values worked out."""

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from catalog.degradations import WORDING, Degradation
from catalog.errors import UserError
from networks.editing.families import open_editor
from networks.editing.loading import load_editing
from networks.editing.restorer import EditingRestorer, Options
from networks.editing.sizes import buckets, nearest_bucket, working_size
from networks.restorers import load_restorer
from networks.step1x import vae_keys
from networks.step1x.checkpoint import published_state
from networks.step1x.config import Step1XConfig, infer_config
from networks.step1x.editor import Step1XEditor, save_layout
from networks.step1x.encoder import whole_cells
from networks.step1x.model import Step1XTransformer
from networks.step1x.prompt import PREAMBLE, pieces, token_ids
from tests.networks.editing import tiny


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.bundle(tmp_path_factory.mktemp("bundle") / "model")


@pytest.fixture(scope="module")
def editor(bundle: Path) -> Step1XEditor:
    return Step1XEditor.open(bundle, dtype=torch.float32)


def picture(height: int = 48, width: int = 64, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def test_quoted_text_is_read_a_character_at_a_time() -> None:
    start = "x" * 160
    assert pieces(f"{start} say “ab” now") == [
        (f'{start} say "', False),
        ("a", True),
        ("b", True),
        ('" now', False),
    ]
    assert pieces("say 'ab' now") == [('say "ab" now', False)]  # among the first 155 characters
    known = {"“": [7], "”": [8], f'{start}"': [1], '"': [2], "“a”": [7, 3, 8]}
    assert token_ids(f"{start}'a'", known.__getitem__) == [1, 3, 2]
    assert 'an "Enhanced prompt" that' in PREAMBLE


def test_the_image_reaches_the_encoder_in_whole_cells() -> None:
    assert whole_cells(1024, 768) == (37 * 28, 27 * 28)
    assert whole_cells(20, 20) == (56, 56)
    width, height = whole_cells(28 * 400, 28 * 100)
    assert (width // 28) * (height // 28) <= 16_384
    assert width / height == pytest.approx(4, rel=0.02)


def test_image_tokens_lie_in_a_grid_and_the_text_goes_on_after_it(editor: Step1XEditor) -> None:
    inputs = editor.encoder.prepare(picture(300, 600), "Remove noise!")
    ids, kinds = inputs["input_ids"][0], inputs["mm_token_type_ids"][0]
    rows, columns = (int(n) // 2 for n in inputs["image_grid_thw"][0, 1:])
    assert 256 <= rows * columns <= 324
    assert columns == pytest.approx(2 * rows, abs=1)
    assert int(kinds.sum()) == rows * columns
    first = int(kinds.argmax())
    # As if transformers' own code did not exist: (t, y, x) of every token, one by one.
    expected = [[i] * 3 for i in range(first)]
    expected += [[first, first + y, first + x] for y in range(rows) for x in range(columns)]
    after = first + max(rows, columns)
    expected += [[after + i] * 3 for i in range(len(ids) - len(expected))]
    attended = torch.ones_like(inputs["input_ids"])
    found = editor.encoder.model.compute_3d_position_ids(
        inputs["input_ids"],
        inputs["image_grid_thw"],
        None,
        None,
        attended,
        None,
        mm_token_type_ids=inputs["mm_token_type_ids"],
    )
    assert found[:, 0].T.tolist() == expected
    assert inputs["attention_mask"][0].tolist() == [int(i != 0) for i in ids]
    assert 0 in ids.tolist()  # the exclamation mark, which is not attended to


def test_the_last_normed_states_lose_217_and_are_padded_to_640(
    editor: Step1XEditor, bundle: Path
) -> None:
    from transformers import Qwen2_5_VLForConditionalGeneration

    image, order = picture(), WORDING[Degradation.HAZE].instruction_en
    whole: Any = Qwen2_5_VLForConditionalGeneration.from_pretrained(
        bundle / "text_encoder", dtype=torch.float32
    ).eval()
    with torch.no_grad():
        found = whole(**editor.encoder.prepare(image, order), output_hidden_states=True)
    hidden = found.hidden_states[-1][0]
    states, mask = editor.encoder([image], [order])
    count = len(hidden) - 217
    assert 0 < count < 640
    assert states.shape == (1, 640, 24)
    assert int(mask.sum()) == count
    assert bool(mask[0, :count].all())
    assert torch.allclose(states[0, :count], hidden[217:], atol=1e-5)
    assert bool((states[0, count:] == 0).all())


def test_the_encoder_sees_the_image_and_the_instruction(editor: Step1XEditor) -> None:
    one, _ = editor.encoder([picture(seed=1)], ["a"])
    two, _ = editor.encoder([picture(seed=2)], ["a"])
    three, _ = editor.encoder([picture(seed=1)], ["b"])
    assert not torch.allclose(one, two)
    assert not torch.allclose(one, three)


def test_the_autoencoder_has_the_names_that_diffusers_converter_knows(
    editor: Step1XEditor,
) -> None:
    from diffusers.loaders.single_file_utils import convert_ldm_vae_checkpoint

    published = tiny.autoencoder()
    config = {"down_block_types": [0] * 4, "up_block_types": [0] * 4, "layers_per_block": 1}
    theirs = convert_ldm_vae_checkpoint(dict(published), config)
    own = vae_keys.to_diffusers(published)
    assert own.keys() == theirs.keys()
    assert all(torch.equal(own[name], theirs[name]) for name in own)
    back = editor.autoencoder.published()
    assert back.keys() == published.keys()
    assert all(torch.equal(back[name], published[name]) for name in published)


def test_the_published_autoencoder_has_its_244_weights() -> None:
    names = vae_keys.published_names(4, 2, (128, 256, 512, 512))
    assert len(names) == len(set(names)) == 244
    assert "encoder.down.1.block.0.nin_shortcut.weight" in names
    assert "encoder.down.3.block.0.nin_shortcut.weight" not in names
    assert "decoder.up.1.block.0.nin_shortcut.bias" in names
    assert "decoder.up.0.upsample.conv.weight" not in names


def test_the_released_sizes_are_found_from_shapes() -> None:
    with torch.device("meta"):
        released = Step1XTransformer(Step1XConfig())
    shapes = {name: tuple(value.shape) for name, value in published_state(released).items()}
    assert infer_config(shapes) == Step1XConfig()
    shapes["connector.scale_factor"] = (1,)
    shapes["guidance_in.in_layer.weight"] = (3072, 256)
    found = infer_config(shapes)
    assert (found.version, found.guidance) == ("v1.0", True)


def test_a_restoration_is_the_published_recipe(editor: Step1XEditor, bundle: Path) -> None:
    """Shift by the tokens, guidance 3.0 with the norm rule above t = 0.93; 8 steps for 28."""
    assert Options() == Options(steps=28, guidance=3.0, side=1024)
    image, order = picture(), WORDING[Degradation.RAIN].instruction_en
    # On the CPU, since a GPU restores in bf16 and what follows is float32.
    restorer = load_editing(bundle, "side=56&steps=8", device="cpu")
    restored = restorer.restore([image], Degradation.RAIN)[0]

    width, height = 64, 48  # of about 56 x 56 pixels: 65 x 49, cut to multiples of 16
    pixels = torch.from_numpy(image.copy()).permute(2, 0, 1)[None].float() / 127.5 - 1
    with torch.no_grad():
        z = editor.autoencoder.vae.encode(pixels).latent_dist.mean
        latents = (z - 0.1159) * 0.3611
        reference = torch.nn.functional.pixel_unshuffle(latents, 2).flatten(2).transpose(1, 2)
        states, masks = editor.encoder([image, image], [order, ""])
        tokens = height * width // 256
        noise = torch.randn(1, tokens, 64, generator=torch.Generator().manual_seed(0))
        mu = 0.5 + 0.65 * (tokens - 256) / 3840
        x = noise
        ruled = 0
        for step in range(8):
            now, after = (
                0.0 if left == 0 else math.exp(mu) / (math.exp(mu) + 1 / left - 1)
                for left in ((8 - step) / 8, (7 - step) / 8)
            )
            both = editor.network(
                torch.cat([x, x]),
                torch.cat([reference, reference]),
                (height // 8, width // 8),
                torch.full((2,), now),
                states,
                masks,
            )
            given, empty = both[:1], both[1:]
            for place in range(tokens):
                change = given[0, place] - empty[0, place]
                size = float(change.norm())
                if now > 0.93 and size > 1:
                    change = change / size**0.4
                    ruled += 1
                given[0, place] = empty[0, place] + 3.0 * change
            x = x + (after - now) * given
        latents = torch.nn.functional.pixel_shuffle(
            x.transpose(1, 2).reshape(1, 64, height // 16, width // 16), 2
        )
        out = editor.autoencoder.vae.decode(latents / 0.3611 + 0.1159).sample[0]
    expected = ((out.clamp(-1, 1) + 1) * 127.5).round().permute(1, 2, 0).numpy()
    assert ruled > 0
    assert restored.shape == image.shape
    assert np.abs(expected - restored).max() <= 1


def test_working_sizes_are_as_released() -> None:
    assert working_size(1920, 1080, 1024, 16) == (1360, 768)  # 1366 x 769 before the cut
    assert working_size(1080, 1920, 1024, 16) == (768, 1360)
    assert working_size(500, 500, 1024, 16) == (1024, 1024)
    assert working_size(4000, 3, 64, 16) == (2336, 16)


def test_buckets_hold_about_the_same_area() -> None:
    found = buckets(1024, 16)
    assert (1024, 1024) in found
    assert all(h % 16 == 0 and w % 16 == 0 for h, w in found)
    assert all(0.95 < h * w / 1024**2 < 1.05 and 0.5 <= h / w <= 2 for h, w in found)
    assert {(w, h) for h, w in found} == set(found)
    assert nearest_bucket(1080, 1920, found) == (768, 1360)
    assert nearest_bucket(5000, 100, found)[0] == max(h for h, _ in found)


def test_sizes_batches_and_tiles_give_images_of_their_own_size(bundle: Path) -> None:
    images = [picture(40, 70), picture(33, 20, 1), picture(40, 70, 2)]
    alone = load_restorer(f"{bundle}?side=48&steps=1&guidance=1").restore(images, Degradation.BLUR)
    batched = load_restorer(f"{bundle}?side=48&steps=1&guidance=1&batch=2").restore(
        images, Degradation.BLUR
    )
    offloaded = load_restorer(f"{bundle}?side=48&steps=1&guidance=1&offload=true")
    assert isinstance(offloaded, EditingRestorer) and offloaded.editor.offload
    same = offloaded.restore(images, Degradation.BLUR)
    for image, one, two, three in zip(images, alone, batched, same, strict=True):
        assert one.shape == image.shape
        assert np.abs(one.astype(int) - two).max() <= 1
        assert np.array_equal(one, three)
    few, many = (load_restorer(f"{bundle}?side=48&batch={n}").identity for n in (1, 2))
    assert few == many == load_restorer(f"{bundle}?side=48&offload=true").identity
    for wrong in ("side=8&tiles=true", "batch=0"):
        with pytest.raises(UserError, match="do not fit together"):
            load_restorer(f"{bundle}?{wrong}")
    tiled = load_restorer(f"{bundle}?side=32&steps=1&guidance=1&tiles=true&overlap=0&batch=6")
    whole = tiled.restore([picture(40, 70)], Degradation.BLUR)[0]
    assert whole.shape == (40, 70, 3)
    assert tiled.identity != load_restorer(f"{bundle}?side=48&steps=1&guidance=1").identity


@pytest.mark.parametrize("version", ["v1.0", "v1.1"])
def test_both_layouts_come_back_and_each_becomes_the_other(tmp_path: Path, version: str) -> None:
    single, nested = tmp_path / "single", tmp_path / "nested"
    tiny.single_files(single, version)
    tiny.bundle(nested, version)
    for source in (single, nested):
        opened = Step1XEditor.open(source)
        copy, other = tmp_path / f"{source.name}-copy", tmp_path / f"{source.name}-other"
        copy.mkdir()
        other.mkdir()
        opened.save(copy)
        same(source, copy)
        save_layout(opened, other, "single-file" if source == nested else "nested")
        again = Step1XEditor.open(other)
        one, two = opened.published(), again.published()
        assert one.keys() == two.keys()
        for name, value in one.items():
            assert value.dtype == two[name].dtype
            assert torch.equal(value, two[name])
    made = tmp_path / "single-other"
    index = json.loads((made / "model_index.json").read_text())
    assert index["transformer"] == ["diffusers", "RealRestorerTransformer2DModel"]
    assert set(index) - {"_class_name", "_diffusers_version"} == {
        path.name for path in made.iterdir() if path.is_dir()
    }
    config = json.loads((made / "transformer" / "config.json").read_text())
    assert (config["version"], config["hidden_size"], config["num_heads"]) == (version, 64, 2)
    assert config["use_mask_token"] is True


def same(source: Path, copy: Path) -> None:
    files = sorted(p.relative_to(source) for p in source.rglob("*") if p.is_file())
    assert files == sorted(p.relative_to(copy) for p in copy.rglob("*") if p.is_file())
    for file in files:
        if file.suffix != ".safetensors":
            assert (source / file).read_bytes() == (copy / file).read_bytes()
            continue
        one, two = load_file(source / file), load_file(copy / file)
        assert one.keys() == two.keys()
        for name, value in one.items():
            assert value.dtype == two[name].dtype, name
            assert torch.equal(value, two[name]), name


def test_weights_are_cast_and_brought_to_the_host_before_they_are_fused(bundle: Path) -> None:
    """So that saving an fp32 training needs no second copy of its projections on the GPU."""
    from torch.utils._python_dispatch import TorchDispatchMode

    editor = Step1XEditor.open(bundle, dtype=torch.float32)
    joined: list[torch.dtype] = []

    class Watch(TorchDispatchMode):
        def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None):
            out = func(*args, **(kwargs or {}))
            if func is torch.ops.aten.cat.default:
                joined.append(out.dtype)
            return out

    with Watch():
        editor.published()
    assert set(joined) == {torch.bfloat16}


def test_what_is_not_whole_or_not_safe_is_refused(tmp_path: Path) -> None:
    folder = tiny.single_files(tmp_path / "model")
    vae = folder / "vae.safetensors"
    state = load_file(vae)
    save_file({"decoder.conv_in.weight": state["decoder.conv_in.weight"]}, vae)
    with pytest.raises(UserError, match="does not have the FLUX autoencoder's weights"):
        open_editor(folder)
    vae.unlink()
    with pytest.raises(UserError, match=r"the autoencoder \(vae.safetensors\) missing"):
        open_editor(folder)
    with pytest.raises(UserError, match="stepz is no option"):
        load_restorer(f"{tiny.bundle(tmp_path / 'b')}?stepz=3")
    with pytest.raises(UserError, match="holds no editing model"):
        open_editor(tmp_path)
    transformer = tmp_path / "b" / "transformer"
    (transformer / "diffusion_pytorch_model.safetensors").rename(transformer / "model.bin")
    with pytest.raises(UserError, match=r"model\.bin in .* is a pickle") as caught:
        open_editor(tmp_path / "b")
    assert "Convert it where you trust it" in caught.value.remedy
    (tmp_path / "b" / "model_index.json").write_text('{"_class_name": "StableDiffusionPipeline"}')
    with pytest.raises(UserError, match="StableDiffusionPipeline, which is not known"):
        open_editor(tmp_path / "b")
