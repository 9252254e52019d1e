"""Models that leave a registry on this disk; from a server: test_on_a_server.py."""

import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner

from catalog.errors import UserError
from catalog.layout import Layout
from catalog.settings import Params
from evaluation.registry.fetching import fetched, registered, remove_left_behind
from evaluation.registry.register import register_candidate
from evaluation.registry.store import Registry
from flows.cli import mendline
from flows.registry_models import local_model
from tests.evaluation.conftest import score_sharpener


def _register(layout: Layout, params: Params, model: Path) -> None:
    out = layout.root / "results/evaluation"
    score_sharpener(layout, 100, out)
    register_candidate(layout, params, model, out)


def test_a_model_of_a_store_on_this_disk_is_read_in_place(
    layout: Layout, params: Params, registry: Registry, model_folder: Callable[[int], Path]
) -> None:
    model = model_folder(1)
    _register(layout, params, model)
    for uri in ("models:/mendline/1", "models:/mendline@candidate"):
        with local_model(layout, uri) as name:
            folder = Path(name)
            assert folder.is_relative_to(layout.mlflow_database.parent)
            weights = (folder / "model.safetensors").read_bytes()
            assert weights == (model / "model.safetensors").read_bytes()
        assert folder.is_dir(), "the store's own files stay"


def test_weights_that_were_changed_in_the_store_are_not_loaded(
    layout: Layout, params: Params, registry: Registry, model_folder: Callable[[int], Path]
) -> None:
    _register(layout, params, model_folder(1))
    with fetched(registry, "1") as folder:
        weights = folder / "model.safetensors"
    weights.write_bytes((model_folder(2) / "model.safetensors").read_bytes())
    with (
        pytest.raises(UserError, match=r"model\.safetensors was changed"),
        local_model(layout, "models:/mendline/1"),
    ):
        pass


WRONG = {
    "models:/mendline": "names no version",
    "models:/mendline/": "names no version",
    "models:/@champion": "names no version",
    "models:/mendline/Production": "names no version",
    "models:/mendline@champion": "mendline has no alias champion; it has: candidate",
    "models:/other@champion": "other has no alias champion; it has: none",
    "models:/mendline/7": "There is no version 7",
    "models:/other/1": "There is no version 1 of other",
}


def test_a_uri_that_names_nothing_is_said_so(
    layout: Layout, params: Params, registry: Registry, model_folder: Callable[[int], Path]
) -> None:
    _register(layout, params, model_folder(1))
    for uri, said in WRONG.items():
        with pytest.raises(UserError, match=said):
            registered(layout, uri)


def test_the_restore_command_finds_a_version_in_the_registry_of_the_work_tree(
    layout: Layout,
    params: Params,
    registry: Registry,
    model_folder: Callable[[int], Path],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    _register(layout, params, model_folder(1))
    # MLflow sets it to the store that it is told; afterwards it is gone again.
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "")
    monkeypatch.chdir(layout.root)
    photo = str(next((layout.benchmark / "noise").glob("*.png")))
    command = ["restore", photo, "-d", "noise", "--restorer", "models:/mendline/1", "--out", "out"]
    done = CliRunner().invoke(mendline, command, catch_exceptions=False)
    assert "1 of 1 images restored by mendline-student" in done.output
    assert not (layout.root / "mlflow.db").exists(), "MLflow made a registry of its own"


def test_what_a_killed_process_downloaded_is_removed_and_a_living_one_s_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    kept = tmp_path / "precious"
    kept.mkdir()
    with subprocess.Popen(["cat"], stdin=subprocess.PIPE) as process:
        folder = tmp_path / f"mendline-model-{process.pid}-abc"
        (folder / "artifacts").mkdir(parents=True)
        link = tmp_path / f"mendline-model-{process.pid}-link"
        link.symlink_to(kept)
        remove_left_behind()
        assert (folder / "artifacts").is_dir()
        process.kill()
    remove_left_behind()
    assert not folder.exists()
    assert kept.is_dir() and link.is_symlink()
