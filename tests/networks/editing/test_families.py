"""FLUX.1-Kontext and Qwen-Image-Edit behind the same interface, and adapters on all of them."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from catalog.degradations import Degradation
from catalog.errors import UserError
from networks.editing import lora
from networks.editing.families import open_editor
from networks.restorers import load_restorer
from tests.networks.editing import tiny

FAMILIES: dict[str, Callable[[Path], Path]] = {
    "step1x": tiny.bundle,
    "flux-kontext": tiny.kontext,
    "qwen-image-edit": tiny.qwen_image,
}


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("families")
    return {name: make(root / name) for name, make in FAMILIES.items()}


def picture(height: int = 32, width: int = 48) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)


def ask(editor: Any) -> torch.Tensor:
    """A velocity for fixed inputs."""
    generator = torch.Generator().manual_seed(0)
    pixels = torch.rand(2, 3, 32, 48, generator=generator) * 2 - 1
    noisy = torch.randn(2, *editor.latent_shape(32, 48), generator=generator)
    given = editor.condition(pixels, ["Remove the rain", "Dehaze the image, please"])
    with torch.no_grad():
        return editor.velocity(
            noisy, editor.encode(pixels), (32, 48), torch.tensor([0.3, 0.9]), given
        )


@pytest.mark.parametrize("family", FAMILIES)
def test_each_family_is_found_encodes_predicts_and_comes_back(
    folders: dict[str, Path], tmp_path: Path, family: str
) -> None:
    editor = open_editor(folders[family], dtype=torch.float32)
    assert editor.name == family
    velocity = ask(editor)
    assert velocity.shape == (2, 6, 64)
    assert bool(velocity.isfinite().all())
    editor.save(tmp_path)
    again = open_editor(tmp_path, dtype=torch.float32)
    assert torch.equal(ask(again), velocity)
    restored = load_restorer(f"{folders[family]}?steps=2&side=32").restore(
        [picture()], Degradation.NOISE
    )
    assert restored[0].shape == (32, 48, 3)


@pytest.mark.parametrize("family", FAMILIES)
def test_text_encoders_are_read_for_the_device_they_will_run_on(
    folders: dict[str, Path], family: str
) -> None:
    """Read on the CPU and moved later: 7 billion weights in float32 would take 33 GB of a GPU."""
    for target, kind in (("cuda", torch.bfloat16), ("cpu", torch.float32)):
        editor = open_editor(folders[family], "cpu", torch.float32, target=target)
        for name, part in editor.frozen().items():
            wanted = torch.float32 if name in ("autoencoder", "vae") else kind
            assert {value.dtype for value in part.parameters()} == {wanted}, name


@pytest.mark.parametrize("family", FAMILIES)
def test_an_offloaded_part_leaves_the_device_without_being_copied_back(
    folders: dict[str, Path], family: str
) -> None:
    """PyTorch's meta device in a GPU's place: what is there can be dropped, never brought back."""
    editor = open_editor(folders[family], dtype=torch.float32, offload=True)
    before = ask(editor)
    editor.device = torch.device("meta")
    for name, part in editor.frozen().items():
        own = dict(part.named_parameters(remove_duplicate=False)) | dict(part.named_buffers())
        assert own
        with pytest.raises(ZeroDivisionError), editor.at_hand(part) as there:
            values = [*there.parameters(), *there.buffers()]
            assert {value.device.type for value in values} == {"meta"}, name
            assert len(values) == len([*part.parameters(), *part.buffers()])
            raise ZeroDivisionError
        after = dict(part.named_parameters(remove_duplicate=False)) | dict(part.named_buffers())
        assert all(after[key] is value for key, value in own.items())
    editor.device = torch.device("cpu")
    assert torch.equal(ask(editor), before)


def test_kontext_is_diffusers_own_pipeline(folders: dict[str, Path]) -> None:
    """The same noise through diffusers' FluxKontextPipeline gives the same image."""
    from diffusers import FluxKontextPipeline
    from PIL import Image

    editor: Any = open_editor(folders["flux-kontext"], dtype=torch.float32)
    pipe: Any = FluxKontextPipeline.from_pretrained(folders["flux-kontext"])
    pipe.set_progress_bar_config(disable=True)
    image = picture(32, 48)
    noise = torch.randn(1, 6, 64, generator=torch.Generator().manual_seed(0))
    theirs = pipe(
        image=Image.fromarray(image),
        prompt="Remove the rain",
        height=32,
        width=48,
        max_area=32 * 48,
        _auto_resize=False,
        num_inference_steps=3,
        guidance_scale=3.5,
        latents=noise,
        output_type="pt",
    ).images
    from networks.editing.sampling import restore

    pixels = torch.from_numpy(image.copy()).permute(2, 0, 1)[None].float() / 127.5 - 1
    own = restore(editor, pixels, ["Remove the rain"], noise, steps=3)
    assert torch.allclose((own.clamp(-1, 1) + 1) / 2, theirs, atol=2e-3)


def test_qwen_guidance_keeps_the_norm_of_the_conditional_velocity(
    folders: dict[str, Path],
) -> None:
    editor = open_editor(folders["qwen-image-edit"])
    one, two = torch.randn(2, 1, 5, 64, generator=torch.Generator().manual_seed(1))
    guided = editor.guide(one, two, 0.5, 4.0)
    assert torch.allclose(guided.norm(dim=-1), one.norm(dim=-1), atol=1e-4)
    turned = two + 4.0 * (one - two)
    assert torch.allclose(torch.cosine_similarity(guided, turned, dim=-1), torch.ones(1, 5))
    pixels = torch.zeros(1, 3, 32, 48)
    none, space = (editor.condition(pixels, [words]) for words in ("", " "))
    assert torch.equal(none["states"], space["states"])


@pytest.mark.parametrize("family", FAMILIES)
def test_adapters_learn_alone_are_kept_and_merge(
    folders: dict[str, Path], tmp_path: Path, family: str
) -> None:
    editor = open_editor(folders[family], dtype=torch.float32)
    plain = ask(editor)
    names = lora.add_lora(editor.network, rank=4, alpha=8)
    assert torch.equal(ask(editor), plain)  # B starts at zero
    learning = {n for n, p in editor.network.named_parameters() if p.requires_grad}
    assert learning
    assert all(".lora_" in name for name in learning)
    assert len(learning) == 2 * len(names)
    torch.manual_seed(0)
    with torch.no_grad():
        for name, value in editor.network.named_parameters():
            if ".lora_B" in name:
                value.normal_(0, 0.2)
    adapted = ask(editor)
    assert not torch.allclose(adapted, plain)
    lora.save_adapter(editor, tmp_path, base_hash=editor.weights_hash())
    again = open_editor(folders[family], dtype=torch.float32)
    lora.load_adapter(again, tmp_path)
    assert torch.allclose(ask(again), adapted, atol=1e-6)
    lora.merge(again.network)
    assert not any(".lora_" in name for name, _ in again.network.named_parameters())
    assert torch.allclose(ask(again), adapted, atol=1e-4)
    restorer = load_restorer(f"{tmp_path}?steps=1&side=32")
    assert restorer.restore([picture()], Degradation.HAZE)[0].shape == (32, 48, 3)
    if family == "step1x":
        lora.merged_copy(tmp_path, tmp_path / "merged")
        merged = open_editor(tmp_path / "merged", dtype=torch.float32)
        assert (ask(merged) - adapted).norm() < 0.01 * adapted.norm()  # rounded to bf16
        (tmp_path / lora.BASE).write_text(
            json.dumps({"folder": str(folders[family]), "weights": "0" * 64})
        )
        with pytest.raises(UserError, match="other weights"):
            lora.merged_copy(tmp_path, tmp_path / "wrong")


def test_the_model_below_adapters_is_found_from_anywhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Settings name it relative to the work tree, and `mendline restore` runs in any folder."""
    (tmp_path / "tree/models/base/one").mkdir(parents=True)
    adapters = tmp_path / "tree/models/finetune"
    adapters.mkdir()
    (adapters / lora.BASE).write_text('{"folder": "models/base/one", "weights": "7"}')
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    for place in (tmp_path / "tree", elsewhere):
        monkeypatch.chdir(place)
        base, weights = lora.read_base(adapters)
        assert base.resolve() == tmp_path / "tree/models/base/one"
        assert weights == "7"
    (adapters / lora.BASE).write_text('{"folder": "models/base/two", "weights": "7"}')
    assert lora.read_base(adapters)[0] == Path("models/base/two")


def test_adapters_of_another_model_are_refused(folders: dict[str, Path], tmp_path: Path) -> None:
    editor = open_editor(folders["step1x"])
    with pytest.raises(UserError, match="no linear layer's name ends with to_z"):
        lora.add_lora(editor.network, 4, 4, ["to_z"])
    lora.add_lora(editor.network, 4, 4)
    lora.save_adapter(editor, tmp_path, base_hash="another")
    with pytest.raises(UserError, match="trained on other weights"):
        load_restorer(str(tmp_path))
    other = open_editor(folders["step1x"])
    with pytest.raises(UserError, match="do not fit"):
        state = {k: v for k, v in editor.network.state_dict().items() if "single" not in k}
        lora.save_adapter(editor, tmp_path, state)
        lora.load_adapter(other, tmp_path)


# Of each family: a file of every part that its images hang on.
DECIDING = {
    "step1x": """transformer/*.safetensors vae/*.safetensors text_encoder/*.safetensors
        text_encoder/config.json processor/tokenizer.json processor/chat_template.jinja""",
    "flux-kontext": """transformer/*.safetensors transformer/config.json vae/*.safetensors
        vae/config.json text_encoder/*.safetensors text_encoder_2/*.safetensors
        tokenizer_2/tokenizer.json scheduler/scheduler_config.json model_index.json""",
    "qwen-image-edit": """transformer/*.safetensors vae/config.json text_encoder/*.safetensors
        processor/tokenizer.json scheduler/scheduler_config.json""",
}


@pytest.mark.parametrize("family", FAMILIES)
def test_every_part_that_decides_is_in_the_identity(
    folders: dict[str, Path], tmp_path: Path, family: str
) -> None:
    folder = Path(shutil.copytree(folders[family], tmp_path / "model"))
    editor = open_editor(folder)
    identity, weights = editor.identity_hash(), editor.weights_hash()
    (folder / "README.md").write_text("Words.")
    (folder / "another.safetensors").write_bytes(b"a copy in one file, which nothing reads")
    assert editor.identity_hash() == identity
    for pattern in DECIDING[family].split():
        (path,) = folder.glob(pattern)
        before = path.read_bytes()
        path.write_bytes(before + b" ")
        assert editor.identity_hash() != identity, pattern
        # Adapters belong to the network alone.
        assert (editor.weights_hash() != weights) == (pattern == "transformer/*.safetensors")
        path.write_bytes(before)
    assert editor.identity_hash() == identity


@pytest.mark.parametrize("family", FAMILIES)
def test_what_encoders_say_hangs_on_their_files_and_types_alone(
    folders: dict[str, Path], tmp_path: Path, family: str
) -> None:
    folder = Path(shutil.copytree(folders[family], tmp_path / "model"))
    editor = open_editor(folder, dtype=torch.float32)
    own = editor.encoder_hash()
    words = "processor" if (folder / "processor").is_dir() else "tokenizer_2"
    for name, counts in (
        ("vae/config.json" if family != "step1x" else "text_encoder/config.json", True),
        (f"{words}/tokenizer.json", True),
        ("scheduler/scheduler_config.json", False),
        ("transformer/config.json", False),
    ):
        before = (folder / name).read_bytes()
        (folder / name).write_bytes(before + b" ")
        assert (editor.encoder_hash() != own) == counts, name
        (folder / name).write_bytes(before)
    assert editor.encoder_hash() == own
    assert open_editor(folder, target="cuda").encoder_hash() != own  # bf16
    pixels = torch.rand(1, 3, 32, 32, generator=torch.Generator().manual_seed(0)) * 2 - 1
    plain = editor.condition(pixels, ["Remove the rain"])
    with torch.autocast("cpu", torch.bfloat16):
        inside = editor.condition(pixels, ["Remove the rain"])
    assert all(torch.equal(inside[name], value) for name, value in plain.items())


@pytest.mark.parametrize(
    "other",
    [
        {"use_rslora": True},  # alpha over the root of the rank
        {"use_dora": True},
        {"rank_pattern": {"to_q": 8}},
        {"init_lora_weights": "pissa"},  # changes the weights below, too
        {"bias": "all"},
        {"a_later_kind": 3},
        {"target_modules": "all-linear"},
    ],
)
def test_adapters_of_another_kind_are_refused(
    folders: dict[str, Path], tmp_path: Path, other: dict[str, Any], adapted: Any
) -> None:
    """They would be loaded, and count as much as they were never trained to."""
    lora.save_adapter(adapted, tmp_path)
    about = json.loads((tmp_path / lora.CONFIG).read_text())
    (tmp_path / lora.CONFIG).write_text(json.dumps({**about, **other}))
    with pytest.raises(UserError, match=f"not known here: .*{next(iter(other))}"):
        lora.load_adapter(adapted, tmp_path)


@pytest.fixture(scope="module")
def adapted(folders: dict[str, Path]) -> Any:
    editor = open_editor(folders["flux-kontext"])
    lora.add_lora(editor.network, 4, 4)
    return editor


def test_how_much_adapters_count_is_in_their_hash(tmp_path: Path) -> None:
    about = {"r": 4, "lora_alpha": 8, "target_modules": ["to_q"], "base_model_name_or_path": "a"}
    (tmp_path / lora.WEIGHTS).write_bytes(b"weights")
    (tmp_path / lora.CONFIG).write_text(json.dumps(about))
    own = lora.adapter_hash(tmp_path)
    (tmp_path / lora.CONFIG).write_text(json.dumps({**about, "base_model_name_or_path": "b"}))
    assert lora.adapter_hash(tmp_path) == own
    (tmp_path / lora.CONFIG).write_text(json.dumps({**about, "lora_alpha": 16}))
    assert lora.adapter_hash(tmp_path) != own
    (tmp_path / lora.CONFIG).write_text("{}")
    with pytest.raises(UserError, match="cannot be read"):
        lora.adapter_hash(tmp_path)
