"""Large models in the registry: adapters, copies, references, and what is refused."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from catalog.degradations import Degradation
from catalog.errors import UserError
from catalog.layout import Layout
from catalog.settings import Params
from evaluation.registry.bundles import folder_in, put, read_bundle
from evaluation.registry.fetching import fetched
from evaluation.registry.register import register_candidate
from evaluation.registry.store import Registry
from networks.editing import lora
from networks.editing.families import open_editor
from networks.editing.reference import BUNDLES, REFERENCE
from networks.restorers import load_restorer
from tests.evaluation.conftest import score_sharpener
from tests.evaluation.registering import consume
from tests.networks.editing import tiny

IMAGE = np.arange(32 * 32 * 3, dtype=np.uint8).reshape(32, 32, 3)
FEW = "?steps=1&side=32"


def restored(folder: Path) -> np.ndarray:
    return load_restorer(f"{folder}{FEW}").restore([IMAGE], Degradation.HAZE)[0]


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.bundle(tmp_path_factory.mktemp("models") / "base")


@pytest.fixture(scope="module")
def adapters(base: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Adapters of rank 2 that change something."""
    import torch

    torch.manual_seed(0)
    editor = open_editor(base)
    weights = editor.weights_hash()
    lora.add_lora(editor.network, 2, 2.0)
    for name, value in editor.network.named_parameters():
        if ".lora_B." in name:
            torch.nn.init.normal_(value, std=0.5)
    folder = tmp_path_factory.mktemp("adapters")
    lora.save_adapter(editor, folder, base_hash=weights)
    (folder / "training.jsonl").write_text("{}\n")
    return folder


def test_adapters_are_copied_and_the_model_below_is_referred_to(
    base: Path, adapters: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = tmp_path / "base"
    shutil.copytree(base, own)
    mine = tmp_path / "adapters"
    shutil.copytree(adapters, mine)
    about = json.loads((mine / lora.BASE).read_text())
    (mine / lora.BASE).write_text(json.dumps({**about, "folder": str(own)}))
    bundle = read_bundle(mine)
    assert bundle.kind == "adapters"
    held = tmp_path / "held"
    held.mkdir()
    put(bundle, held, tmp_path / "kept")
    assert {path.name for path in held.iterdir()} == {
        lora.CONFIG,
        lora.WEIGHTS,
        lora.BASE,
        REFERENCE,
    }
    expected = restored(mine)
    assert not np.array_equal(expected, restored(own))
    assert np.array_equal(restored(held), expected)

    digest = json.loads((held / REFERENCE).read_text())["digest"]
    (tmp_path / "elsewhere").mkdir()
    own.rename(tmp_path / "elsewhere" / digest)
    with pytest.raises(UserError, match="no such folder"):
        load_restorer(str(held))
    monkeypatch.setenv(BUNDLES, str(tmp_path / "elsewhere"))
    assert np.array_equal(restored(held), expected)


def test_a_large_model_is_kept_by_hard_links_and_another_one_refused(
    base: Path, tmp_path: Path
) -> None:
    own = tmp_path / "models/finetune"
    shutil.copytree(base, own)
    (own / "validation.jsonl").write_text("{}\n")
    bundle = read_bundle(own)
    held, kept = tmp_path / "held", tmp_path / "kept"
    held.mkdir()
    put(bundle, held, kept, copied=0)
    assert [path.name for path in held.iterdir()] == [REFERENCE]
    weights = Path("transformer/diffusion_pytorch_model.safetensors")
    place = kept / bundle.digest
    assert (place / weights).stat().st_ino == (own / weights).stat().st_ino
    assert not (place / "validation.jsonl").exists()
    expected = restored(own)
    shutil.rmtree(own)  # as the next training does
    assert np.array_equal(restored(held), expected)

    added = (place / weights).with_name("added.safetensors")
    shutil.copyfile(place / weights, added)  # a loader takes all that is there
    with pytest.raises(UserError, match=r"transformer/added\.safetensors is not of it"):
        load_restorer(str(held))
    added.unlink()

    whole = (place / weights).read_bytes()
    (place / weights).write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    with pytest.raises(UserError, match=f"{weights} has another SHA-256"):
        load_restorer(str(held))


def test_a_small_one_is_copied_whole(base: Path, tmp_path: Path) -> None:
    put(read_bundle(base), tmp_path, tmp_path / "kept")
    assert not (tmp_path / "kept").exists()
    assert np.array_equal(restored(tmp_path), restored(base))


def test_a_pickle_is_refused(base: Path, tmp_path: Path) -> None:
    own = tmp_path / "base"
    shutil.copytree(base, own)
    (own / "vae/extra.bin").write_bytes(b"x")
    with pytest.raises(UserError, match=r"extra\.bin is a pickle"):
        read_bundle(own)


CONSUMER = """
import json, sys
from io import BytesIO

import mlflow
from PIL import Image

model = mlflow.pyfunc.load_model(sys.argv[1], model_config={"options": "steps=1&side=32"})
import networks
from evaluation.registry.model import example

image = Image.open(BytesIO(model.predict(example())["image"][0]))
print(json.dumps({"code": networks.__file__, "size": image.size}))
"""


@pytest.mark.slow
def test_registered_adapters_load_by_pyfunc_and_for_the_gate(
    layout: Layout, params: Params, registry: Registry, adapters: Path, tmp_path: Path
) -> None:
    score_sharpener(layout, 100, layout.root / "results/evaluation")
    made = register_candidate(layout, params, adapters, layout.root / "results/evaluation")
    assert registry.version(int(made.version)).tags["kind"] == "adapters"
    again = register_candidate(layout, params, adapters, layout.root / "results/evaluation")
    assert not again.created
    with fetched(registry, made.version) as files:
        assert np.array_equal(restored(files), restored(adapters))
    assert folder_in(tmp_path / "nothing") is None
    root = next(path.parent for path in files.parents[1].rglob("MLmodel"))
    suffixes = {path.suffix for path in root.rglob("*") if path.is_file()}
    assert not suffixes & {".pkl", ".pickle", ".pt", ".bin"}
    found = consume(registry, root, CONSUMER)
    assert found["size"] == [32, 32]
