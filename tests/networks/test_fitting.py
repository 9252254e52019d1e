"""Scenes that trainings of the small networks are made of."""

import errno
import resource
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from catalog import files
from catalog.alone import alone
from catalog.errors import UserError
from networks.fitting.descent import ScenePlan
from networks.fitting.machine import Machine
from networks.fitting.scenes import FILLING, scene_batches
from networks.fitting.state import State, averaged

PLAN = ScenePlan(
    seed=3,
    steps=FILLING + 6,
    cooldown=0.4,
    warmup=2,
    batch=4,
    fresh=1,
    kept=20,
    learning_rate=1e-3,
    average=0.9,
)


def _number(rng: np.random.Generator) -> int:
    return int(rng.integers(2**40))


def test_scenes_do_not_depend_on_how_many_processes_make_them() -> None:
    by_one, by_two = (
        [(step, new, kept) for step, _, new, kept in scene_batches(_number, PLAN, 0, workers)]
        for workers in (1, 2)
    )
    assert by_one == by_two
    assert [step for step, _, _ in by_one] == list(range(PLAN.steps))
    assert [len(new) for _, new, _ in by_one] == [4] * FILLING + [1] * 6
    assert all(len(new) + len(kept) == PLAN.batch for _, new, kept in by_one)
    assert len({one for _, new, _ in by_one for one in new}) == 4 * FILLING + 6


def test_kept_scenes_are_of_the_last_ones() -> None:
    made: list[int] = []
    for _, _, new, kept in scene_batches(_number, PLAN, 0):
        assert set(kept) <= set(made[-PLAN.kept :])
        made += new


def test_an_earlier_average_counts_its_share(tmp_path: Path) -> None:
    torch.manual_seed(0)
    early, late = (torch.nn.BatchNorm1d(3) for _ in range(2))
    early.running_mean += 4
    early.weight.data -= 2
    State(tmp_path / "state.pt", average=early).save(9)
    between = averaged(late, tmp_path / "state.pt", 0.25)
    assert between.weight.tolist() == [0.5] * 3
    assert between.running_mean.tolist() == [1.0] * 3
    assert averaged(between, None, 0.25).weight.tolist() == [0.5] * 3


def test_a_state_of_another_network_or_half_of_one_is_named(tmp_path: Path) -> None:
    place = tmp_path / "state.pt"
    State(place, net=torch.nn.Linear(2, 3)).save(1)
    with pytest.raises(UserError, match=r"the state of another network: .*size mismatch"):
        State(place, net=torch.nn.Linear(4, 3)).load()
    for content in (place.read_bytes()[:-100], b"", b"no archive"):
        place.write_bytes(content)
        with pytest.raises(UserError, match="begin anew in another folder"):
            State(place, net=torch.nn.Linear(2, 3)).load()
        assert place.read_bytes() == content


def test_a_full_disk_leaves_the_state_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The system's limit on a file's size stands in for a full disk: writes fail in the middle."""
    monkeypatch.setattr(files, "_NO_SPACE", {errno.EFBIG})
    place = tmp_path / "state.pt"
    State(place, net=torch.nn.Linear(2, 3)).save(7)
    old = resource.getrlimit(resource.RLIMIT_FSIZE)
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (9_000, old[1]))
    try:
        with pytest.raises(UserError, match="No space left on the disk"):
            State(place, net=torch.nn.Linear(200, 200)).save(8)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, old)
        signal.signal(signal.SIGXFSZ, before)
    assert State(place, net=torch.nn.Linear(2, 3)).load() == 7
    assert list(tmp_path.iterdir()) == [place]


@pytest.mark.parametrize("command", ["network", "glass"])
def test_two_trainings_of_one_folder_do_not_mix(tmp_path: Path, command: str) -> None:
    from click.testing import CliRunner

    from networks.judges.proxy.fit.__main__ import fit

    asked = [command, "--pack", str(tmp_path), "--work", str(tmp_path / "work")]
    with alone(tmp_path / "work", "This test is."):
        found = CliRunner().invoke(fit, asked)
    assert isinstance(found.exception, UserError)
    assert "Another training is running in" in str(found.exception)
    # The holder gone, it comes as far as the pack, which is none.
    assert "lacks the folders" in str(CliRunner().invoke(fit, asked).exception)


@pytest.mark.parametrize(
    ("command", "said"),
    [
        ("networks.judges.proxy.fit network --pack none --work work", "none lacks the folders"),
        ("networks.judges.proxy.fit glass --pack none --work work", "none lacks the folders"),
        ("networks.judges.proxy.fit samples --photos none --out out", "is missing"),
        ("networks.judges.proxy.fit ladder --photos none --out out", "is missing"),
        ("networks.changes.fit scenes --photos none --out out", "is missing"),
        ("networks.watermark.fit --debs none --work work", "none lacks cube2-data"),
        ("curation.screen.fit_forms --photos none", "is missing"),
    ],
)
def test_a_script_says_in_words_what_it_lacks(command: str, said: str, tmp_path: Path) -> None:
    ended = subprocess.run(
        [sys.executable, "-m", *command.split()],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert ended.returncode == 1
    assert said in ended.stderr
    assert "Traceback" not in ended.stderr


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_a_training_goes_on_on_a_gpu(tmp_path: Path) -> None:
    from networks.judges.proxy.fit import train
    from tests.networks.judges.test_proxy_network import FewPhotos

    for device, steps in (("cpu", 2), ("cuda", 4)):
        plan = train.Plan(steps=steps, batch=2, fresh=1, side=64, last_side=96)
        net = train.train(FewPhotos(), tmp_path, plan, Machine(device=device))
    assert next(net.parameters()).device.type == "cpu"
    assert all(value.isfinite().all() for value in net.state_dict().values())
