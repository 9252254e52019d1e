"""The shard store: identity, atomicity, random access, and reading by other tools."""

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from catalog.errors import UserError
from catalog.images import image_id, read_header
from catalog.shards import ShardStore, ShardWriter, find_shards, read_shard


def _png(seed: int, side: int = 8) -> bytes:
    pixels = np.random.default_rng(seed).integers(0, 256, (side, side, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


def _write(folder: Path, seeds: range, max_images: int = 10) -> list[str]:
    with ShardWriter(folder, max_images=max_images) as writer:
        return [
            writer.add(_png(seed), read_header(_png(seed)), {"url": f"http://a/{seed}"})
            for seed in seeds
        ]


def test_images_come_back_bit_for_bit_with_their_provenance(tmp_path: Path) -> None:
    ids = _write(tmp_path, range(25))
    assert [path.name for path in find_shards(tmp_path)] == [
        f"shard-{n:05d}.parquet" for n in range(3)
    ]
    store = ShardStore(tmp_path)
    assert store.ids() == ids
    for seed in (24, 0, 13):
        stored = store.get(ids[seed])
        assert stored.data == _png(seed)
        assert stored.image_id == image_id(stored.data)
        assert stored.provenance["url"] == f"http://a/{seed}"
        assert stored.provenance["license"] is None


def test_a_killed_writer_leaves_no_partial_shard_and_the_next_goes_on(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), ShardWriter(tmp_path, max_images=10) as writer:
        for seed in range(15):
            writer.add(_png(seed), read_header(_png(seed)))
        raise KeyboardInterrupt
    assert len(ShardStore(tmp_path)) == 10
    (tmp_path / ".shard-new.parquet.1.partial").write_bytes(b"half a shard of a killed process")
    _write(tmp_path, range(10, 15))
    assert len(ShardStore(tmp_path)) == 15
    assert not list(tmp_path.glob(".*"))


def test_a_shard_is_closed_at_its_limit_of_bytes(tmp_path: Path) -> None:
    size = len(_png(0))
    with ShardWriter(tmp_path, max_bytes=3 * size + size // 2) as writer:
        for seed in range(7):
            writer.add(_png(seed), read_header(_png(seed)))
    assert [len(list(read_shard(path))) for path in find_shards(tmp_path)] == [3, 3, 1]


@pytest.mark.parametrize("what", ["cut off", "a hole", "gone"])
def test_a_damaged_shard_is_named_with_a_remedy(tmp_path: Path, what: str) -> None:
    ids = _write(tmp_path, range(3))
    (shard,) = find_shards(tmp_path)
    known = ShardStore(tmp_path)
    whole, half = shard.read_bytes(), shard.stat().st_size // 2
    if what == "gone":
        shard.unlink()
    elif what == "cut off":
        shard.write_bytes(whole[:half])
    else:  # the footer is sound, so only reading the rows finds it
        shard.write_bytes(whole[:4] + bytes(half) + whole[4 + half :])
    with pytest.raises(UserError, match=f"{shard} cannot be read") as raised:
        known.get(ids[0])
    assert "dvc checkout" in raised.value.remedy
    with pytest.raises(UserError, match="cannot be read"):
        list(read_shard(shard))
    if what == "cut off":
        with pytest.raises(UserError, match="cannot be read"):
            ShardStore(tmp_path)


def test_hugging_face_datasets_shows_the_shards_as_images(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    import datasets

    ids = _write(tmp_path / "shards", range(3))
    loaded = datasets.load_dataset(
        "parquet",
        data_files=[str(path) for path in find_shards(tmp_path)],
        split="train",
        cache_dir=str(tmp_path / "cache"),
    )
    assert isinstance(loaded.features["image"], datasets.Image)
    assert loaded["image_id"][:] == ids
    shown = np.asarray(loaded[1]["image"])
    assert np.array_equal(shown, np.asarray(Image.open(io.BytesIO(_png(1)))))
