"""Stage synthesize: clean photos x nine degradations, and clips of motion -> data/synthetic."""

import hashlib
from collections import Counter
from collections.abc import Set
from functools import partial
from itertools import chain
from pathlib import Path

from catalog import schemas
from catalog.degradations import Degradation
from catalog.files import atomic_folder
from catalog.settings.pairs import Pair, Synthesize
from catalog.stage import Counts
from catalog.tables import write_table
from curation.pair.checking import is_judged
from curation.select import Selected, select_images
from curation.synthesize.held_out import HeldOut
from curation.synthesize.maker import Maker
from curation.synthesize.windows import WindowMaker, clips_of
from curation.units import compute, write_images


def synthesize(
    raw: Path,
    screening: Path,
    duplicates: Path,
    contamination: Path,
    scratch: Path,
    out: Path,
    settings: Synthesize,
    pair: Pair,
    held_out: HeldOut,
    blocked: Set[str] = frozenset(),
) -> Counts:
    """Write shards of clean and degraded images and pairs.parquet (schemas.PAIRS) to `out`.

    Photos that match the benchmark are in `contamination`; clips are compared with `held_out` here.
    """
    photos, dropped = select_images(screening, duplicates, contamination, "clean", blocked)
    counts = Counts(rows_in=len(photos) + dropped.total(), dropped=dropped)
    used = photos[: settings.max_photos]
    dropped["not-needed"] += len(photos) - len(used)
    clips = clips_of(settings)  # a folder that is not there is said before hours of work
    windows = WindowMaker(settings, pair)
    judging = windows.instruments.processes if used or clips else None
    # Several processes would each hold a context of the same GPU.
    processes = judging if settings.device in (None, "cpu") else 1
    results = [
        compute(used, maker, scratch, "synthesize", processes, is_final=is_judged)
        for maker in _makers(raw, settings, pair, _layers(used, settings))
    ]
    average = partial(compute, clips, windows, scratch, "average clips", judging)
    # Twice, since frames are many: the second time they are read from disk.
    theirs = held_out.among(average(is_final=is_judged))
    with atomic_folder(out) as folder:
        rows = write_images(folder, chain(*results, average()))
        rows = [row | {"scores": sorted(row["scores"].items())} for row in rows]
        for row in rows:
            if row["clean_id"] in theirs:
                row |= {"verdict": "drop", "reason": "benchmark"}
        rows.sort(key=lambda row: row["pair_id"])
        write_table(folder / "pairs.parquet", rows, schemas.PAIRS)
    kept = [row for row in rows if row["verdict"] == "keep"]
    made = {row["photo_id"] for row in rows}
    dropped["too-small"] += sum(photo.image_id not in made for photo in used)
    dropped += Counter(row["reason"] for row in rows if row["verdict"] == "drop")
    counts.dropped = +dropped
    counts.rows_out = len(kept)
    by_task = Counter(row["degradation"] for row in kept)
    counts.extra = {
        "photos": len(used),
        "clips": len(clips),
        "pairs": {name: by_task[name] for name in settings.degradations},
    }
    return counts


def _makers(raw: Path, settings: Synthesize, pair: Pair, layers: list[str]) -> list[Maker]:
    """One of reflections, which new photos change for all, and one of what they leave as it is."""
    mirrored = [task for task in settings.degradations if task is Degradation.REFLECTION]
    plain = [task for task in settings.degradations if task is not Degradation.REFLECTION]
    return [
        Maker(raw, settings.model_copy(update={"degradations": tasks}), pair, shown)
        for tasks, shown in ((plain, []), (mirrored, layers))
        if tasks
    ]


def _layers(photos: list[Selected], settings: Synthesize) -> list[str]:
    """Ids of the photos that reflections show: a choice by hash, in the order of ids.

    At most a quarter of the photos, since `assemble` keeps these out of validation.
    """
    order = sorted(photos, key=lambda photo: hashlib.sha256(photo.image_id.encode()).digest())
    return sorted(photo.image_id for photo in order[: min(settings.layers, len(photos) // 4)])
