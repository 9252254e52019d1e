"""Take-downs that come after the gate, and versions whose images nobody knows."""

from pathlib import Path

import pytest
from click.testing import CliRunner

from catalog import schemas
from catalog.errors import UserError
from catalog.layout import Layout
from catalog.settings import Params
from catalog.tables import write_table
from evaluation.registry import decisions
from evaluation.registry.flagging import digest_of, flag_versions
from evaluation.registry.listing import waiting_table
from evaluation.registry.store import Registry
from flows.cli import mendline
from flows.tracing import trace
from tests.evaluation.registering import bare_version, gated

PHOTO = "1" * 64


def learn(registry: Registry, version: str, *photos: str) -> None:
    """The pair list of a version's run."""
    rows = [
        {name: f"{name}-{photo}" for name in schemas.DATASET.names}
        | {"degraded_id": photo, "split": "train"}
        for photo in photos
    ]
    table = registry.layout.root / "logged/pairs.parquet"
    write_table(table, rows, schemas.DATASET)
    registry.client.log_artifact(registry.version(version).run_id, str(table), "dataset")


def take_down(layout: Layout, kind: str = "image_id", value: str = PHOTO) -> None:
    rows = [{"kind": kind, "value": value, "reason": "asked", "added": "x"}]
    write_table(layout.blocklist, rows, schemas.BLOCKLIST)


def test_an_override_of_something_else_does_not_cover_a_later_take_down(
    layout: Layout, params: Params, registry: Registry
) -> None:
    version = bare_version(registry, verdict="inconclusive")
    learn(registry, version, PHOTO)
    take_down(layout)
    with pytest.raises(UserError, match="have been taken down"):
        decisions.approve(layout, params, version, "Ada", override="the judge was noisy")
    registry.tag(version, taken_down_seen=digest_of([PHOTO]))
    decisions.approve(layout, params, version, "Ada", override="the owner agreed since")


def test_going_back_to_what_learned_from_a_taken_down_image_needs_a_reason(
    layout: Layout, params: Params, registry: Registry
) -> None:
    first, second = bare_version(registry), bare_version(registry)
    learn(registry, first, PHOTO)
    decisions.approve(layout, params, first, "Ada")
    gated(registry, second, first)
    decisions.approve(layout, params, second, "Ada")
    take_down(layout)
    with pytest.raises(UserError, match="that have been taken down"):
        decisions.rollback(layout, params, "Ada")
    assert registry.champion() == second
    decisions.rollback(layout, params, "Ada", "the new one crashes; an hour at most")
    assert registry.champion() == first


def test_what_nobody_knows_the_images_of_is_not_promoted_once_something_is_taken_down(
    layout: Layout, params: Params, registry: Registry
) -> None:
    version = bare_version(registry)
    take_down(layout)
    with pytest.raises(UserError, match="is not on record"):
        decisions.approve(layout, params, version, "Ada")


def test_a_version_without_a_run_stops_neither_the_review_nor_a_trace(
    layout: Layout, params: Params, registry: Registry
) -> None:
    ours = bare_version(registry)
    learn(registry, ours, PHOTO)
    registry.client.create_model_version(registry.name, str(layout.root))
    bare_version(registry)
    take_down(layout)
    assert flag_versions(layout, params) == {ours: [PHOTO]}
    waiting_table(layout, params, everything=True)
    found = trace(layout, PHOTO)
    assert [row["version"] for row in found.versions] == [ours]
    assert found.blocked


def test_a_trace_names_a_snapshot_that_lost_its_table(layout: Layout) -> None:
    snapshot = layout.raw / "one/snapshot.json"
    snapshot.parent.mkdir(parents=True)
    snapshot.write_text("{}")
    with pytest.raises(UserError, match=r"one/outcomes\.parquet"):
        trace(layout, PHOTO)


def test_a_trace_says_what_is_blocked_by_its_hash_alone(layout: Layout, tmp_path: Path) -> None:
    known = dict.fromkeys(schemas.HASHES.names) | {"image_id": PHOTO, "phash": bytes(range(32))}
    write_table(layout.hashes, [known], schemas.HASHES)
    take_down(layout, "phash", bytes(range(32)).hex())
    assert trace(layout, PHOTO).blocked
    assert not trace(layout, "2" * 64).blocked


def test_a_version_that_learned_from_another_version_of_the_photo_is_flagged(
    layout: Layout, params: Params, registry: Registry
) -> None:
    crop, stranger = "2" * 64, "3" * 64
    knew, knew_not = bare_version(registry), bare_version(registry)
    learn(registry, knew, crop)
    learn(registry, knew_not, stranger)
    nothing = dict.fromkeys(schemas.DUPLICATES.names)
    groups = [
        {**nothing, "image_id": image, "group": group, "relation": "keeper"}
        for image, group in ((PHOTO, PHOTO), (crop, PHOTO), (stranger, stranger))
    ]
    write_table(layout.duplicates, groups, schemas.DUPLICATES)
    take_down(layout)
    assert flag_versions(layout, params) == {knew: [crop]}


def test_a_take_down_that_cannot_search_a_snapshot_flags_what_it_names(
    layout: Layout, registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    learn(registry, bare_version(registry), PHOTO)
    shard = layout.raw / "one/shards/shard-00000.parquet"
    shard.parent.mkdir(parents=True)
    shard.write_bytes(b"PAR1 torn")
    monkeypatch.chdir(layout.root)
    done = CliRunner().invoke(mendline, ["takedown", PHOTO, "--reason", "asked"])
    assert "Version 1 learned from 1 taken-down image(s): flagged." in done.output
    assert "itself is on the blocklist now" in str(done.exception)


def test_a_url_is_taken_down_however_it_is_spelt(
    layout: Layout, params: Params, registry: Registry
) -> None:
    version = bare_version(registry)
    learn(registry, version, PHOTO)
    row = dict.fromkeys(schemas.OUTCOMES.names) | {
        "image_id": PHOTO,
        "url": "http://photos.example:80/a.jpg",
        "outcome": "stored",
    }
    write_table(layout.raw / "one/outcomes.parquet", [row], schemas.OUTCOMES)
    take_down(layout, "url", "https://photos.example/a.jpg")
    assert flag_versions(layout, params) == {version: [PHOTO]}
