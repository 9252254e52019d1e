"""Where restored images come from: a restorer that is run, or a folder of predictions."""

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from catalog import images
from catalog.degradations import Degradation
from catalog.errors import ImageRefused, UserError
from catalog.files import atomic_file
from catalog.images import Rgb
from catalog.log import logger
from evaluation.attempts import DEATHS_ALONE, Attempts
from evaluation.benchmark import Benchmark, Item, resize
from networks.interfaces import Identity, Restorer


class Failed(Exception):
    """The model has no image for an item; `outcome` is the slug, the text says why."""

    def __init__(self, outcome: str, why: str) -> None:
        super().__init__(why)
        self.outcome = outcome


class Source(Protocol):
    """Gives the restored image of an item."""

    identity: Identity

    def prepare(self, items: Sequence[Item], pictures: Sequence[Rgb]) -> None:
        """Make the restored images of items of one task; failures show in `get`."""
        ...

    def get(self, item: Item, degraded: Rgb) -> Rgb:
        """Restored image of the size of `degraded`; raises `Failed`."""
        ...

    def discard(self) -> None:
        """Remove what was kept for a run that goes on; the evaluation is whole."""
        ...


class RestorerSource:
    """Runs a restorer and keeps what it made, lossless, until the evaluation is whole.

    A killed evaluation finds its images again in `scratch`. An image on which the restorer dies is
    tried alone; if it dies again the item has failed and the others go on. That holds for an
    exception and, from one process to the next, for a death of the whole process.
    """

    def __init__(self, restorer: Restorer, benchmark: Benchmark, scratch: Path) -> None:
        self.restorer = restorer
        self.identity = restorer.identity
        size = benchmark.max_side or "full"
        self.folder = scratch / f"{self.identity.digest[:16]}-{size}-{images.VERSION}"
        self._failures: dict[Item, str] = {}
        self._attempts = Attempts(self.folder / "attempts")

    def _path(self, item: Item) -> Path:
        return self.folder / item.degradation / f"{item.image_id}.png"

    def prepare(self, items: Sequence[Item], pictures: Sequence[Rgb]) -> None:
        """Restore those of `items` (of one task) that are not in the scratch folder yet."""
        todo = [
            (item, picture)
            for item, picture in zip(items, pictures, strict=True)
            if not self._path(item).exists()
        ]
        if not todo:
            return
        asked = [item for item, _ in todo]
        deaths = self._attempts.deaths(asked)
        if deaths and len(todo) > 1:
            for item, picture in todo:
                self.prepare([item], [picture])
            return
        if deaths >= DEATHS_ALONE:
            self._fail(asked[0], RuntimeError(f"{deaths} processes died while restoring it"))
            return
        try:
            with self._attempts.attempt(asked):
                made = self._restore([picture for _, picture in todo], asked[0].degradation)
        except UserError:
            raise
        except Exception as error:
            if len(todo) == 1:
                self._fail(todo[0][0], error)
                return
            for item, picture in todo:
                self.prepare([item], [picture])
            return
        for (item, _), restored in zip(todo, made, strict=True):
            with atomic_file(self._path(item)) as temporary:
                temporary.write_bytes(images.encode_png(restored))

    def _restore(self, pictures: list[Rgb], task: Degradation) -> list[Rgb]:
        made = self.restorer.restore(pictures, task)
        if len(made) != len(pictures):
            raise RuntimeError(f"{len(made)} images came back for {len(pictures)}")
        for before, after in zip(pictures, made, strict=True):
            if after.shape != before.shape:
                raise RuntimeError(f"an image of {after.shape} came back for {before.shape}")
        return made

    def _fail(self, item: Item, error: Exception) -> None:
        self._failures[item] = f"{type(error).__name__}: {error}"
        logger(__name__).warning("restorer failed", image=item.name, error=self._failures[item])

    def get(self, item: Item, degraded: Rgb) -> Rgb:
        """The restored image; raises `Failed` ("restorer-failed")."""
        try:
            kept = self._path(item).read_bytes()
        except FileNotFoundError:
            # Another evaluation by the same restorer was whole first, and removed what it kept.
            if item not in self._failures:
                self.prepare([item], [degraded])
            if item in self._failures:
                raise Failed("restorer-failed", self._failures[item]) from None
            kept = self._path(item).read_bytes()
        return images.decode(kept)

    def discard(self) -> None:
        """Remove the kept images."""
        shutil.rmtree(self.folder, ignore_errors=True)


class FolderSource:
    """Predictions of some other program: a folder with the relative names of the benchmark.

    A prediction is resized to its reference by Lanczos, as the authors' evaluator does. Where no
    file has the name to the letter, the name with .png after it is taken, as `mendline restore`
    writes, else one that differs only in its suffix or in case if it is the only one; two such
    files are a failure, not a guess.
    """

    def __init__(self, folder: Path, name: str, benchmark: Benchmark) -> None:
        if not folder.is_dir():
            raise UserError(f"There is no folder of predictions {folder}.", "Check the path.")
        self.folder = folder
        self._files = {
            file.relative_to(folder).as_posix(): file
            for file in sorted(folder.rglob("*"))
            if file.is_file() and not file.name.startswith(".")
        }
        self._loose: dict[str, list[Path]] = {}
        for key, file in self._files.items():
            self._loose.setdefault(_loose(key), []).append(file)
        self.identity = Identity(name, "predictions", weights=_digest(self._files))
        if not any(self._candidates(item) for item in benchmark.items):
            raise UserError(
                f"No file in {folder} has the name of a reference image.",
                f"Predictions are matched by relative name, such as {benchmark.items[0].name}.",
            )

    def _candidates(self, item: Item) -> list[Path]:
        exact = self._files.get(item.name) or self._files.get(f"{item.name}.png")
        return [exact] if exact else self._loose.get(_loose(item.name), [])

    def prepare(self, items: Sequence[Item], pictures: Sequence[Rgb]) -> None:
        """Nothing: the predictions are there or not."""

    def get(self, item: Item, degraded: Rgb) -> Rgb:
        """The prediction; raises `Failed` ("missing-prediction", "unreadable-prediction")."""
        found = self._candidates(item)
        if len(found) != 1:
            why = (
                "no file" if not found else f"{len(found)} files match: {found[0].name} and others"
            )
            raise Failed("missing-prediction", f"{why} for {item.name}")
        try:
            picture = images.decode(found[0].read_bytes())
        except ImageRefused as error:
            raise Failed("unreadable-prediction", error.what) from error
        return resize(picture, degraded.shape[1], degraded.shape[0])

    def discard(self) -> None:
        """Nothing: the predictions are not ours."""


def predictions_in(folder: Path, benchmark: Benchmark) -> "FolderSource":
    """The folder under its own name, for `evaluate_source`."""
    return FolderSource(folder, folder.resolve().name, benchmark)


def _loose(name: str) -> str:
    return name.rsplit(".", 1)[0].lower()


def _digest(files: dict[str, Path]) -> str:
    lines = [f"{name} {images.image_id(file.read_bytes())}" for name, file in files.items()]
    return images.image_id("\n".join(lines).encode())
