"""Units of work in processes of their own."""

import os
import signal
from dataclasses import dataclass
from pathlib import Path

import pytest

from catalog.errors import UserError
from curation.units import Made, compute


@dataclass(frozen=True)
class Mortal:
    """Kills its process at a unit while a file is there, as a kernel short of memory does."""

    at: int
    hungry: Path

    def key(self, unit: int) -> str:
        return f"{unit:064x}"

    def make(self, unit: int) -> Made:
        if unit == self.at and self.hungry.exists():
            os.kill(os.getpid(), signal.SIGKILL)
        return Made((), ({"unit": unit},))


def test_a_worker_that_is_killed_ends_it_with_a_remedy_and_it_goes_on(tmp_path: Path) -> None:
    hungry = tmp_path / "hungry"
    hungry.touch()
    worker, scratch = Mortal(11, hungry), tmp_path / "scratch"
    with pytest.raises(UserError, match="killed or crashed") as raised:
        compute(range(12), worker, scratch, "making", processes=2)
    assert "run the same command again" in raised.value.remedy
    hungry.unlink()
    made = compute(range(12), worker, scratch, "making", processes=2)
    assert [one.rows[0]["unit"] for one in made] == list(range(12))
