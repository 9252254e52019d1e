"""SIGKILL and Ctrl-C at awkward moments, followed by the same command."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest
import yaml
from aiohttp import web as server
from conftest import outcomes
from web import Web, photo

from catalog.alone import alone
from catalog.errors import UserError
from catalog.layout import Layout
from catalog.settings.collect import Collect
from catalog.shards import ShardStore, read_shard
from curation.collect.rows import Pending, Result
from curation.collect.run import collect
from curation.collect.snapshot import Work
from curation.collect.state import State

REPOSITORY = Path(__file__).parents[3]


def _tree(root: Path, settings: Collect) -> Path:
    params = yaml.safe_load((REPOSITORY / "profiles/embedded.yaml").read_text())
    params["collect"] = settings.model_dump(mode="json")
    root.mkdir()
    (root / "params.yaml").write_text(yaml.safe_dump(params))
    return root


def _start(tree: Path, urls: Path) -> subprocess.Popen[str]:
    code = f"from flows.cli import main; main(['collect', '--urls', {str(urls)!r}])"
    return subprocess.Popen(
        [sys.executable, "-c", code],
        cwd=tree,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


class _Trap:
    """Serves images; at each request whose number is in `moments` the client gets a signal."""

    def __init__(self, moments: list[int], kind: signal.Signals) -> None:
        self.moments = moments
        self.kind = kind
        self.requests = 0
        self.client: subprocess.Popen[str] | None = None

    async def __call__(self, request: server.Request) -> server.StreamResponse:
        self.requests += 1
        if self.moments and self.requests >= self.moments[0] and self.client is not None:
            self.moments.pop(0)
            self.client.send_signal(self.kind)
        return server.Response(body=photo(int(request.path.strip("/")), size=(80, 64)))


def test_kills_lose_nothing_double_nothing_and_repeat_little(
    web: Web, settings: Collect, tmp_path: Path
) -> None:
    count, moments = 1100, [150, 1060]
    trap = _Trap(list(moments), signal.SIGKILL)
    urls = tmp_path / "urls.txt"
    urls.write_text("\n".join(web.route(f"/{n}", trap) for n in range(count)))
    quick = settings.model_copy(update={"host_rate": 5000, "host_concurrency": 16})
    tree = _tree(tmp_path / "tree", quick)
    for _ in moments:
        trap.client = _start(tree, urls)
        trap.client.wait(60)
        assert trap.client.returncode == -signal.SIGKILL
        assert not list(tree.glob("data/raw/*"))
    last = _start(tree, urls)
    output, _ = last.communicate(timeout=60)
    assert last.returncode == 0, output

    (folder,) = tree.glob("data/raw/*")
    assert not list(tree.glob("data/collecting/*/"))
    rows = outcomes(folder)
    assert {row["outcome"] for row in rows.values()} == {"stored"}
    assert len(rows) == count
    ids = [stored.image_id for shard in sorted(folder.glob("shards/*")) for stored in
           read_shard(shard)]  # fmt: skip
    assert len(ids) == len(set(ids)) == count
    assert set(ids) == {row["image_id"] for row in rows.values()}
    in_flight = 16 + 8 + 64 + 64  # requests, decoding, waiting to be written, being written
    assert trap.requests - count <= len(moments) * in_flight


def test_a_killed_collection_leaves_no_process_behind(
    web: Web, settings: Collect, tmp_path: Path
) -> None:
    trap = _Trap([30], signal.SIGSTOP)
    urls = tmp_path / "urls.txt"
    urls.write_text("\n".join(web.route(f"/{n}", trap) for n in range(200)))
    trap.client = _start(_tree(tmp_path / "tree", settings), urls)
    os.waitpid(trap.client.pid, os.WUNTRACED)  # stopped in the middle, so its children are there
    children = psutil.Process(trap.client.pid).children(recursive=True)
    assert children
    trap.client.kill()
    trap.client.wait(10)
    assert psutil.wait_procs(children, timeout=10)[1] == []


def test_ctrl_c_says_how_to_go_on(web: Web, settings: Collect, tmp_path: Path) -> None:
    trap = _Trap([60], signal.SIGINT)
    urls = tmp_path / "urls.txt"
    urls.write_text("\n".join(web.route(f"/{n}", trap) for n in range(300)))
    tree = _tree(tmp_path / "tree", settings)
    trap.client = _start(tree, urls)
    output, _ = trap.client.communicate(timeout=60)
    assert trap.client.returncode == 130, output
    assert "same command goes on" in output
    assert "Traceback" not in output
    last = _start(tree, urls)
    output, _ = last.communicate(timeout=60)
    assert last.returncode == 0, output
    assert len(ShardStore(Layout(tree).raw)) == 300
    assert trap.requests < 300 + 64


def _result(item: Pending, data: bytes) -> Result:
    from catalog.images import image_id, read_header

    return Result(item, "stored", image_id=image_id(data), data=data, header=read_header(data))


@pytest.mark.parametrize("damage", ["none", "torn", "gone"])
def test_the_journal_is_whole_after_a_crash_or_the_url_is_fetched_again(
    tmp_path: Path, damage: str
) -> None:
    """A power cut can lose what was written last; hashes find it out."""
    work = Work("w", tmp_path)
    state = State(work.state, work.snapshot / "shards", max_images=4)
    rows = [
        {"url_key": f"u{n}", "url": f"u{n}", "host": "h", "part": 0, "source": "test"}
        for n in range(10)
    ]
    assert state.plan(rows) == 10
    assert state.plan(rows) == 0
    for item in state.pending("h", -1, 6):
        state.record([_result(item, photo(item.seq))])
    # Four are in a shard; the fifth, spooled before that one closed, and the sixth are loose.
    first, second = sorted(work.state.glob("spool-*.bin"))
    if damage == "torn":
        second.write_bytes(second.read_bytes()[:-10])
    elif damage == "gone":
        first.unlink()
        second.unlink()
    # The first state is never closed: as if its process were gone.
    again = State(work.state, work.snapshot / "shards", max_images=4)
    lost = {"none": 0, "torn": 1, "gone": 2}[damage]
    assert len(again.pending("h", -1, 100)) == 4 + lost
    for item in again.pending("h", -1, 100):
        again.record([_result(item, photo(item.seq))])
    again.finish_shard()
    assert len(ShardStore(work.snapshot)) == 10
    assert again.counts() == {"stored": 10}
    assert [row["url"] for batch in again.outcomes(3) for row in batch] == [
        f"u{n}" for n in range(10)
    ]
    again.close()


def test_two_collections_of_one_tree_do_not_mix(tmp_path: Path) -> None:
    layout = Layout(tmp_path)
    with (
        alone(layout.collecting, "This test is."),
        pytest.raises(UserError, match="Another collection is running in"),
    ):
        collect([], layout, Collect())
    assert [path.name for path in layout.collecting.iterdir()] == [".lock"]
