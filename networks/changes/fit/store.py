"""Scenes on disk: one file a photo and round."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from catalog.degradations import Degradation
from catalog.files import atomic_file
from catalog.images import Rgb
from networks.changes.fit.photos import is_held_out
from networks.changes.fit.scenes import Scene, make


def write_scenes(folder: Path, photos: Sequence[Rgb], index: int, number: int) -> None:
    """Scenes of one photo under every third degradation, so that three rounds take each once."""
    place = folder / f"{number:03d}-{index:03d}.npz"
    if place.exists():
        return
    tasks = list(Degradation)[(number + index) % 3 :: 3]
    made = [scene for task in tasks for scene in make(photos, index, task, number)]
    content: dict[str, np.ndarray] = {"tasks": np.array([scene.task for scene in made])}
    for i, scene in enumerate(made):
        content[f"maps-{i}"], content[f"cells-{i}"] = scene.maps, scene.cells
    with atomic_file(place) as temporary, temporary.open("wb") as file:
        np.savez(file, **content)  # type: ignore[arg-type]


def read_scenes(folder: Path) -> tuple[list[Scene], list[Scene]]:
    """Those to train on, and those of held-out photos."""
    seen: list[Scene] = []
    held: list[Scene] = []
    for place in sorted(folder.glob("*.npz")):
        mine = held if is_held_out(int(place.stem.split("-")[1])) else seen
        with np.load(place) as content:
            for i, task in enumerate(content["tasks"].tolist()):
                mine.append(Scene(content[f"maps-{i}"], content[f"cells-{i}"], task))
    return seen, held
