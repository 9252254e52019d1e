"""The executor ray: the same functions, the same bytes, and a worker killed in the middle."""

import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import psutil
import pytest

from catalog.errors import UserError
from catalog.images import encode_png, read_header
from catalog.layout import Layout
from catalog.settings.curation import Embed, Hash
from catalog.shards import ShardWriter
from curation import embed
from curation import hash as hashing
from curation.by_shard import map_shards
from tests.curation.conftest import picture


def _photos(layout: Layout, count: int, a_shard: int) -> Layout:
    with ShardWriter(layout.raw / "first" / "shards", max_images=a_shard) as writer:
        for number in range(count):
            data = encode_png(picture(number, 384, 512))
            writer.add(data, read_header(data), {"license": "by"})
    return layout


def test_without_ray_the_setting_says_how_to_get_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(UserError, match="not installed") as caught:
        hashing.run(_photos(Layout(tmp_path), 1, 1), Hash(executor="ray"))
    assert "mendline[ray]" in caught.value.remedy


def test_a_cluster_that_does_not_answer_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("ray")
    monkeypatch.setenv("RAY_ADDRESS", "no-such-place")
    with pytest.raises(UserError, match="no-such-place") as caught:
        hashing.run(_photos(Layout(tmp_path), 1, 1), Hash(executor="ray"))
    assert "RAY_ADDRESS" in caught.value.remedy


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Two nodes of one worker each, and this process joined to them."""
    ray = pytest.importorskip("ray")
    from ray.cluster_utils import Cluster

    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    node = {"num_cpus": 1, "object_store_memory": 80 * 2**20, "include_dashboard": False}
    nodes = Cluster(initialize_head=True, head_node_args=node)
    try:
        nodes.add_node(num_cpus=1, object_store_memory=80 * 2**20)
        monkeypatch.setenv("RAY_ADDRESS", nodes.address)
        yield
    finally:
        ray.shutdown()
        nodes.shutdown()


class _Killer(threading.Thread):
    """Sends SIGKILL to the first worker that is seen at a task."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.killed: list[int] = []
        self.seen: set[int] = set()
        self._over = threading.Event()

    def run(self) -> None:
        while not self._over.wait(0.005):
            for process in psutil.process_iter(["cmdline"]):
                words = process.info["cmdline"] or [""]
                if words[0].startswith("ray::run"):
                    self.seen.add(process.pid)
                    if not self.killed:
                        process.kill()
                        self.killed.append(process.pid)

    def end(self) -> None:
        self._over.set()
        self.join()


@pytest.mark.slow
@pytest.mark.usefixtures("cluster")
def test_two_workers_one_of_them_killed_give_the_bytes_of_the_local_executor(
    tmp_path: Path,
) -> None:
    here = _photos(Layout(tmp_path / "here"), 48, 6)
    there = _photos(Layout(tmp_path / "there"), 48, 6)
    hashing.run(here, Hash())
    embed.run(here, Embed())

    killer = _Killer()
    killer.start()
    counts = hashing.run(there, Hash(executor="ray"))
    killer.end()
    assert len(killer.killed) == 1
    assert len(killer.seen) >= 3  # the two, and one in the place of the killed one
    assert (counts.rows_in, counts.rows_out) == (48, 48)
    assert there.hashes.read_bytes() == here.hashes.read_bytes()
    assert there.fingerprints.read_bytes() == here.fingerprints.read_bytes()

    embed.run(there, Embed(executor="ray"))
    ours, theirs = (embed_table(layout) for layout in (here, there))
    assert ours[0] == theirs[0]
    np.testing.assert_allclose(ours[1], theirs[1], atol=1e-6)


def embed_table(layout: Layout) -> tuple[list[str], np.ndarray]:
    """Ids and vectors."""
    import pyarrow.parquet as pq

    table = pq.read_table(layout.embeddings)
    return table["image_id"].to_pylist(), np.stack(table["embedding"].to_numpy())


def _refuse(shard: Path) -> list[dict[str, object]]:
    raise UserError(f"{shard.name} is no good.", "Mend it.")


@pytest.mark.slow
@pytest.mark.usefixtures("cluster")
def test_an_error_in_a_task_arrives_as_it_was_raised(tmp_path: Path) -> None:
    import pyarrow as pa

    layout = _photos(Layout(tmp_path), 2, 1)
    with pytest.raises(UserError, match="is no good") as caught:
        map_shards(layout, "test", _refuse, pa.schema([("a", pa.int32())]), ("1",), "ray")
    assert caught.value.remedy == "Mend it."
