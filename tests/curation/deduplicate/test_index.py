"""Stored indexes: they grow, follow what is gone, and survive kills and damage."""

import subprocess
import sys
from pathlib import Path

import faiss
import numpy as np
import pytest

from benchmarks.dedupe_scale import make_hashes, make_vectors
from catalog.settings.curation import Deduplicate
from curation.deduplicate.duplicates import find_matches
from curation.deduplicate.index import Store
from curation.deduplicate.memory import Memory
from curation.deduplicate.search import (
    Pairs,
    _by_neighbours,
    _by_range,
    _on_gpus,
    near_hashes,
    near_vectors,
    vector_index,
)
from tests.curation.deduplicate.photos import KEEP_FRAME, jpeg, photos, prints_of

COUNT = 3000
BASE, PLANTED = make_vectors(COUNT, 32, np.random.default_rng(0))
KEYS = [f"image {row}" for row in range(COUNT)]


def _store(folder: Path, digest: str = "key") -> Store:
    return Store(folder, digest, exact_vectors=100, exact_hashes=100)


def _recall(found: Pairs, planted: np.ndarray) -> float:
    pairs = set(map(tuple, np.sort(found, axis=1).tolist()))
    return sum(tuple(pair) in pairs for pair in planted.tolist()) / len(planted)


def test_an_index_grows_by_what_is_new(tmp_path: Path) -> None:
    """The planted copies are the last rows, so they are appended to the index of the others."""
    half = COUNT // 2
    first = _store(tmp_path).vectors("v", KEYS[:half], BASE[:half])
    assert first.faiss.ntotal == half
    later = _store(tmp_path).vectors("v", KEYS, BASE)
    assert later.faiss.ntotal == COUNT
    assert later.rows is not None, "the stored index was not used"
    assert _recall(near_vectors(BASE, BASE, 0.9, 33, later), PLANTED) >= 0.99
    again = _store(tmp_path).vectors("v", KEYS, BASE)
    assert again.faiss.ntotal == COUNT


def test_rows_follow_images_that_moved_or_are_gone(tmp_path: Path) -> None:
    _store(tmp_path).vectors("v", KEYS, BASE)
    rng = np.random.default_rng(1)
    kept = rng.permutation(COUNT)[: COUNT - 200]
    keys, base = [KEYS[row] for row in kept], BASE[kept]
    index = _store(tmp_path).vectors("v", keys, base)
    assert index.faiss.ntotal == COUNT, "the stored index was not used"
    found = near_vectors(base, base, 0.9999, 5, index)
    assert len(found) >= 0.99 * len(base)
    assert np.array_equal(found[:, 0], found[:, 1]), "a row stands for another image"


def test_equal_vectors_are_found_at_a_cosine_of_one() -> None:
    found = near_vectors(BASE, BASE.copy(), 1.0, 5)
    assert {(row, row) for row in range(COUNT)} <= set(map(tuple, found.tolist()))


def test_an_index_that_lost_or_grew_too_much_is_made_anew(tmp_path: Path) -> None:
    _store(tmp_path).vectors("v", KEYS[:500], BASE[:500])
    assert _store(tmp_path).vectors("v", KEYS, BASE).rows is None, "grew sixfold"
    assert _store(tmp_path).vectors("v", KEYS[:2000], BASE[:2000]).rows is None, "a third is gone"


def test_hashes_are_stored_too(tmp_path: Path) -> None:
    base, planted = make_hashes(COUNT, np.random.default_rng(0))
    _store(tmp_path).hashes("h", KEYS[: COUNT // 2], base[: COUNT // 2])
    index = _store(tmp_path).hashes("h", KEYS, base)
    assert index.rows is not None
    assert index.faiss.ntotal == COUNT
    assert _recall(near_hashes(base, base, 40, index), planted) >= 0.9


def test_another_key_and_what_was_left_unfinished_are_removed(tmp_path: Path) -> None:
    _store(tmp_path).vectors("v", KEYS, BASE)
    (tmp_path / ".v-key.index.123.tmp").mkdir()
    assert _store(tmp_path, "other").vectors("v", KEYS, BASE).rows is None
    assert [path.name for path in tmp_path.iterdir()] == ["v-other.index"]


@pytest.mark.parametrize("name", ["index.faiss", "keys.parquet", "trained"])
def test_a_damaged_index_is_made_anew(tmp_path: Path, name: str) -> None:
    _store(tmp_path).vectors("v", KEYS, BASE)
    damaged = tmp_path / "v-key.index" / name
    damaged.write_bytes(
        damaged.read_bytes()[: damaged.stat().st_size // 2] if name != "trained" else b"x"
    )
    index = _store(tmp_path).vectors("v", KEYS, BASE)
    assert index.rows is None
    assert index.faiss.ntotal == COUNT


WRITER = """
import sys
from pathlib import Path
from tests.curation.deduplicate.test_index import BASE, KEYS, _store
for size in range(1000, 3001, 50):
    print(size, flush=True)
    _store(Path(sys.argv[1])).vectors("v", KEYS[:size], BASE[:size])
"""


@pytest.mark.parametrize("line", [1, 3, 8])
def test_a_writer_killed_at_any_moment_leaves_a_usable_index(tmp_path: Path, line: int) -> None:
    root = Path(__file__).parents[3]
    command = [sys.executable, "-c", WRITER, str(tmp_path)]
    with subprocess.Popen(command, cwd=root, stdout=subprocess.PIPE) as writer:
        assert writer.stdout is not None
        for _ in range(line):
            assert writer.stdout.readline()
        writer.kill()
    index = _store(tmp_path).vectors("v", KEYS, BASE)
    assert index.faiss.ntotal == COUNT
    found = near_vectors(BASE, BASE, 0.9999, 5, index)
    assert np.array_equal(found[:, 0], found[:, 1])
    assert len(found) >= 0.99 * COUNT


def test_a_new_snapshot_is_compared_with_the_stored_index(tmp_path: Path) -> None:
    """Copies of old photos are found although only the new rows are looked up."""
    first = [jpeg(photo) for photo in photos()]
    second = [KEEP_FRAME["half size"](photo) for photo in photos()]
    settings = Deduplicate(local_features_up_to=0)

    def store() -> Store:
        return Store(tmp_path, "key", exact_vectors=5, exact_hashes=5)

    find_matches(prints_of(first), settings, Memory(tmp_path, "key"), store())
    assert {path.name for path in tmp_path.glob("*.index")} == {
        f"{name}-key.index" for name in ("phash", "pdq", "layouts")
    }
    both = prints_of(first + second)
    later = find_matches(both, settings, Memory(tmp_path, "key"), store())
    found = {(match.a, match.b) for match in later}
    assert found == {(row, row + len(first)) for row in range(len(first))}


def test_a_search_by_range_and_one_by_neighbours_find_the_same() -> None:
    """The first is that of the CPU, the second that of a GPU, which has no search by range."""
    for most in (2, 33):
        for index in (vector_index(BASE), vector_index(BASE, exact=100)):
            queries = BASE[-300:]
            pairs = []
            for search in (_by_range, _by_neighbours):
                rows, positions = search(index, queries, 0.5, most)
                pairs.append(set(zip(rows.tolist(), positions.tolist(), strict=True)))
            assert pairs[0] == pairs[1]
            assert len(pairs[0]) > 300


@pytest.mark.skipif(
    not hasattr(faiss, "StandardGpuResources") or not faiss.get_num_gpus(),
    reason="faiss-gpu is not installed, or there is no GPU",
)
def test_a_gpu_finds_what_the_cpu_finds() -> None:
    index = vector_index(BASE, exact=100)
    on_gpus = _on_gpus(index)
    rows, positions = _by_neighbours(on_gpus, BASE[:500], 0.9, 33)
    wanted = _by_range(index, BASE[:500], 0.9, 33)
    assert set(zip(rows, positions, strict=True)) == set(zip(*wanted, strict=True))
