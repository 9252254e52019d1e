"""A version's whole life on an `mlflow server` that keeps the artifacts, too."""

import hashlib
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from catalog import schemas
from catalog.errors import UserError
from catalog.layout import Layout
from catalog.settings import Params
from catalog.tables import write_table
from evaluation.registry import decisions
from evaluation.registry.gating import gate_version
from evaluation.registry.leaderboard import boards
from evaluation.registry.records import records, report_state
from evaluation.registry.register import register_candidate
from evaluation.registry.store import Registry, connect
from flows.cli import mendline
from flows.registry_models import local_model
from tests.evaluation.conftest import score_sharpener
from tests.evaluation.mlflow_server import free_port, mlflow_server

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


def test_register_gate_approve_flag_restore_and_roll_back(
    layout: Layout,
    params: Params,
    registry: Registry,
    model_folder: Callable[[int], Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pairs = [{name: f"{name}-0" for name in schemas.DATASET.names} | {"degraded_id": "1" * 64}]
    write_table(layout.dataset / "pairs.parquet", pairs, schemas.DATASET)
    port = free_port()
    with mlflow_server(registry, port):
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{port}")
        monkeypatch.chdir(layout.root)
        monkeypatch.setenv("COLUMNS", "200")
        scratch = tmp_path / "scratch"
        scratch.mkdir()
        monkeypatch.setattr(tempfile, "tempdir", str(scratch))
        there = connect(layout, "mendline")

        for seed, percent in ((1, 60), (2, 100)):
            out = layout.root / f"results/{seed}"
            score_sharpener(layout, percent, out)
            made = register_candidate(layout, params, model_folder(seed), out)
            again = register_candidate(layout, params, model_folder(seed), out)
            assert (made.version, again.created) == (str(seed), False)
            gated = gate_version(layout, params, seed)
            assert gated.verdict.verdict == "promote", gated.verdict.reasons
            assert gated.report_uri.startswith("mlflow-artifacts:")
            decisions.approve(layout, params, seed, "Ada")
        assert there.aliases() == {"champion": "2", "previous": "1"}
        assert [report_state(there, record) for record in records(there)] == ["as it was read"] * 2

        said = CliRunner().invoke(mendline, ["review", "--all"], catch_exceptions=False).output
        assert "mendline" in said
        assert len(boards(there)[0].entries) == 2
        with local_model(layout, "models:/mendline@champion") as name:
            assert Path(name).is_relative_to(scratch)
            weights = (Path(name) / "model.safetensors").read_bytes()
            assert weights == (model_folder(2) / "model.safetensors").read_bytes()
        photo = str(next(layout.benchmark.rglob("*.png")))
        command = ["restore", photo, "-d", "noise", "--restorer", "models:/mendline@champion"]
        done = CliRunner().invoke(mendline, [*command, "--out", "out"], catch_exceptions=False)
        assert "1 of 1 images restored by mendline-student" in done.output

        done = CliRunner().invoke(mendline, ["takedown", "1" * 64, "--reason", "asked"])
        assert "Version 1 learned from 1 taken-down image(s): flagged." in done.output
        assert there.version(2).tags["taken_down"] == "1"
        with pytest.raises(UserError, match="have been taken down"):
            decisions.rollback(layout, params, "Ada")
        decisions.rollback(layout, params, "Ada", "haze got worse")
        assert there.champion() == "1"
        assert not list(scratch.iterdir()), "what was downloaded is gone"
    report = gated.report.read_bytes()
    assert gated.report_sha256 == hashlib.sha256(report).hexdigest()


@pytest.fixture
def tiny_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 64 kB."""
    place = tmp_path / "tiny"
    place.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(place)]
    if subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("a file system of its own cannot be mounted here")
    yield place
    subprocess.run(["umount", str(place)], check=True)


def test_a_disk_that_is_too_small_for_a_model_is_named_and_left_empty(
    layout: Layout,
    params: Params,
    registry: Registry,
    model_folder: Callable[[int], Path],
    tiny_disk: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    port = free_port()
    with mlflow_server(registry, port):
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{port}")
        out = layout.root / "results/1"
        score_sharpener(layout, 100, out)
        register_candidate(layout, params, model_folder(1), out)
        monkeypatch.setattr(tempfile, "tempdir", str(tiny_disk))
        with (
            pytest.raises(UserError, match=rf"No space left on the disk in {tiny_disk}"),
            local_model(layout, "models:/mendline/1"),
        ):
            pass
        assert not list(tiny_disk.iterdir())
