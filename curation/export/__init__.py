"""An assembled dataset with its pixels in one folder that other tools read as it is."""

import hashlib
import json
import os
import shutil
from collections.abc import Sequence, Set
from dataclasses import dataclass
from pathlib import Path

from catalog import images
from catalog.alone import alone
from catalog.errors import UserError
from catalog.files import TEMPORARY_SUFFIX, atomic_file, write_json
from catalog.progress import track
from catalog.shards import ShardStore
from catalog.threads import cores
from curation.export.card import write_card
from curation.export.formats import LAYOUTS, Layout
from curation.export.samples import Part, plan, read

_VERSION = "export/3"
_STATE = ".export.json"


@dataclass(frozen=True)
class Exported:
    """What was written."""

    samples: dict[str, int]
    """By split."""
    shards: int
    kept: int
    """Shards that an interrupted run had written already."""
    taken_down: int


def export(
    dataset: Path,
    sources: Sequence[Path],
    out: Path,
    layout: str,
    splits: Sequence[str],
    per_shard: int = 256,
    blocked: Set[str] = frozenset(),
) -> Exported:
    """Write the assembled `dataset` with the bytes from the shards below `sources` to `out`.

    `out` appears whole or not at all. Until then shards lie in `.NAME.export` beside it, each
    whole, and a later call with the same dataset and options goes on after the last one. Samples
    with an id in `blocked` (taken down since) are left out. Raises `UserError`, also where `out`
    is there already or another process writes it.
    """
    _require_new(out)
    form = LAYOUTS[layout]
    parts, gone = plan(dataset, splits, per_shard, blocked)
    if not parts:
        raise UserError(
            f"The dataset in {dataset} has no sample in {', '.join(splits)}.",
            "Run `dvc repro assemble`, or name another split.",
        )
    place = out.with_name(f".{out.name}.export")
    with alone(place, f"Another export to {out} is running."):
        _require_new(out)  # that other one may have ended just now
        work = place / "content"
        _take_up(work, _key(dataset, form, parts))
        written = _write(parts, sources, work, form)
        counts = {s: sum(len(p.samples) for p in parts if p.split == s) for s in splits}
        write_card(work, dataset, form, counts)
        (work / _STATE).unlink()
        os.replace(work, out)
        shutil.rmtree(place)
    return Exported(counts, len(parts), len(parts) - written, gone)


def _require_new(out: Path) -> None:
    if out.exists():
        raise UserError(f"{out} exists already.", "Name another folder, or remove that one first.")


def _write(parts: Sequence[Part], sources: Sequence[Path], work: Path, form: Layout) -> int:
    """Write those of the parts that are not in the folder `work` yet; how many these were."""
    paths = [work / name for name in _names(form, parts)]
    missing = [pair for pair in zip(parts, paths, strict=True) if not pair[1].exists()]
    if missing:
        store = ShardStore(*(folder for folder in sources if folder.exists()))
        threads = cores()
        for part, path in track(missing, "export"):
            with atomic_file(path) as temporary:
                form.write(temporary, read(part, store, threads, work))
    return len(missing)


def _names(form: Layout, parts: Sequence[Part]) -> list[str]:
    count = {part.split: 0 for part in parts}
    for part in parts:
        count[part.split] += 1
    return [form.file(part.split, part.number, count[part.split]) for part in parts]


def _key(dataset: Path, form: Layout, parts: Sequence[Part]) -> str:
    digest = hashlib.sha256(f"{_VERSION}\ndecoder/{images.VERSION}\n{form.name}\n".encode())
    for name in ("pairs.parquet", "held-out.parquet"):
        digest.update(hashlib.sha256((dataset / name).read_bytes()).digest())
    for part in parts:
        digest.update(f"\n{part.split} {part.number}".encode())
        digest.update("".join(sample.key for sample in part.samples).encode())
    return digest.hexdigest()


def _take_up(work: Path, key: str) -> None:
    """Leave in the folder `work` what an interrupted run of the same key has written whole."""
    state = work / _STATE
    try:
        known = json.loads(state.read_text("utf-8"))["key"] == key
    except (OSError, ValueError, KeyError, TypeError):
        known = False
    if not known:
        shutil.rmtree(work, ignore_errors=True)
        write_json(state, {"key": key})
    for left_over in work.rglob(f".*{TEMPORARY_SUFFIX}"):
        left_over.unlink()
