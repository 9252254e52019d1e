"""The stages hash, embed and deduplicate over shards, and `mendline dedupe` on a folder."""

import hashlib
import os
import signal
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from catalog import schemas
from catalog.errors import UserError
from catalog.images import encode_png, image_id, read_header
from catalog.layout import Layout
from catalog.settings import Params, load_params
from catalog.shards import ShardWriter
from catalog.tables import read_table, write_table
from catalog.threads import cores
from curation import by_shard, embed
from curation import hash as hashing
from curation.deduplicate import __main__ as deduplicate
from curation.deduplicate.benchmarks import place_of, read_benchmark
from flows.cli import main
from tests.curation.deduplicate.photos import blur, crop, jpeg, photos, resize

ROOT = Path(__file__).parents[3]


def _params(**changes: dict) -> Params:  # type: ignore[type-arg]
    content = yaml.safe_load((ROOT / "profiles/embedded.yaml").read_text("utf-8"))
    for section, values in changes.items():
        content[section] |= values
    return Params.model_validate(content)


def _snapshot(layout: Layout, name: str, images: list[bytes], most: int = 4) -> None:
    with ShardWriter(layout.raw / name / "shards", max_images=most) as writer:
        for data in images:
            writer.add(data, read_header(data), {"license": "by"})


def _originals() -> list[bytes]:
    return [jpeg(photo) for photo in photos()[:6]]


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    _snapshot(Layout(tmp_path), "first", _originals())
    return Layout(tmp_path)


def test_the_stages_write_their_tables_and_the_same_bytes_again(layout: Layout) -> None:
    params = _params()
    copy = jpeg(resize(photos()[0], 0.5))
    _snapshot(layout, "second", [copy, _originals()[1]])
    folder = layout.benchmark / "blur"
    folder.mkdir(parents=True)
    (layout.benchmark / "README.md").write_text("about")
    (folder / "0.jpg").write_bytes(jpeg(blur(crop(photos()[2], 0.1, 0, 0.9, 0.85), 1.5)))

    counts = hashing.run(layout, params.hash)
    assert (counts.rows_in, counts.rows_out) == (8, 7)
    assert counts.dropped == {"known-in-snapshot": 1}
    hashes = read_table(layout.hashes, schemas.HASHES)
    assert hashes["snapshot"].to_pylist() == ["first"] * 6 + ["second"]
    assert set(hashes["license"].to_pylist()) == {"by"}
    embed.run(layout, params.embed)
    vectors = pq.read_table(layout.embeddings)
    assert vectors["image_id"].to_pylist() == hashes["image_id"].to_pylist()
    assert b"mendline-clip" in vectors.schema.metadata[b"identity"]
    counts = deduplicate.run(layout, params)
    assert counts.dropped == {"copy": 1, "in-benchmark": 1}
    rows = {
        row["image_id"]: row
        for row in read_table(layout.duplicates, schemas.DUPLICATES).to_pylist()
    }
    assert rows[image_id(copy)]["group"] == image_id(_originals()[0])
    assert rows[image_id(copy)]["relation"] == "copy"
    (match,) = read_table(layout.contamination, schemas.CONTAMINATION).to_pylist()
    assert match["image_id"] == image_id(_originals()[2])
    assert match["benchmark_name"] == "blur/0.jpg"

    outputs = [layout.hashes, layout.fingerprints, layout.embeddings, layout.duplicates]
    before = [path.read_bytes() for path in outputs]
    hashing.run(layout, params.hash)
    embed.run(layout, params.embed)
    deduplicate.run(layout, params)
    assert [path.read_bytes() for path in outputs] == before


def test_a_new_snapshot_computes_only_its_own_shards(layout: Layout) -> None:
    settings = _params().hash
    hashing.run(layout, settings)
    folder = layout.scratch("hash")
    before = {path.name: path.stat().st_mtime_ns for path in folder.glob("*.parquet")}
    assert len(before) == 2
    _snapshot(layout, "second", [jpeg(photos()[7])])
    hashing.run(layout, settings)
    after = {path.name: path.stat().st_mtime_ns for path in folder.glob("*.parquet")}
    assert len(after) == 3
    assert before.items() <= after.items()


def test_another_setting_computes_anew_and_drops_the_old_results(layout: Layout) -> None:
    hashing.run(layout, _params().hash)
    before = {path.name for path in layout.scratch("hash").glob("*.parquet")}
    hashing.run(layout, _params(hash={"thumbnail_side": 128}).hash)
    after = {path.name for path in layout.scratch("hash").glob("*.parquet")}
    assert not before & after
    assert len(after) == 2


def test_no_images_at_all_give_empty_tables(tmp_path: Path) -> None:
    layout, params = Layout(tmp_path), _params()
    layout.raw.mkdir(parents=True)
    hashing.run(layout, params.hash)
    embed.run(layout, params.embed)
    counts = deduplicate.run(layout, params)
    assert counts.rows_out == 0
    assert len(read_table(layout.duplicates, schemas.DUPLICATES)) == 0
    assert len(read_table(layout.contamination, schemas.CONTAMINATION)) == 0


def test_an_image_that_does_not_decode_is_counted_not_lost(tmp_path: Path) -> None:
    layout = Layout(tmp_path)
    data = jpeg(photos()[0])
    with ShardWriter(layout.raw / "first" / "shards") as writer:
        writer.add(data[: len(data) // 2], read_header(data))
        writer.add(data, read_header(data))
    counts = hashing.run(layout, _params().hash)
    assert counts.dropped == {"broken-image": 1}
    assert counts.rows_out == 1
    counts = embed.run(layout, _params().embed)
    assert counts.dropped == {"broken-image": 1}
    assert counts.rows_out == 1


def test_missing_embeddings_are_named(layout: Layout) -> None:
    hashing.run(layout, _params().hash)
    with pytest.raises(UserError, match="dvc repro embed"):
        deduplicate.run(layout, _params())


def test_embeddings_make_candidates_when_asked(layout: Layout) -> None:
    params = _params(deduplicate={"use_embeddings": True, "min_cosine": 0.0})
    hashing.run(layout, params.hash)
    embed.run(layout, params.embed)
    counts = deduplicate.run(layout, params)
    assert counts.extra["by_embedding"] is True
    assert counts.extra["groups"] == 6, "every pair is a candidate, and verification parts them"


def test_a_hugging_face_dataset_is_a_benchmark(layout: Layout, tmp_path: Path) -> None:
    import datasets

    data = _originals()[3]
    saved = datasets.Dataset.from_dict({"image": [{"bytes": data, "path": None}]})
    saved = saved.cast_column("image", datasets.Image())
    saved.save_to_disk(str(tmp_path / "bench"))
    params = _params(deduplicate={"benchmarks": ["bench"], "local_features_up_to": 0})
    hashing.run(layout, params.hash)
    embed.run(layout, params.embed)
    deduplicate.run(layout, params)
    (match,) = read_table(layout.contamination, schemas.CONTAMINATION).to_pylist()
    assert (match["image_id"], match["reason"]) == (image_id(data), "exact")


def test_a_dataset_of_the_hub_that_cannot_be_loaded_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import datasets

    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
    place = place_of("nobody/no-such-set", tmp_path)
    assert place == "nobody/no-such-set"
    with pytest.raises(UserError, match="nobody/no-such-set"):
        list(read_benchmark(place))
    (tmp_path / "nobody/no-such-set").mkdir(parents=True)
    assert place_of("nobody/no-such-set", tmp_path) == tmp_path / "nobody/no-such-set"


def test_a_benchmark_that_is_not_there_is_named(layout: Layout) -> None:
    params = _params(deduplicate={"benchmarks": ["nowhere"]})
    hashing.run(layout, params.hash)
    embed.run(layout, params.embed)
    with pytest.raises(UserError, match="nowhere"):
        deduplicate.run(layout, params)


def test_dedupe_of_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "photos"
    (folder / "sub").mkdir(parents=True)
    data = jpeg(photos()[0])
    (folder / "a.jpg").write_bytes(data)
    (folder / "sub/a again.jpg").write_bytes(data)
    (folder / "b.jpg").write_bytes(jpeg(photos()[1]))
    (folder / "small.jpg").write_bytes(jpeg(resize(photos()[1], 0.5)))
    (folder / "broken.jpg").write_bytes(b"<html>")
    with pytest.raises(SystemExit) as ended:
        main(["dedupe", str(folder), "--out", str(tmp_path / "t.parquet")])
    assert ended.value.code == 0
    table = pq.read_table(tmp_path / "t.parquet")
    first = ["image_id", "path", "group", "keeper", "reason", "similarity"]
    assert table.column_names[:6] == first
    rows = {row["path"]: row for row in table.to_pylist()}
    assert set(rows) == {"a.jpg", "sub/a again.jpg", "b.jpg", "small.jpg"}
    assert rows["a.jpg"]["keeper"]
    again = rows["sub/a again.jpg"]
    assert (again["keeper"], again["reason"], again["similarity"]) == (False, "exact", 1.0)
    assert rows["small.jpg"]["group"] == rows["b.jpg"]["image_id"]


def test_a_folder_without_images_is_named(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["dedupe", str(tmp_path), "--out", str(tmp_path / "t.parquet")])
    assert ended.value.code == 1
    assert "no image" in capsys.readouterr().err


def test_params_of_the_repository_hold_every_setting() -> None:
    params = load_params(ROOT / "params.yaml")
    content = yaml.safe_load((ROOT / "params.yaml").read_text("utf-8"))
    for section in ("hash", "embed", "deduplicate"):
        assert content[section] == getattr(params, section).model_dump()


def _threads(shard: Path) -> list[dict[str, object]]:
    import cv2

    return [{"threads": cv2.getNumThreads()}]


def test_processes_share_the_cores(layout: Layout, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    schema = pa.schema([("threads", pa.int32())])
    found = by_shard.map_shards(layout, "test", _threads, schema, ("1",), processes=2)
    share = max(1, cores() // 2)
    assert [table["threads"].to_pylist() for _, table in found] == [[share], [share]]


def _refuse_first(shard: Path) -> list[dict[str, object]]:
    if shard.parent.name == "00":
        raise UserError("The judge is gone.", "Start it.")
    hashlib.pbkdf2_hmac("sha256", b"work", b"", 300_000)
    return [{"threads": 1}]


def test_an_error_is_seen_before_the_other_shards_are_done(tmp_path: Path) -> None:
    layout = Layout(tmp_path)
    for number in range(16):
        encoded = encode_png(np.full((8, 8, 3), number, np.uint8))
        with ShardWriter(layout.raw / f"{number:02}") as writer:
            writer.add(encoded, read_header(encoded))
    schema = pa.schema([("threads", pa.int32())])
    with pytest.raises(UserError, match="gone"):
        by_shard.map_shards(layout, "test", _refuse_first, schema, ("1",), processes=2)
    assert len(list(layout.scratch("test").glob("*.parquet"))) < 8


def test_no_collected_images_at_all_is_said(tmp_path: Path) -> None:
    schema = pa.schema([("threads", pa.int32())])
    with pytest.raises(UserError, match="where collected images lie") as raised:
        by_shard.map_shards(Layout(tmp_path), "test", _die, schema, ("1",))
    assert "mendline collect" in raised.value.remedy


def _die(shard: Path) -> list[dict[str, object]]:
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError("it was killed")


def test_a_worker_that_is_killed_ends_the_stage_with_a_remedy(layout: Layout) -> None:
    schema = pa.schema([("threads", pa.int32())])
    with pytest.raises(UserError, match="`test` was killed or crashed") as raised:
        by_shard.map_shards(layout, "test", _die, schema, ("1",), processes=2)
    assert "run the same command again" in raised.value.remedy


def test_results_are_keyed_by_the_content_of_the_shard(tmp_path: Path) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    one.write_bytes(b"shard")
    two.write_bytes(b"shard")
    assert by_shard.content_key(one, "1") == by_shard.content_key(two, "1")
    assert by_shard.content_key(one, "1") != by_shard.content_key(one, "2")
    two.write_bytes(b"other")
    assert by_shard.content_key(one, "1") != by_shard.content_key(two, "1")


def test_a_vector_that_is_not_finite_counts_as_none(tmp_path: Path) -> None:
    """FAISS refuses to train with one such, and a network on a GPU can give one."""
    layout = Layout(tmp_path)
    vectors = np.array([[0.6, 0.8], [np.nan, 1.0], [np.inf, 0.0]], np.float32)
    made = [{"image_id": key, "embedding": row} for key, row in zip("abc", vectors, strict=True)]
    write_table(layout.embeddings, made, schemas.embeddings(2, "test"))
    found = deduplicate._vectors(layout, pa.chunked_array([["c", "d", "b", "a"]]))
    assert np.array_equal(found, np.array([[0, 0], [0, 0], [0, 0], [0.6, 0.8]], np.float32))
