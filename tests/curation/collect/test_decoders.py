"""The decoding processes: what kills one costs at most one image, and no run."""

import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest
from web import Web, photo

from catalog.errors import ImageRefused, UserError
from catalog.images import image_id
from catalog.layout import Layout
from catalog.settings.collect import Collect
from catalog.shards import ShardStore
from curation.collect.decoders import Decoders
from curation.collect.examine import Examined


@pytest.fixture(scope="module")
def slow() -> bytes:
    """An image that takes some tenths of a second to decode."""
    return photo(1, "PNG", (5000, 5000), compress_level=1)


async def _examine(decoders: Decoders, data: bytes) -> Examined | str:
    await decoders.room()
    try:
        return await decoders.examine(data)
    except ImageRefused as refused:
        return refused.reason


def _children() -> list[psutil.Process]:
    return [
        child
        for child in psutil.Process().children()
        if any("decoder_process" in part for part in child.cmdline())
    ]


def test_an_image_that_takes_too_long_is_refused_and_those_beside_it_are_not(
    slow: bytes,
) -> None:
    async def run() -> list[Examined | str]:
        async with Decoders(Collect(decoders=1, decode_timeout=0.1), ()) as decoders:
            images = [photo(2), slow, photo(3), photo(4)]
            return await asyncio.gather(*(_examine(decoders, data) for data in images))

    found = asyncio.run(run())
    assert found[1] == "decode-timeout"
    assert [one.image_id for one in found if isinstance(one, Examined)] == [
        image_id(photo(seed)) for seed in (2, 3, 4)
    ]
    assert not _children()


@pytest.mark.parametrize(("kills", "busy"), [(1, "stored"), (2, "decoder-crashed")])
def test_a_killed_decoder_is_replaced_and_its_image_tried_once_more(
    slow: bytes, kills: int, busy: str
) -> None:
    async def run() -> list[Examined | str]:
        async with Decoders(Collect(decoders=1), ()) as decoders:
            _children()[0].kill()  # while it has nothing to do
            first = await _examine(decoders, photo(2))
            tasks = [asyncio.create_task(_examine(decoders, data)) for data in (slow, photo(3))]
            for _ in range(kills):
                while not (there := _children()) or sum(there[0].cpu_times()[:2]) < 0.5:
                    await asyncio.sleep(0.01)
                there[0].kill()
                there[0].wait()
            return [first, *await asyncio.gather(*tasks)]

    first, middle, last = asyncio.run(run())
    assert isinstance(first, Examined)
    assert isinstance(last, Examined)
    assert (middle if isinstance(middle, str) else "stored") == busy


def test_decoders_that_cannot_start_are_told_at_once(
    web: Web, settings: Collect, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for executable, said in (
        ("/bin/false", "exit code 1"),
        (str(tmp_path / "absent"), "No such file"),
    ):
        monkeypatch.setattr(sys, "executable", executable)

        async def run() -> None:
            async with asyncio.timeout(30), Decoders(settings, ()):
                pass

        with pytest.raises(UserError, match=said) as caught:
            asyncio.run(run())
        assert "can import `curation`" in caught.value.remedy


def test_decoders_that_cannot_start_again_end_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    async def run() -> None:
        async with asyncio.timeout(30), Decoders(Collect(decoders=1), ()) as decoders:
            monkeypatch.setattr(sys, "executable", "/bin/false")
            _children()[0].kill()
            while True:
                assert isinstance(await _examine(decoders, photo(2)), Examined)

    with pytest.raises(UserError, match="do not start"):
        asyncio.run(run())


def test_a_script_without_a_main_guard_can_collect(
    web: Web, settings: Collect, tmp_path: Path
) -> None:
    """Pools of `multiprocessing` would run the script again in every process."""
    (tmp_path / "urls.txt").write_text(web.serve("/1.jpg", photo(1)))
    script = tmp_path / "script.py"
    script.write_text(
        "from pathlib import Path\n"
        "from catalog.layout import Layout\n"
        "from catalog.settings.collect import Collect\n"
        "from curation.collect.run import collect\n"
        "from curation.collect.sources.url_list import UrlList\n"
        f"settings = Collect.model_validate_json({settings.model_dump_json()!r})\n"
        "source = UrlList(Path('urls.txt'), settings.columns)\n"
        "print(collect([source], Layout(Path('tree')), settings).outcomes)\n"
    )
    done = subprocess.run(
        [sys.executable, str(script)],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.stdout == "{'stored': 1}\n", done.stderr
    assert len(ShardStore(Layout(tmp_path / "tree").raw)) == 1
    assert web.seen["/1.jpg"] == 1


def test_a_decoder_that_never_returns_ends_with_the_collector(slow: bytes, tmp_path: Path) -> None:
    (tmp_path / "slow.png").write_bytes(slow)
    code = (
        "import asyncio, sys\n"
        "from pathlib import Path\n"
        "from catalog.settings.collect import Collect\n"
        "from curation.collect.decoders import Decoders\n"
        "async def run():\n"
        "    async with Decoders(Collect(decoders=1), ()) as decoders:\n"
        "        print('ready', flush=True)\n"
        "        await decoders.room()\n"
        "        await decoders.examine(Path('slow.png').read_bytes())\n"
        "asyncio.run(run())\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])},
        stdout=subprocess.PIPE,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == b"ready\n"
    children = psutil.Process(process.pid).children()
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert len(children) == 1
    assert psutil.wait_procs(children, timeout=10)[1] == []
