"""Stage teach: degraded images -> clean targets by a pool of teachers, data/targets."""

from collections import Counter
from collections.abc import Iterator, Sequence, Set
from pathlib import Path

from catalog import schemas
from catalog.degradations import Degradation
from catalog.files import atomic_folder
from catalog.settings.pairs import Pair, Teach
from catalog.stage import Counts
from catalog.tables import write_table
from curation.select import Selected, select_images
from curation.teach.attempts import MADE, Attempting, row_of
from curation.teach.order import Scores, ordered, read_scores
from curation.teach.rounds import Question, Rounds
from curation.teach.teachers import Teachers
from curation.units import Made, write_images


def teach(
    raw: Path,
    screening: Path,
    duplicates: Path,
    contamination: Path,
    scratch: Path,
    out: Path,
    settings: Teach,
    blocked: Set[str] = frozenset(),
    *,
    pair: Pair | None = None,
    checks: Path | None = None,
    teachers: Path | None = None,
) -> Counts:
    """Write shards of targets and targets.parquet (schemas.TARGETS) to `out`.

    Every attempt is a row; the next teacher is asked where the check of the stage pair (by the
    settings `pair`, kept in `checks`) refuses what the one before made. `teachers` is the folder of
    fetched models and measured scores.

    A killed run goes on at the attempt it was at. Results stay in `scratch`, so a changed selection
    asks no teacher twice for the same image; the folder may be deleted at any time.
    """
    chosen, dropped = select_images(screening, duplicates, contamination, "degraded", blocked)
    folder = teachers or scratch / "teachers"
    pool = Teachers(settings, scratch, folder)
    worker = Attempting(raw, pool)
    rules, kept = pair or Pair(), checks or scratch / "checks"
    rounds = Rounds(worker, settings, scratch / "units", raw, rules, kept)
    questions = _questions(chosen, pool, read_scores(folder))
    rounds.ask(questions)
    with atomic_folder(out) as new:
        rows = write_images(new, _results(questions, rounds, pool))
        write_table(new / "targets.parquet", rows, schemas.TARGETS)
    return _counts(rows, len(chosen), dropped)


def pool_of(settings: Teach, task: str, measured: Scores) -> list[str]:
    """Names of the teachers of a degradation, in the order in which they are asked."""
    names = settings.teachers.get(task, settings.teachers["default"])
    return ordered(names, Degradation(task), measured) if settings.order == "score" else names


def _questions(chosen: Sequence[Selected], pool: Teachers, measured: Scores) -> list[Question]:
    settings = pool.settings
    able: dict[str, list[str]] = {}
    questions = []
    for image in chosen:
        for task in image.degradations if settings.secondary else image.degradations[:1]:
            if task not in able:
                names = pool_of(settings, task, measured)
                able[task] = [name for name in names if pool.supports(name, task)]
            questions.append(Question(image.image_id, task, able[task]))
    return questions


def _results(questions: Sequence[Question], rounds: Rounds, pool: Teachers) -> Iterator[Made]:
    for question in questions:
        if question.names:
            yield from rounds.results(question)
            continue
        named = pool.settings.teachers
        asked = named.get(question.task, named["default"])
        names = ", ".join(str(pool.identity(name)) for name in asked)
        detail = f"asked: {names}"
        row = row_of(question.image_id, question.task, "no-teacher", detail=detail)
        yield Made((), (row,))


def _counts(rows: Sequence[dict[str, str]], chosen: int, dropped: Counter[str]) -> Counts:
    made = [row for row in rows if row["outcome"] == MADE]
    # An image with a target is not lost, however many teachers failed before.
    done = {(row["degraded_id"], row["degradation"]) for row in made}
    lost = {
        (row["degraded_id"], row["degradation"]): row["outcome"]
        for row in rows
        if (row["degraded_id"], row["degradation"]) not in done
    }
    counts = Counts(rows_in=chosen + dropped.total(), rows_out=len(made))
    counts.dropped = dropped + Counter(lost.values())
    without = Counter(row["degradation"] for row in rows if row["outcome"] == "no-teacher")
    counts.extra = {
        "targets": dict(sorted(Counter(row["degradation"] for row in made).items())),
        "no_teacher": dict(sorted(without.items())),
        "teachers": dict(sorted(Counter(row["teacher"] for row in made).items())),
        "asked_on": sum((row["detail"] or "").startswith("asked on") for row in made),
    }
    return counts
