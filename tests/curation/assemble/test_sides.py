"""No photo is on two sides, by whatever version or reflection of it: over made-up tables."""

import tracemalloc
from collections.abc import Sequence, Set
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from catalog import images, schemas
from catalog.blocked import blocked_ids
from catalog.blocklist import add_to_blocklist
from catalog.errors import UserError
from catalog.layout import Layout
from catalog.settings.pairs import Assemble
from catalog.shards import ShardWriter
from catalog.stage import Counts
from catalog.tables import read_table, write_table
from curation.assemble import Inputs, assemble
from curation.select import select_images


@dataclass
class Tables:
    """What assemble reads, without any image."""

    layout: Layout
    pairs: list[dict[str, Any]] = field(default_factory=list)
    screened: dict[str, str] = field(default_factory=dict)
    groups: dict[str, str] = field(default_factory=dict)
    matches: Sequence[str] = ()

    def photo(self, name: str, verdict: str, group: str | None = None) -> str:
        self.screened[name] = verdict
        self.groups[name] = group or name
        return name

    def pair(self, photo: str, origin: str, task: str, layer: str | None = None) -> None:
        self.pairs.append(
            {
                "pair_id": f"{photo} {task} {layer}",
                "degraded_id": photo if origin == "real" else f"{photo} {task}",
                "clean_id": f"{photo} clean",
                "degradation": task,
                "origin": origin,
                "group": self.groups[photo],
                "photo_id": photo,
                "layer_id": layer,
                "verdict": "keep",
            }
        )

    def assemble(
        self, settings: Assemble, blocked: Set[str] = frozenset()
    ) -> tuple[list[dict[str, Any]], set[str], Counts]:
        """Rows of the dataset, the groups held out, and the counts."""
        at = self.layout
        for origin, place in (
            ("real", at.real_pairs),
            ("synthetic", at.synthetic / "pairs.parquet"),
        ):
            mine = [row for row in self.pairs if row["origin"] == origin]
            write_table(place, mine, schemas.PAIRS)
        screened = [
            {
                "image_id": name,
                "degradation": "haze" if verdict == "degraded" else None,
                "verdict": verdict,
            }
            for name, verdict in self.screened.items()
        ]
        write_table(at.screening, screened, schemas.SCREENING)
        groups = [
            {
                "image_id": name,
                "group": group,
                "relation": "keeper" if name == group else "variant",
            }
            for name, group in self.groups.items()
        ]
        write_table(at.duplicates, groups, schemas.DUPLICATES)
        matches = [{"image_id": name, "benchmark_id": "b"} for name in self.matches]
        write_table(at.contamination, matches, schemas.CONTAMINATION)
        at.raw.mkdir(parents=True, exist_ok=True)
        inputs = Inputs(
            at.raw,
            at.screening,
            at.duplicates,
            at.contamination,
            at.real_pairs,
            at.synthetic,
            at.reviews,
        )
        counts = assemble(inputs, at.dataset, settings, "", blocked)
        rows = read_table(at.dataset / "pairs.parquet", schemas.DATASET).to_pylist()
        held = read_table(at.dataset / "held-out.parquet", schemas.HELD_OUT).to_pylist()
        return rows, {row["group"] for row in held}, counts


@pytest.fixture
def tables(tmp_path: Path) -> Tables:
    """Eight clean photos with a synthetic pair each."""
    made = Tables(Layout(tmp_path))
    for number in range(8):
        made.pair(made.photo(f"photo-{number}", "clean"), "synthetic", "noise")
    return made


def test_a_photo_held_out_is_not_shown_in_the_glass(tables: Tables) -> None:
    tables.photo("layer", "clean", group="seen")
    tables.photo("seen", "degraded")  # no teacher made a target: held out
    for number in range(8):
        tables.pair(f"photo-{number}", "synthetic", "reflection", "layer")
    rows, held, counts = tables.assemble(Assemble())
    assert held == {"seen"}
    assert not [row for row in rows if row["layer_id"]]
    assert counts.dropped == {"held-out": 8} and counts.rows_out == 8


def test_a_photo_in_the_glass_is_not_asked_for_in_validation(tables: Tables) -> None:
    """Also where another version of it has the pair, and it has none."""
    tables.photo("layer", "clean", group="version")
    tables.pair(tables.photo("version", "degraded"), "real", "haze")
    for number in range(4):
        tables.pair(tables.photo(f"other-{number}", "degraded"), "real", "haze")
    for number in range(8):
        tables.pair(f"photo-{number}", "synthetic", "reflection", "layer")
    rows, _, _ = tables.assemble(Assemble(held_out_share=0, validation_share=0.9))
    sides = {row["photo_id"]: row["split"] for row in rows}
    assert sides["version"] == "train"
    assert {sides[f"other-{number}"] for number in range(4)} == {"validation"}
    assert {sides[f"photo-{number}"] for number in range(8)} == {"train", "validation"}


def test_another_version_of_a_benchmark_s_photo_is_the_benchmark_s(tables: Tables) -> None:
    tables.photo("crop", "degraded", group="whole")
    tables.pair(tables.photo("whole", "clean"), "synthetic", "noise")
    tables.pair(tables.photo("glass", "clean"), "synthetic", "reflection", "whole")
    tables.matches = ["crop"]
    rows, held, counts = tables.assemble(Assemble())
    assert {row["photo_id"] for row in rows} == {f"photo-{number}" for number in range(8)}
    assert not held and counts.dropped == {"benchmark": 2}
    tables_of = (tables.layout.screening, tables.layout.duplicates, tables.layout.contamination)
    chosen, dropped = select_images(*tables_of, "clean")
    assert "whole" not in {image.image_id for image in chosen} and dropped == {"benchmark": 1}


def test_a_take_down_takes_the_other_versions_too(tables: Tables) -> None:
    """A crop that came from elsewhere has neither id nor URL nor pHash of what was taken down."""
    tables.photo("crop", "clean", group="photo-0")
    tables.pair("crop", "synthetic", "rain")
    tables.pair("photo-1", "synthetic", "reflection", "photo-0")
    tables.assemble(Assemble())
    entry = ("image_id", "crop")
    add_to_blocklist(tables.layout, [entry], "asked for", "2026-01-01")
    blocked = blocked_ids(tables.layout, 24)
    assert blocked == {"crop", "photo-0"}
    rows, _, counts = tables.assemble(Assemble(), blocked)
    assert {row["photo_id"] for row in rows} == {f"photo-{number}" for number in range(1, 8)}
    assert counts.dropped == {"taken-down": 3}


def test_what_memory_holds_of_a_pair_is_not_its_scores(tables: Tables) -> None:
    scores = [(f"a-name-of-a-score-{number}", number / 7) for number in range(40)]
    tables.pairs.clear()
    for number in range(75):
        tables.photo(f"more-{number}", "clean")
        for task in ("blur", "haze", "noise", "rain"):
            tables.pair(f"more-{number}", "synthetic", task)
            tables.pairs[-1]["scores"] = scores
    tables.assemble(Assemble())  # imports, and caches of first use
    tracemalloc.start()
    tables.assemble(Assemble())
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak / len(tables.pairs) < 4000


def test_a_damaged_shard_of_photos_ends_the_stage_with_a_remedy(tables: Tables) -> None:
    shard = tables.layout.raw / "one/shard-00000.parquet"
    shard.parent.mkdir(parents=True)
    shard.write_bytes(b"PAR1 and no more")
    with pytest.raises(UserError, match=f"{shard} cannot be read"):
        tables.assemble(Assemble())
    assert not tables.layout.dataset.exists()


def test_a_card_names_no_configuration_without_rows(
    tables: Tables, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`datasets` fails on a Parquet file without rows."""
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    from datasets import get_dataset_config_names, load_dataset

    place = str(tables.layout.dataset)
    _, held, _ = tables.assemble(Assemble())
    assert not held and get_dataset_config_names(place) == ["pairs"]
    tables.photo("seen", "degraded")
    _, held, _ = tables.assemble(Assemble())
    assert held and get_dataset_config_names(place) == ["pairs", "held-out"]
    for name in ("pairs", "held-out"):
        assert load_dataset(place, name, cache_dir=str(tables.layout.root / "cache"))
    tables.pairs.clear()
    tables.assemble(Assemble())
    assert get_dataset_config_names(place) == ["held-out"]


def test_no_review_brings_back_a_frame_that_is_the_benchmark_s(tables: Tables) -> None:
    tables.pairs[0] |= {"verdict": "drop", "reason": "benchmark"}
    reviews = [{"pair_id": tables.pairs[0]["pair_id"], "decision": "accept"}]
    write_table(tables.layout.reviews, reviews, schemas.REVIEWS)
    _, _, counts = tables.assemble(Assemble())
    assert counts.dropped == {"benchmark": 1} and counts.rows_out == 7


def test_rows_of_one_pair_are_counted(tables: Tables) -> None:
    tables.pairs.append(dict(tables.pairs[0]))
    rows, _, counts = tables.assemble(Assemble())
    assert counts.dropped == {"twice": 1} and counts.rows_in == len(rows) + 1 == 9


def test_the_card_has_the_licences_of_all_photos_that_are_shown(tables: Tables) -> None:
    """A photo in the glass, or one that is held out, may have no pair itself."""
    terms = ("CC-BY-4.0", "CC-BY-SA-4.0")
    pngs = [images.encode_png(np.full((8, 8, 3), level, np.uint8)) for level in (0, 255)]
    with ShardWriter(tables.layout.raw / "one") as shards:
        layer, seen = (
            shards.add(png, images.read_header(png), {"license": licence})
            for png, licence in zip(pngs, terms, strict=True)
        )
    tables.pair("photo-0", "synthetic", "reflection", tables.photo(layer, "clean"))
    tables.photo(seen, "degraded")
    tables.assemble(Assemble())
    card = (tables.layout.dataset / "README.md").read_text("utf-8")
    assert all(f"| {licence} | 1 |" in card for licence in terms)
