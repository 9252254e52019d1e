"""The benchmark: real degraded images by task, from wherever they are.

Folders (`blur/`, `low-light/`, ...), a Hugging Face dataset on disk, Parquet files, or the images
that `assemble` held out. An image is known by the SHA-256 of its bytes; the benchmark by the digest
of all its ids with their tasks.
"""

import hashlib
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from catalog import images, schemas
from catalog.degradations import Degradation
from catalog.errors import UserError
from catalog.images import SUFFIXES, Rgb
from catalog.layout import Layout
from catalog.shards import ShardStore
from catalog.tables import read_table

IMAGE_COLUMNS = ("image", "degraded", "lq", "input", "input_image")
TASK_COLUMNS = ("degradation", "task", "category", "type", "label")

_ALIASES = {
    "deblur": "blur",
    "deblurring": "blur",
    "motionblur": "blur",
    "jpeg": "compression",
    "compressionartifact": "compression",
    "artifact": "compression",
    "demoire": "moire",
    "moirepattern": "moire",
    "lowlight": "low-light",
    "dark": "low-light",
    "lowlightenhancement": "low-light",
    "denoise": "noise",
    "denoising": "noise",
    "lensflare": "flare",
    "deflare": "flare",
    "flareremoval": "flare",
    "dereflection": "reflection",
    "reflectionremoval": "reflection",
    "dehaze": "haze",
    "dehazing": "haze",
    "fog": "haze",
    "derain": "rain",
    "deraining": "rain",
}


@dataclass(frozen=True)
class Item:
    """One degraded image of the benchmark."""

    image_id: str
    name: str
    """Relative name, by which a folder of predictions is matched."""
    degradation: Degradation


@dataclass(frozen=True)
class Benchmark:
    """Items in a fixed order, and how to get the bytes of one."""

    source: str
    items: tuple[Item, ...]
    load: Callable[[Item], bytes]
    max_side: int | None = None
    reopen: Callable[[], "Benchmark"] | None = None
    """Opens it again; unlike `load` it can be sent to another process."""

    @property
    def digest(self) -> str:
        """SHA-256 over ids, tasks, size limit and decoder: equal digests, equal questions."""
        lines = [f"{item.image_id} {item.degradation}" for item in self.items]
        head = [f"max_side {self.max_side}", f"decoder {images.VERSION}"]
        return hashlib.sha256("\n".join([*head, *lines]).encode()).hexdigest()

    def image(self, item: Item) -> Rgb:
        """Decoded, scaled down to `max_side`; raises `ImageRefused`."""
        return limit(images.decode(self.load(item)), self.max_side)

    def tasks(self) -> list[Degradation]:
        """The degradations that occur, in the order of the recipe."""
        found = {item.degradation for item in self.items}
        return [task for task in Degradation if task in found]


def limit(image: Rgb, max_side: int | None) -> Rgb:
    """Scale down with Lanczos so that the longer side is at most `max_side`."""
    height, width = image.shape[:2]
    if max_side is None or max(height, width) <= max_side:
        return image
    scale = max_side / max(height, width)
    return resize(image, max(1, round(width * scale)), max(1, round(height * scale)))


def resize(image: Rgb, width: int, height: int) -> Rgb:
    """Lanczos, as the authors' evaluator resizes."""
    import numpy as np
    from PIL import Image

    if image.shape[:2] == (height, width):
        return image
    return np.asarray(Image.fromarray(image).resize((width, height), Image.Resampling.LANCZOS))


def task_of(name: str) -> Degradation | None:
    """The degradation that a folder or a label names: "low_light", "Deblurring", "moiré"."""
    plain = re.sub(r"[^a-z]", "", name.lower().replace("é", "e"))
    plain = _ALIASES.get(plain, plain)
    return next((task for task in Degradation if plain in (task, task.replace("-", ""))), None)


def open_benchmark(layout: Layout, max_side: int | None = None) -> Benchmark:
    """data/benchmark, or the held-out images where it is empty. Raises `UserError`."""
    if layout.benchmark.is_dir() and any(_content(layout.benchmark)):
        return read_benchmark(layout.benchmark, max_side)
    table = layout.dataset / "held-out.parquet"
    if not table.exists():
        raise UserError(
            f"There is nothing to evaluate on: {layout.benchmark} is empty and there is no "
            f"{table}.",
            "Put benchmark images there, one folder a degradation, or run `dvc repro assemble`.",
        )
    found = _held_out(table, layout.raw, max_side)
    return replace(found, reopen=partial(open_benchmark, layout, max_side))


def read_benchmark(path: Path, max_side: int | None = None) -> Benchmark:
    """Folders of images, a dataset saved by `datasets`, or Parquet files. Raises `UserError`."""
    if not path.exists():
        raise UserError(f"There is no benchmark at {path}.", "Check the path.")
    if (path / "dataset_info.json").exists() or (path / "dataset_dict.json").exists():
        found = _hugging_face(path, max_side)
    elif parquet := [path] if path.suffix == ".parquet" else sorted(path.rglob("*.parquet")):
        found = _parquet(path, parquet, max_side)
    else:
        found = _folders(path, max_side)
    return replace(found, reopen=partial(read_benchmark, path, max_side))


def read_task(path: Path, task: Degradation, max_side: int | None = None) -> Benchmark:
    """All images below a folder as one task; names are relative to it. Raises `UserError`."""
    if not path.is_dir():
        raise UserError(f"There is no folder {path}.", "Check the path.")
    found = [
        (Item(images.image_id(file.read_bytes()), file.relative_to(path).as_posix(), task), file)
        for file in _content(path)
        if file.suffix.lower() in SUFFIXES
    ]
    if not found:
        raise UserError(
            f"There is no image below {path}.", f"Images end in {', '.join(sorted(SUFFIXES))}."
        )
    # Two files of the same bytes stay two questions here: their predictions differ by name.
    places = {item.name: file for item, file in found}
    items = tuple(item for item, _ in found)
    return Benchmark(
        path.name,
        items,
        lambda item: places[item.name].read_bytes(),
        max_side,
        partial(read_task, path, task, max_side),
    )


def _content(path: Path) -> Iterator[Path]:
    """Files that are not the folder's own README or hidden."""
    for file in sorted(path.rglob("*")):
        hidden = any(part.startswith(".") for part in file.relative_to(path).parts)
        if file.is_file() and not hidden and file.name != "README.md":
            yield file


def _checked(
    source: str, found: list[tuple[Item, Any]], load: Callable[[Any], bytes], side: int | None
) -> Benchmark:
    if not found:
        raise UserError(
            f"The benchmark {source} holds no image of a known degradation.",
            f"Name its folders or its task column after {', '.join(Degradation)}.",
        )
    # The same picture twice in one task would count twice; twice in two tasks is two questions.
    unique: dict[tuple[str, str], tuple[Item, Any]] = {}
    for item, place in found:
        unique.setdefault((item.degradation, item.image_id), (item, place))
    unique = _named_apart(unique)
    order = {task: index for index, task in enumerate(Degradation)}
    chosen = sorted(unique.values(), key=lambda pair: (order[pair[0].degradation], pair[0].name))
    places = {(item.degradation, item.image_id): place for item, place in chosen}
    return Benchmark(
        source,
        tuple(item for item, _ in chosen),
        lambda item: load(places[(item.degradation, item.image_id)]),
        side,
    )


def _named_apart(
    found: dict[tuple[str, str], tuple[Item, Any]],
) -> dict[tuple[str, str], tuple[Item, Any]]:
    """Items whose names several of one task share, as of splits or folders, with their ids in them.

    Predictions are matched by name: one file would else stand for several images.
    """
    times = Counter((item.degradation, item.name) for item, _ in found.values())

    def apart(item: Item) -> Item:
        if times[item.degradation, item.name] == 1:
            return item
        name = Path(item.name)
        return replace(item, name=f"{name.with_suffix('')}-{item.image_id[:12]}{name.suffix}")

    return {key: (apart(item), place) for key, (item, place) in found.items()}


def _folders(path: Path, side: int | None) -> Benchmark:
    found: list[tuple[Item, Any]] = []
    unknown: set[str] = set()
    for file in _content(path):
        relative = file.relative_to(path)
        if file.suffix.lower() not in SUFFIXES:
            continue
        tasks = [task for part in relative.parts[:-1] if (task := task_of(part))]
        if not tasks:
            unknown.add(relative.parts[0] if len(relative.parts) > 1 else "(no folder)")
            continue
        item = Item(images.image_id(file.read_bytes()), relative.as_posix(), tasks[0])
        found.append((item, file))
    if unknown:
        raise UserError(
            f"{path} has images in {', '.join(sorted(unknown))}, which names no degradation.",
            f"Name the folders after {', '.join(Degradation)}, or move those images away.",
        )
    return _checked(path.name, found, lambda file: file.read_bytes(), side)


def _column(names: Iterable[str], wanted: tuple[str, ...], what: str, source: Path) -> str:
    names = list(names)
    for name in wanted:
        if name in names:
            return name
    raise UserError(
        f"{source} has no {what} column; it has {', '.join(names)}.",
        f"Name one of its columns {' or '.join(wanted)}.",
    )


def _label(value: Any, source: Path) -> Degradation:
    task = task_of(str(value))
    if task is None:
        raise UserError(
            f"{source} has the task {value!r}, which is no known degradation.",
            f"Known are {', '.join(Degradation)}.",
        )
    return task


def _records(
    source: Path, rows: Iterable[tuple[Any, Any]], side: int | None, fetch: Callable[[int], bytes]
) -> Benchmark:
    found: list[tuple[Item, Any]] = []
    for index, (image, label) in enumerate(rows):
        data = _bytes(image, source)
        name = (image.get("path") if isinstance(image, dict) else None) or f"{index:05d}.png"
        task = _label(label, source)
        found.append((Item(images.image_id(data), f"{task}/{Path(name).name}", task), index))
    return _checked(source.name, found, fetch, side)


def _bytes(image: Any, source: Path) -> bytes:
    if isinstance(image, bytes):
        return image
    if isinstance(image, dict) and image.get("bytes"):
        return bytes(image["bytes"])
    if isinstance(image, dict) and image.get("path"):
        path = Path(image["path"])
        path = path if path.is_absolute() else (source.parent / path)
        if path.exists():
            return path.read_bytes()
    raise UserError(
        f"{source} has a row without image bytes.", "Save the dataset with its images embedded."
    )


def _parquet(root: Path, files: list[Path], side: int | None) -> Benchmark:
    rows: list[tuple[Path, str, int, int]] = []
    pairs: list[tuple[Any, Any]] = []
    for file in files:
        schema = pq.read_schema(file)
        image_column = _column(schema.names, IMAGE_COLUMNS, "image", file)
        by_name = task_of(file.stem) or task_of(file.parent.name)
        names = [name for name in TASK_COLUMNS if name in schema.names]
        if not names and by_name is None:
            _column(schema.names, TASK_COLUMNS, "task", file)
        classes = _class_names(schema, names[0]) if names else None
        with pq.ParquetFile(file) as opened:
            for group in range(opened.num_row_groups):
                table = opened.read_row_group(group, columns=[image_column, *names[:1]])
                for row, record in enumerate(table.to_pylist()):
                    label = record[names[0]] if names else by_name
                    if classes is not None and isinstance(label, int):
                        label = _class(label, classes, file)
                    rows.append((file, image_column, group, row))
                    pairs.append((record[image_column], label))

    def fetch(index: int) -> bytes:
        file, name, group, row = rows[index]
        with pq.ParquetFile(file) as opened:
            column = opened.read_row_group(group, columns=[name]).column(0)
        return _bytes(column[row].as_py(), file)

    return _records(root, pairs, side, fetch)


def _class(label: int, names: Sequence[str], source: Path) -> str:
    """The name of a class. `datasets` writes -1 for none."""
    if 0 <= label < len(names):
        return names[label]
    raise UserError(
        f"{source} has a row of the class {label}, which is none of its {len(names)} classes.",
        "Give every image its degradation, or leave those without one out.",
    )


def _class_names(schema: Any, column: str) -> list[str] | None:
    """Names of a ClassLabel column, from the metadata that `datasets` writes."""
    import json

    info = (schema.metadata or {}).get(b"huggingface")
    feature = json.loads(info)["info"]["features"].get(column, {}) if info else {}
    names = feature.get("names")
    return list(names) if names else None


def _hugging_face(path: Path, side: int | None) -> Benchmark:
    from datasets import ClassLabel, DatasetDict, Image, concatenate_datasets, load_from_disk

    loaded = load_from_disk(str(path))
    data = (
        concatenate_datasets(list(loaded.values())) if isinstance(loaded, DatasetDict) else loaded
    )
    image_column = _column(data.column_names, IMAGE_COLUMNS, "image", path)
    task_column = _column(data.column_names, TASK_COLUMNS, "task", path)
    data = data.cast_column(image_column, Image(decode=False))
    feature = data.features[task_column]
    labels = data[task_column]
    if isinstance(feature, ClassLabel):
        labels = [_class(label, feature.names, path) for label in labels]
    pairs = ((record[image_column], label) for record, label in zip(data, labels, strict=True))
    return _records(path, pairs, side, lambda index: _bytes(data[index][image_column], path))


def _held_out(table: Path, raw: Path, side: int | None) -> Benchmark:
    store = ShardStore(raw)
    found: list[tuple[Item, Any]] = []
    for row in read_table(table, schemas.HELD_OUT).to_pylist():
        key = row["image_id"]
        if key not in store:
            raise UserError(
                f"The held-out image {key[:12]} is in no shard below {raw}.",
                "Run `dvc checkout data/raw` to get the snapshots back.",
            )
        task = Degradation(row["degradation"])
        found.append((Item(key, f"{task}/{key}", task), key))
    return _checked("held-out", found, lambda key: store.get(key).data, side)
