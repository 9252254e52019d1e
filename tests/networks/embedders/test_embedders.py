"""The embedders: unit vectors, determinism, identity, and weights from a file."""

from pathlib import Path
from typing import Any

import numpy as np
import open_clip
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from catalog.errors import UserError
from networks.embedders import load_embedder
from networks.embedders.mendline_clip import WEIGHTS, build_model, load_mendline_clip
from networks.embedders.open_clip import OpenClipEmbedder
from networks.interfaces import Embedder, Identity


def _images(count: int) -> list[np.ndarray]:
    rng = np.random.default_rng(3)
    return [rng.integers(0, 256, (40 + 9 * i, 120 - i, 3), dtype=np.uint8) for i in range(count)]


@pytest.fixture(scope="module")
def embedder() -> OpenClipEmbedder:
    return load_mendline_clip()


def test_vectors_are_of_length_one_and_do_not_depend_on_the_batch(embedder: Embedder) -> None:
    images = _images(5)
    together = embedder.embed_images(images)
    assert together.shape == (5, embedder.width)
    assert together.dtype == np.float32
    assert np.allclose(np.linalg.norm(together, axis=1), 1.0, atol=1e-5)
    alone = np.concatenate([embedder.embed_images([image]) for image in images])
    assert np.allclose(together, alone, atol=1e-5)
    assert embedder.embed_images([]).shape == (0, embedder.width)


def test_the_network_may_be_asked_in_batches_of_one_size_only(
    embedder: OpenClipEmbedder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on a GPU: fewer images are filled up, more are taken in turns."""
    images = _images(5)
    wanted = embedder.embed_images(images)
    sizes: list[int] = []
    encode = embedder.model.encode_image

    def counted(data: torch.Tensor, normalize: bool) -> torch.Tensor:
        sizes.append(len(data))
        return encode(data, normalize=normalize)

    monkeypatch.setattr(embedder, "_fixed", 3)
    monkeypatch.setattr(embedder.model, "encode_image", counted)
    assert np.allclose(embedder.embed_images(images), wanted, atol=1e-5)
    assert sizes == [3, 3]


def test_the_network_reads_what_open_clips_own_preparation_makes(
    embedder: OpenClipEmbedder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """To the bit, though scaling is done image by image and normalising for a batch."""
    images = _images(5)
    read: list[torch.Tensor] = []
    encode = embedder.model.encode_image

    def kept(data: torch.Tensor, normalize: bool) -> torch.Tensor:
        read.append(data.cpu()[:5])
        return encode(data, normalize=normalize)

    monkeypatch.setattr(embedder.model, "encode_image", kept)
    embedder.embed_images(images)
    wanted = torch.stack([embedder.transform(Image.fromarray(image)) for image in images])
    assert torch.equal(read[0], wanted)


def test_a_gpu_computes_float32_in_float32(
    embedder: OpenClipEmbedder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """TF32 is off while the network is asked, and afterwards as it was."""
    seen: list[bool] = []

    def flags() -> list[bool]:
        return [torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32]

    def asked(data: torch.Tensor, normalize: bool) -> torch.Tensor:
        seen.extend(flags())
        return data.float()

    before = flags()
    assert any(before), "PyTorch's default, without which nothing is tested"
    monkeypatch.setattr(embedder, "on_gpu", True)
    monkeypatch.setattr(embedder.model, "encode_text", asked)
    embedder.embed_texts(["rain"])
    assert seen == [False, False]
    assert flags() == before


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_on_a_gpu_a_vector_is_the_same_whatever_the_batch(dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    model = open_clip.create_model("ViT-S-32").to(dtype)
    tokenizer = open_clip.get_tokenizer("ViT-S-32")
    embedder = OpenClipEmbedder(model, tokenizer, Identity("ViT-S-32", "1", trained=False))
    images = _images(70)
    together = embedder.embed_images(images)
    for size in (1, 7, 32):
        parts = [embedder.embed_images(images[i : i + size]) for i in range(0, 70, size)]
        assert np.allclose(np.concatenate(parts), together, atol=1e-5)
    assert np.abs(together[:-1] - together[1:]).max() > 1e-3, "the vectors tell images apart"


def test_texts_and_images_share_a_space(embedder: Embedder) -> None:
    texts = embedder.embed_texts(["a hazy photo", "a clean photo", "a hazy photo"])
    assert texts.shape == (3, embedder.width)
    assert np.array_equal(texts[0], texts[2])
    assert not np.array_equal(texts[0], texts[1])


def test_the_identity_says_whether_the_weights_are_trained(embedder: Embedder) -> None:
    assert embedder.identity.trained == WEIGHTS.is_file()
    assert ("untrained" in str(embedder.identity)) == (not WEIGHTS.is_file())


def test_random_weights_are_the_same_each_time_and_leave_the_generator_alone() -> None:
    torch.manual_seed(1)
    before = torch.random.get_rng_state()
    first, second = build_model().state_dict(), build_model().state_dict()
    assert torch.equal(before, torch.random.get_rng_state())
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_the_weights_fit_the_package() -> None:
    count = sum(weight.numel() for weight in build_model().parameters())
    assert count * 2 < 25e6, "in half precision the weights must stay below 25 MB"


def test_an_open_clip_model_loads_from_a_safetensors_file(tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = open_clip.create_model("ViT-S-32-alt").eval()
    path = tmp_path / "weights.safetensors"
    save_file({name: weight.contiguous() for name, weight in model.state_dict().items()}, path)
    loaded = load_embedder(f"open_clip:ViT-S-32-alt:{path}")
    assert loaded.identity.trained
    assert str(tmp_path) not in str(loaded.identity)
    assert loaded.width == 256
    with torch.inference_mode():
        tokens = open_clip.get_tokenizer("ViT-S-32-alt")(["rain"])
        wanted = model.encode_text(tokens, normalize=True).numpy()
    assert np.allclose(loaded.embed_texts(["rain"]), wanted, atol=1e-5)


def test_weights_of_a_tag_run_with_their_own_activation(monkeypatch: pytest.MonkeyPatch) -> None:
    """OpenAI's were trained with QuickGELU; with another activation the vectors are wrong."""
    create = open_clip.create_model
    made: list[torch.nn.Module] = []

    def without_download(name: str, **options: Any) -> torch.nn.Module:
        made.append(create(name, force_quick_gelu=options["force_quick_gelu"]))
        return made[-1]

    monkeypatch.setattr(open_clip, "create_model", without_download)
    for tag in ("openai", "laion2b_s34b_b79k"):
        load_embedder(f"open_clip:ViT-B-32:{tag}")
    kinds = [{type(module).__name__ for module in model.modules()} for model in made]
    assert ["QuickGELU" in kind for kind in kinds] == [True, False]


def test_nobody_is_told_that_the_weights_are_random(caplog: pytest.LogCaptureFixture) -> None:
    assert load_mendline_clip().identity.trained
    assert not caplog.records


def test_weights_of_another_hash_are_refused(tmp_path: Path) -> None:
    changed = tmp_path / WEIGHTS.name
    changed.write_bytes(WEIGHTS.read_bytes()[:-1] + b"x")
    with pytest.raises(UserError, match="have the SHA-256"):
        load_mendline_clip(changed)


@pytest.mark.parametrize("data", [b"", b"junk" * 99])
def test_a_file_that_is_no_safetensors_is_refused(data: bytes, tmp_path: Path) -> None:
    place = tmp_path / "weights.safetensors"
    place.write_bytes(data)
    with pytest.raises(UserError, match="cannot be loaded"):
        load_embedder(f"open_clip:ViT-S-32-alt:{place}")


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("mendline-clp", "mendline-clip"),
        ("open_clip:ViT-B-32", "open_clip:MODEL:TAG"),
        ("open_clip:ViT-B-33:openai", "ViT-B-32"),
        ("open_clip:ViT-B-32:openay", "openai"),
        ("open_clip:ViT-B-32:/nowhere/weights.safetensors", "/nowhere/weights.safetensors"),
        ("open_clip:ViT-B-32:/nowhere/weights.pt", "safetensors"),
    ],
)
def test_a_wrong_name_is_refused_with_what_is_right(name: str, says: str) -> None:
    with pytest.raises(UserError) as caught:
        load_embedder(name)
    assert says in str(caught.value)
