"""The last scenes, kept on the device that trains; batches of windows of them."""

from typing import NamedTuple

import numpy as np
import torch

from catalog.errors import UserError
from networks.judges.proxy.fit.scenes import Scene
from networks.judges.proxy.network import CELL, size_of
from networks.judges.proxy.views import COARSE_SIDE


class Windows(NamedTuple):
    """Windows of both versions of n scenes, one place of each scene, mirrored at random."""

    images: torch.Tensor
    """(n, 2, side, side, 3) uint8"""
    effects: torch.Tensor
    """(n, 2, side / 8, side / 8, 4) float16, as in `Scene`"""
    sizes: torch.Tensor
    """(n,) of the whole scenes, by `size_of`"""
    kinds: torch.Tensor
    """(n,) numbers of the degradations"""
    strengths: torch.Tensor
    """(n, 2), -1 for a clean version"""


class Pool:
    """Keeps up to `room` scenes, 1.6 MB each; the oldest make way."""

    def __init__(self, room: int, device: str) -> None:
        """Raises `UserError` where the device has too little memory."""
        side, cells = COARSE_SIDE, COARSE_SIDE // CELL
        self.room, self.device, self.made = room, torch.device(device), 0
        self._images = self._empty((room, 2, side, side, 3), torch.uint8)
        self._effects = self._empty((room, 2, cells, cells, 4), torch.float16)
        self._shapes = self._empty((room, 2), torch.int64)
        self._kinds = self._empty((room,), torch.int64)
        self._sizes = self._empty((room,), torch.float32)
        self._strengths = self._empty((room, 2), torch.float32)

    def __len__(self) -> int:
        return min(self.made, self.room)

    def put(self, scenes: list[Scene]) -> None:
        """Keep new scenes."""
        for scene in scenes:
            place = self.made % self.room
            height, width = scene.images[0].shape[:2]
            rows, columns = scene.effects[0].shape[:2]
            self._images[place, :, :height, :width] = self._there(np.stack(scene.images))
            self._effects[place, :, :rows, :columns] = self._there(np.stack(scene.effects))
            numbers = np.array([height, width, scene.kind])
            self._shapes[place], self._kinds[place] = self._there(numbers).split([2, 1])
            values = np.array([size_of((height, width)), *scene.strengths], np.float32)
            self._sizes[place], self._strengths[place] = self._there(values).split([1, 2])
            self.made += 1

    def last(self, count: int) -> np.ndarray:
        """(count,) places of the newest scenes."""
        return np.arange(self.made - count, self.made) % self.room

    def drawn(self, count: int, rng: np.random.Generator) -> np.ndarray:
        """(count,) places of scenes that were there before the newest, each at most once."""
        return rng.choice(len(self), count, replace=False)

    def windows(self, places: np.ndarray, side: int, rng: np.random.Generator) -> Windows:
        """Windows of `side` pixels, a multiple of 8, of the scenes at `places`.

        A scene that is smaller is mirrored at its right and lower border.
        """
        drawn = self._there(rng.random((3, len(places)), dtype=np.float32))
        chosen = self._there(places)
        turned = drawn[2] < 0.5
        across = []
        for axis in range(2):
            extent = self._shapes[chosen, axis]
            steps = (extent - side).clamp(min=0) // CELL + 1
            across.append(((drawn[axis] * steps).long().clamp(max=steps - 1), extent))

        def cut(values: torch.Tensor, scale: int) -> torch.Tensor:
            length, lines = side // scale, []
            for axis, (first, extent) in enumerate(across):
                line = torch.arange(length, device=self.device).expand(len(places), -1)
                if axis == 1:
                    line = torch.where(turned[:, None], length - 1 - line, line)
                line = line + first[:, None] * (CELL // scale)
                lines.append(mirrored(line, -(-extent // scale)[:, None]))
            down, right = lines
            version = torch.arange(2, device=self.device)[None, :, None, None]
            return values[
                chosen[:, None, None, None], version, down[:, None, :, None], right[:, None, None]
            ]

        return Windows(
            cut(self._images, 1),
            cut(self._effects, CELL),
            self._sizes[chosen],
            self._kinds[chosen],
            self._strengths[chosen],
        )

    def _empty(self, shape: tuple[int, ...], kind: torch.dtype) -> torch.Tensor:
        try:
            return torch.empty(shape, dtype=kind, device=self.device)
        except RuntimeError as error:
            raise UserError(
                f"{self.room} scenes do not fit into the memory of {self.device}: "
                f"{' '.join(str(error).split())[:200]}",
                "Train where there is more, or keep fewer: `kept` of networks.judges.proxy.fit."
                "train.Plan.",
            ) from error

    def _there(self, values: np.ndarray) -> torch.Tensor:
        tensor = torch.from_numpy(values)
        if self.device.type == "cpu":
            return tensor
        # From pinned memory the copy waits for nothing: the steps before it are still running.
        return tensor.pin_memory().to(self.device, non_blocking=True)


def mirrored(places: torch.Tensor, extent: torch.Tensor) -> torch.Tensor:
    """`places` >= 0 continued beyond `extent` by reflection, the border pixel not repeated."""
    period = (2 * (extent - 1)).clamp(min=1)
    folded = places % period
    return torch.where(folded < extent, folded, period - folded)
