"""Who is asked, in which order, and what happens when a target is not sound."""

import json
import threading
import weakref
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from click.testing import CliRunner

from catalog import schemas
from catalog.degradations import Degradation
from catalog.errors import UserError
from catalog.images import Rgb
from catalog.settings.pairs import Pair, Teach
from catalog.stage import Counts
from catalog.tables import read_table
from curation.pair import measures, pair
from curation.teach import pool_of, teach
from curation.teach.order import PUBLISHED, ordered
from curation.teach.teachers import Teachers, fetched_folder
from flows.cli import mendline
from networks.interfaces import Judgement
from networks.judges import answers, load_judge
from networks.judges.proxy.judge import ProxyJudge
from networks.restorers import load_restorer
from networks.student.files import save_student
from tests.curation.conftest import Tree
from tests.networks.student.test_model import build

QWEN, KONTEXT = "diffusers:Qwen/Qwen-Image-Edit-2511", "diffusers:bfl/FLUX.1-Kontext-dev?steps=28"
LONGCAT = "diffusers:meituan/LongCat-Image-Edit"


def test_the_published_scores_order_the_pool_until_there_are_measured_ones() -> None:
    names = ["classical", KONTEXT, LONGCAT, QWEN]
    assert ordered(names, Degradation.RAIN, {}) == [QWEN, LONGCAT, KONTEXT, "classical"]
    assert ordered(names, Degradation.COMPRESSION, {})[0] == KONTEXT
    measured = {"classical": {"rain": 0.01}, QWEN: {"rain": -0.02}}
    assert ordered(names, Degradation.RAIN, measured) == ["classical", LONGCAT, KONTEXT, QWEN]
    assert all(set(scores) == set(Degradation) for scores in PUBLISHED.values())
    listed = Teach(teachers={"default": names}, order="listed")
    assert pool_of(listed, "rain", measured) == names


def run(tree: Tree, pool: list[str], rules: Pair | None = None, **settings: Any) -> Counts:
    layout = tree.layout
    tables = (layout.raw, layout.screening, layout.duplicates, layout.contamination)
    chosen = Teach(teachers={"default": pool}, order="listed", **settings)
    places = {"checks": layout.scratch("pair"), "teachers": layout.teachers}
    return teach(*tables, layout.scratch("teach"), layout.targets, chosen, pair=rules, **places)


def targets(tree: Tree) -> list[dict[str, Any]]:
    return read_table(tree.layout.targets / "targets.parquet", schemas.TARGETS).to_pylist()


@pytest.fixture
def student(tmp_path: Path) -> str:
    """A random network: what it makes is unlike its input."""
    model = build(tile=64, overlap=16, sampling_steps=1)
    (tmp_path / "student").mkdir()
    save_student(model, tmp_path / "student")
    return str(tmp_path / "student")


def test_the_next_teacher_is_asked_where_the_pair_stage_would_refuse(
    tree: Tree, student: str
) -> None:
    # Everything passes but haze, whose target may not differ from its input at all.
    loose = {name: {"default": 99.0} for name in ("max_warp", "max_changed")}
    harsh = Pair(
        max_distance={"default": 1.0, "haze": 0.0},
        min_difference={"default": -5.0},
        min_clean_severity=1,
        min_distance=0,
        min_correlation=-1,
        max_shift=999,
        **loose,
    )
    counts = run(tree, ["classical", student], harsh)
    rows = targets(tree)
    by_task = {
        task: [row for row in rows if row["degradation"] == task]
        for task in ("noise", "haze", "flare")
    }
    # Noise is settled by the first; haze is refused and goes on; classical has nothing for flare.
    assert [row["teacher"][:9] for row in by_task["noise"]] == ["classical"] * 3
    assert [(row["teacher"][:9], row["detail"]) for row in by_task["haze"][:1]] == [
        ("classical", "asked on: inconsistent")
    ]
    assert len(by_task["haze"]) == 4 and len(by_task["flare"]) == 1
    assert counts.extra["asked_on"] == 2

    # The pair stage finds its measurements done, and sees every attempt.
    layout = tree.layout
    measured = {path: path.stat().st_mtime_ns for path in layout.scratch("pair").rglob("*.parquet")}
    assert len(measured) == 7, "each target of the first teacher was checked"
    places = (layout.raw, layout.targets, layout.duplicates, layout.scratch("pair"))
    pairs = pair(*places, layout.real_pairs, harsh)
    assert all(path.stat().st_mtime_ns == time for path, time in measured.items())
    assert pairs.rows_in == len(rows) and pairs.dropped["inconsistent"] == 4


class Gone:
    """The embedded judge with its server away."""

    identity = ProxyJudge.identity

    def judge(self, images: Sequence[Rgb], _: Degradation) -> list[Judgement]:
        return [Judgement(None, 0.0, "no server")] * len(images)


def test_pairs_that_were_not_judged_are_judged_by_the_next_run(
    tree: Tree, monkeypatch: pytest.MonkeyPatch
) -> None:
    layout, settings = tree.layout, Pair(min_distance=0)
    run(tree, ["classical"])
    places = (layout.raw, layout.targets, layout.duplicates, layout.scratch("pair"))
    with monkeypatch.context() as away:
        away.setattr(measures, "load_judge", lambda _: Gone())
        assert pair(*places, layout.real_pairs, settings).dropped["not-judged"] == 7
        away.setattr(answers, "SILENT", 14)
        with pytest.raises(UserError, match="14 questions in a row without an answer: no server"):
            pair(*places, layout.real_pairs, settings)
    assert pair(*places, layout.real_pairs, settings).dropped["not-judged"] == 0


def test_other_limits_ask_no_teacher_twice(tree: Tree, student: str) -> None:
    run(tree, ["classical", student], candidates=2, until_sound=False)
    before = {p: p.stat().st_mtime_ns for p in tree.layout.scratch("teach").rglob("*.parquet")}
    assert len(before) == 7 + 8
    rows = targets(tree)
    assert len(rows) == 7 + 8
    run(tree, ["classical", student], Pair(min_difference={"default": 4.0}), batch=3)
    after = {p: p.stat().st_mtime_ns for p in tree.layout.scratch("teach").rglob("*.parquet")}
    assert after == before
    assert {row["clean_id"] for row in targets(tree)} == {row["clean_id"] for row in rows}


def test_batches_and_devices_give_the_same_targets(tree: Tree, student: str) -> None:
    import shutil

    run(tree, [student])
    single = targets(tree)
    shutil.rmtree(tree.layout.scratch("teach"))
    run(tree, [student], batch=3, devices=["cpu", "cpu:0"])
    assert targets(tree) == single


def test_each_thread_keeps_to_a_device_and_its_own_copy(tmp_path: Path, student: str) -> None:
    teachers = Teachers(Teach(devices=["cpu", "cpu:0"]), tmp_path, tmp_path)
    found: dict[int, Any] = {0: teachers.get(student)}
    thread = threading.Thread(target=lambda: found.update({1: teachers.get(student)}))
    thread.start()
    thread.join()
    assert [str(found[i].device) for i in (0, 1)] == ["cpu", "cpu:0"]
    assert found[0] is teachers.get(student) and found[0] is not found[1]


@pytest.mark.parametrize("batch", [1, 4])
def test_a_device_holds_one_network_at_a_time_and_none_while_targets_are_checked(
    tree: Tree, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, batch: int
) -> None:
    names = []
    for number in range(2):
        folder = tmp_path / f"student-{number}"
        folder.mkdir()
        model = build(tile=64, overlap=16, sampling_steps=1)
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.add_(0.001 * number)
        save_student(model, folder)
        names.append(str(folder))
    loaded: list[tuple[str, weakref.ref[Any]]] = []

    def load(name: str, device: str | None) -> Any:
        assert not [held for held, network in loaded if network() is not None]
        found = load_restorer(name, device)
        loaded.append((name, weakref.ref(found)))
        return found

    def check(name: str) -> Any:
        assert not [held for held, network in loaded if network() is not None]
        return load_judge(name)

    monkeypatch.setattr("curation.teach.teachers.load_restorer", load)
    monkeypatch.setattr(measures, "load_judge", check)
    never = Pair(min_difference={"default": 4.0})
    run(tree, names, never, batch=batch)
    assert len(targets(tree)) == 16
    # Once to know what it does, once to be asked.
    assert sorted(name for name, _ in loaded) == sorted(2 * names)


def test_a_teacher_of_the_registry_is_a_fetched_folder(tree: Tree, student: str) -> None:
    import shutil

    with pytest.raises(UserError, match="has not been fetched"):
        run(tree, ["models:/mendline@champion"])
    shutil.copytree(student, fetched_folder(tree.layout.teachers, "models:/mendline@champion"))
    counts = run(tree, ["models:/mendline@champion"])
    assert sum(counts.extra["targets"].values()) == 8


def summary(folder: Path, haze: float, judge: str = "j") -> Path:
    folder.mkdir()
    who = {"judge_digest": judge, "consistency_digest": "c", "benchmark_digest": "b"}
    tasks = {"haze": {"signed": {"estimate": haze}}, "overall": {"signed": {"estimate": 0.5}}}
    (folder / "summary.json").write_text(json.dumps({"provenance": who, "tasks": tasks}))
    return folder


def test_measured_scores_are_entered_and_only_like_with_like(tree: Tree, tmp_path: Path) -> None:
    root = tree.layout.root
    tree.layout.params.write_text(
        Path("profiles/embedded.yaml")
        .read_text()
        .replace("{default: [classical]}", "{default: [classical, real-esrgan]}")
    )

    def call(*arguments: str) -> Any:
        return CliRunner().invoke(mendline, ["teachers", "--root", str(root), *arguments])

    assert "haze         classical, real-esrgan" in call().output
    one, two = summary(tmp_path / "one", 0.1), summary(tmp_path / "two", 0.3)
    done = call("--measured", f"classical={one}", "--measured", f"real-esrgan={two}")
    assert done.exit_code == 0, done.output
    assert "haze         real-esrgan (0.300), classical (0.100)" in done.output
    other = summary(tmp_path / "other", 0.9, judge="another")
    refused = call("--measured", f"classical={other}")
    assert "cannot be compared" in str(refused.exception.what)  # type: ignore[union-attr]
    assert "real-esrgan (0.300), classical (0.100)" in call().output
    entered = json.loads((tree.layout.teachers / "scores.json").read_text())
    assert entered["scores"]["classical"] == {"haze": 0.1}
