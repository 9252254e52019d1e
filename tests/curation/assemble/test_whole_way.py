"""Teach, pair, synthesize and assemble over one small work tree."""

import hashlib
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import yaml

from catalog import schemas
from catalog.degradations import Degradation
from catalog.images import image_id
from catalog.layout import Layout
from catalog.settings import load_params
from catalog.settings.pairs import Assemble, Pair, Synthesize, Teach
from catalog.shards import ShardStore
from catalog.stage import Counts
from catalog.tables import read_table, write_table
from curation.assemble import Inputs, assemble
from curation.pair import pair
from curation.synthesize import synthesize
from curation.synthesize.held_out import HeldOut
from curation.teach import teach
from networks.degraders import load_degrader
from tests.curation.conftest import Tree

# Small pictures hide mild blur, and all nine degradations shall be kept.
ROOT = Path(__file__).parents[3]
SYNTHESIZE = Synthesize(max_side=160, layers=4, severity=(1.0, 2.5))


def inputs(layout: Layout) -> Inputs:
    return Inputs(
        layout.raw,
        layout.screening,
        layout.duplicates,
        layout.contamination,
        layout.real_pairs,
        layout.synthetic,
        layout.reviews,
    )


def run_all(layout: Layout, settings: Assemble | None = None) -> dict[str, Counts]:
    tables = (layout.raw, layout.screening, layout.duplicates, layout.contamination)
    return {
        "teach": teach(*tables, layout.scratch("teach"), layout.targets, Teach()),
        "pair": pair(
            layout.raw,
            layout.targets,
            layout.duplicates,
            layout.scratch("pair"),
            layout.real_pairs,
            Pair(),
        ),
        "synthesize": synthesize(
            *tables,
            layout.scratch("synthesize"),
            layout.synthetic,
            SYNTHESIZE,
            Pair(),
            HeldOut.of(layout, load_params(ROOT / "params.yaml")),
        ),
        "assemble": assemble(inputs(layout), layout.dataset, settings or Assemble(), "a: 1"),
    }


def fingerprint(folder: Path) -> dict[str, str]:
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted((folder / "data").rglob("*"))
        if path.is_file()
    }


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> tuple[Layout, dict[str, Counts], Tree]:
    from tests.curation import conftest

    tree = conftest.tree.__wrapped__(conftest.Tree(Layout(tmp_path_factory.mktemp("tree"))))
    return tree.layout, run_all(tree.layout), tree


Done = tuple[Layout, dict[str, Counts], Tree]


def test_targets_are_of_exactly_the_image_s_size_and_reported_by_outcome(done: Done) -> None:
    layout, counts, _ = done
    rows = read_table(layout.targets / "targets.parquet", schemas.TARGETS).to_pylist()
    store = ShardStore(layout.raw, layout.targets)
    assert len(rows) == 8
    for row in rows:
        if row["degradation"] == "flare":
            assert row["outcome"] == "no-teacher"
            assert row["clean_id"] is None
            continue
        assert row["outcome"] == "made"
        before, after = store.get(row["degraded_id"]), store.get(row["clean_id"])
        assert before.decode().shape == after.decode().shape
        assert image_id(after.data) == row["clean_id"]
        assert after.provenance["license"] == "CC0-1.0"
    assert counts["teach"].dropped == {"no-teacher": 1, "copy": 1, "screened-out": 1}
    assert counts["teach"].extra["no_teacher"] == {"flare": 1}


def test_a_synthetic_pair_can_be_made_again_from_its_row(done: Done) -> None:
    layout, counts, tree = done
    rows = read_table(layout.synthetic / "pairs.parquet", schemas.PAIRS).to_pylist()
    assert len(rows) == 6 * len(Degradation)
    assert counts["synthesize"].dropped["benchmark"] == 1
    store = ShardStore(layout.synthetic)
    photos = {row["image_id"] for row in tree.screened if row["verdict"] == "clean"}
    for row in rows:
        assert row["photo_id"] in photos
        if row["degradation"] == "reflection":
            continue  # needs the layers too
        rng = np.random.default_rng(row["seed"])
        severity = float(rng.uniform(*SYNTHESIZE.severity))
        clean = store.get(row["clean_id"]).decode()
        again = load_degrader(row["degradation"]).degrade(clean, severity, rng)
        assert np.array_equal(again, store.get(row["degraded_id"]).decode())


def test_no_group_is_on_two_sides_and_every_image_is_stored(done: Done) -> None:
    layout, counts, tree = done
    rows = read_table(layout.dataset / "pairs.parquet", schemas.DATASET).to_pylist()
    held = read_table(layout.dataset / "held-out.parquet", schemas.HELD_OUT).to_pylist()
    store = ShardStore(layout.raw, layout.targets, layout.synthetic)
    sides: dict[str, set[str]] = {}
    for row in rows:
        assert row["degraded_id"] in store
        assert row["clean_id"] in store
        sides.setdefault(row["group"], set()).add(row["split"])
    for row in held:
        sides.setdefault(row["group"], set()).add("held-out")
    assert all(len(found) == 1 for found in sides.values())
    match = tree.matches[0]["image_id"]
    assert match not in {row["photo_id"] for row in rows}
    assert {row["degradation"] for row in rows} == {task.value for task in Degradation}
    assert "flare" in {row["degradation"] for row in held}
    assert {"real", "synthetic"} == {row["origin"] for row in rows}
    assert "flare" in counts["assemble"].extra["without_real_pairs"]
    total = counts["assemble"]
    assert total.rows_in == total.rows_out + total.dropped.total()


def test_the_scene_that_a_reflection_mirrors_is_known_trained_on_and_taken_down(
    done: Done, tmp_path: Path
) -> None:
    layout, _, _ = done
    made = read_table(layout.synthetic / "pairs.parquet", schemas.PAIRS).to_pylist()
    mirroring = [row for row in made if row["layer_id"]]
    assert {row["degradation"] for row in mirroring} == {"reflection"}
    (layer,) = {row["layer_id"] for row in mirroring}  # a quarter of six photos
    assert layer in {row["photo_id"] for row in made}
    assert layer not in {row["photo_id"] for row in mirroring}

    half = Assemble(validation_share=0.9, held_out_share=0)
    assemble(inputs(layout), tmp_path / "out", half, "")
    rows = read_table(tmp_path / "out/pairs.parquet", schemas.DATASET).to_pylist()
    assert {row["split"] for row in rows if row["photo_id"] == layer} == {"train"}
    assert "validation" in {row["split"] for row in rows if row["layer_id"] == layer}

    counts = assemble(inputs(layout), tmp_path / "out", half, "", frozenset({layer}))
    rows = read_table(tmp_path / "out/pairs.parquet", schemas.DATASET).to_pylist()
    assert not [row for row in rows if layer in (row["photo_id"], row["layer_id"])]
    theirs = [row for row in made if layer in (row["photo_id"], row["layer_id"])]
    assert counts.dropped["taken-down"] == len(theirs) == len(Degradation) + len(mirroring)


def test_an_interrupted_way_ends_in_the_same_bytes(done: Done, tmp_path: Path) -> None:
    layout, _, _ = done
    shutil.copytree(layout.raw, tmp_path / "data/raw")
    for table in ("screening", "duplicates", "contamination"):
        shutil.copy(layout.root / f"data/{table}.parquet", tmp_path / "data")
    run_all(Layout(tmp_path))
    first = fingerprint(tmp_path)
    scratch = sorted((tmp_path / ".mendline").rglob("*.parquet"))
    for lost in scratch[::3]:  # as if it had been killed before these
        lost.unlink()
    run_all(Layout(tmp_path))
    assert fingerprint(tmp_path) == first == fingerprint(layout.root)


def test_reviews_and_take_downs_are_obeyed(done: Done, tmp_path: Path) -> None:
    layout, _, _ = done
    rows = read_table(layout.real_pairs, schemas.PAIRS).to_pylist()
    kept = [row for row in rows if row["verdict"] == "keep"]
    lost = [row for row in rows if row["verdict"] == "drop"]
    free = Assemble(held_out_share=0)
    reviews = tmp_path / "reviews.parquet"
    decisions = [{"pair_id": kept[0]["pair_id"], "decision": "reject"}]
    decisions += [{"pair_id": kept[1]["pair_id"], "decision": "unsure"}]
    decisions += [{"pair_id": row["pair_id"], "decision": "accept"} for row in lost]
    write_table(reviews, decisions, schemas.REVIEWS)
    given = replace(inputs(layout), reviews=reviews)
    blocked = frozenset({kept[2]["degraded_id"]})
    counts = assemble(given, tmp_path / "out", free, "", blocked)
    chosen = read_table(tmp_path / "out/pairs.parquet", schemas.DATASET).to_pylist()
    real = {row["pair_id"] for row in chosen if row["origin"] == "real"}
    assert real == {row["pair_id"] for row in rows} - {row["pair_id"] for row in kept[:3]}
    assert counts.dropped["rejected"] == counts.dropped["unsure"] == 1
    assert counts.dropped["taken-down"] == 1
    only = free.model_copy(update={"unreviewed": "drop", "unsure": "keep"})
    assemble(given, tmp_path / "out", only, "")
    chosen = read_table(tmp_path / "out/pairs.parquet", schemas.DATASET).to_pylist()
    real = {row["pair_id"] for row in chosen if row["origin"] == "real"}
    assert real == {kept[1]["pair_id"]} | {row["pair_id"] for row in lost}


def test_caps_hold(done: Done, tmp_path: Path) -> None:
    layout, _, _ = done
    settings = Assemble(max_per_degradation={"default": 3, "blur": 1}, max_per_group=5)
    counts = assemble(inputs(layout), tmp_path / "out", settings, "")
    rows = read_table(tmp_path / "out/pairs.parquet", schemas.DATASET).to_pylist()
    by_task: dict[tuple[str, str], int] = {}
    by_group: dict[str, int] = {}
    for row in rows:
        task = (row["degradation"], row["origin"])
        by_task[task] = by_task.get(task, 0) + 1
        by_group[row["group"]] = by_group.get(row["group"], 0) + 1
    assert by_task["blur", "synthetic"] == 1
    assert max(by_task.values()) <= 3
    assert max(by_group.values()) <= 5
    assert counts.dropped["cap-degradation"] > 0


def test_the_card_and_the_croissant_file_are_valid(done: Done) -> None:
    import mlcroissant
    from datasets import load_dataset

    layout, _, _ = done
    text = (layout.dataset / "README.md").read_text()
    front = yaml.safe_load(text.split("---")[1])
    assert [one["config_name"] for one in front["configs"]] == ["pairs", "held-out"]
    assert "CC-BY-4.0" in text
    assert "| flare | 0 | 0 |" in text
    dataset = mlcroissant.Dataset(layout.dataset / "croissant.json")
    assert not dataset.metadata.ctx.issues.errors
    rows = read_table(layout.dataset / "pairs.parquet", schemas.DATASET).to_pylist()
    found = [record["pairs/pair_id"].decode() for record in dataset.records("pairs")]
    assert found == [row["pair_id"] for row in rows]
    cache = str(layout.root / "cache")
    opened = load_dataset(str(layout.dataset), "pairs", cache_dir=cache)
    assert {split: opened[split]["pair_id"][:] for split in opened} == {
        split: [row["pair_id"] for row in rows if row["split"] == split]
        for split in ("train", "validation")
    }, "validation pairs are in the split that is named train"
    assert list(load_dataset(str(layout.dataset), "held-out", cache_dir=cache)) == ["test"]


def test_no_real_image_at_all_gives_a_synthetic_dataset(empty_tree: Tree) -> None:
    from tests.curation.conftest import picture

    for number in range(3):
        empty_tree.add(picture(number), "clean")
    empty_tree.write()
    counts = run_all(empty_tree.layout)
    assert counts["teach"].rows_out == counts["pair"].rows_in == 0
    rows = read_table(empty_tree.layout.dataset / "pairs.parquet", schemas.DATASET).to_pylist()
    assert {row["origin"] for row in rows} == {"synthetic"}
