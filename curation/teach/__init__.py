"""Stage teach: degraded images -> clean targets by a pool of teachers, data/targets."""

from collections import Counter
from collections.abc import Set
from pathlib import Path

from catalog import schemas
from catalog.files import atomic_folder
from catalog.settings.pairs import Teach
from catalog.stage import Counts
from catalog.tables import write_table
from curation.select import select_images
from curation.teach.teaching import Teaching
from curation.units import compute, write_images


def teach(
    raw: Path,
    screening: Path,
    duplicates: Path,
    contamination: Path,
    scratch: Path,
    out: Path,
    settings: Teach,
    blocked: Set[str] = frozenset(),
) -> Counts:
    """Write shards of targets and targets.parquet (schemas.TARGETS) to `out`.

    A killed run goes on at the image it was at. Results stay in `scratch`, so a changed selection
    asks no teacher twice for the same image; the folder may be deleted at any time.
    """
    chosen, dropped = select_images(screening, duplicates, contamination, "degraded", blocked)
    teaching = Teaching(raw, settings, scratch)
    # Only classical teachers may run side by side: others would load their weights once each.
    # Those behind an API only wait, so threads serve them.
    names = {name for pool in settings.teachers.values() for name in pool}
    processes = None if names <= {"classical", "identity"} else 1
    threads = settings.api.concurrency if any(n.startswith("openai:") for n in names) else 1
    results = compute(chosen, teaching, scratch / "units", "teach", processes, threads)
    with atomic_folder(out) as folder:
        rows = write_images(folder, results)
        write_table(folder / "targets.parquet", rows, schemas.TARGETS)
    made = [row for row in rows if row["outcome"] == "made"]
    counts = Counts(rows_in=len(chosen) + dropped.total(), rows_out=len(made))
    counts.dropped = dropped + Counter(row["outcome"] for row in rows if row["outcome"] != "made")
    by_task = Counter(row["degradation"] for row in made)
    without = Counter(row["degradation"] for row in rows if row["outcome"] == "no-teacher")
    counts.extra = {
        "targets": dict(sorted(by_task.items())),
        "no_teacher": dict(sorted(without.items())),
        "teachers": dict(sorted(Counter(row["teacher"] for row in made).items())),
    }
    return counts
