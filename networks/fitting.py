"""What the scripts share that train the package's own small networks."""

import hashlib
import json
import subprocess
from pathlib import Path
from typing import Any

import torch

from catalog.errors import UserError
from catalog.files import atomic_file, atomic_folder
from catalog.progress import track


def unpack(debs: Path, folder: Path, packages: Path) -> None:
    """Unpack into `folder`/NAME, once, the Debian packages in `debs` that `packages` lists.

    The list is JSON: objects with "package", "version" and "sha256". Raises `UserError` for a
    package that is missing or is another one.
    """
    for entry in track(json.loads(packages.read_text("utf-8")), "packages"):
        target = folder / entry["package"]
        if target.exists():
            continue
        found = sorted(debs.glob(f"{entry['package']}_*.deb"))
        digest = hashlib.sha256(found[0].read_bytes()).hexdigest() if found else "no file"
        if digest != entry["sha256"]:
            raise UserError(
                f"{debs} lacks {entry['package']} {entry['version']} (SHA-256 found: {digest}).",
                f"In that folder: apt-get download {entry['package']}={entry['version']}",
            )
        with atomic_folder(target) as temporary:
            subprocess.run(["dpkg-deb", "-x", found[0], temporary], check=True)


class State:
    """The state of a training in a file, from which a run that was cut off goes on."""

    def __init__(self, path: Path, **parts: Any) -> None:
        """`parts` have `state_dict` and `load_state_dict`: networks, optimizers, schedules."""
        self.path, self.parts = path, parts

    def load(self) -> int:
        """Put what an earlier run left into the parts; the number of steps it had done."""
        if not self.path.is_file():
            return 0
        state = torch.load(self.path, weights_only=True)
        for name, part in self.parts.items():
            part.load_state_dict(state[name])
        return int(state["step"])

    def save(self, step: int) -> None:
        """Write the parts after `step` steps, whole or not at all."""
        with atomic_file(self.path) as temporary:
            state = {name: part.state_dict() for name, part in self.parts.items()}
            torch.save({**state, "step": step}, temporary)


def held(step: int, steps: int, warmup: int, cooldown: float) -> float:
    """Share of the learning rate at a step, 0 .. 1.

    It rises over `warmup` steps, stays, and falls in a line over the last `cooldown` (a share) of
    the `steps`.
    """
    return min(1.0, (step + 1) / warmup, (steps - step) / (steps * cooldown))


@torch.no_grad()
def follow(average: torch.nn.Module, net: torch.nn.Module, kept: float) -> None:
    """Move the running average of the weights towards `net`'s, keeping the share `kept` of it."""
    for mean, now in zip(average.state_dict().values(), net.state_dict().values(), strict=True):
        if mean.is_floating_point():
            mean.lerp_(now, 1 - kept)
        else:
            mean.copy_(now)
