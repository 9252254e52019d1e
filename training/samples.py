"""Restored validation samples, to look at while a run goes on."""

from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from catalog.degradations import Degradation
from catalog.files import atomic_file
from catalog.images import encode_png
from networks.student.patches import to_image
from training.draws import Pair

Keeper = Callable[[Pair, Tensor, Tensor, Tensor], None]


class Samples:
    """The first pair of each task, degraded, restored and clean side by side, as PNG files."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def keeper(self, step: int) -> Keeper:
        """Writes `folder`/TASK-STEP.png for the first pair of each task that it is given."""
        seen: set[Degradation] = set()

        def keep(pair: Pair, degraded: Tensor, restored: Tensor, clean: Tensor) -> None:
            if pair.degradation in seen:
                return
            seen.add(pair.degradation)
            strip = torch.cat([side.float().cpu() for side in (degraded, restored, clean)], dim=-1)
            with atomic_file(self.folder / f"{pair.degradation}-{step:07d}.png") as temporary:
                temporary.write_bytes(encode_png(to_image(strip)))

        return keep
