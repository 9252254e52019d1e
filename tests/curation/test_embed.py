"""The stage embed where the network is on a GPU: processes prepare the images."""

import os
import signal
from pathlib import Path
from typing import NoReturn

import pyarrow as pa
import pytest

from catalog.errors import UserError
from catalog.images import Header, Rgb, encode_png, read_header
from catalog.layout import Layout
from catalog.schemas import embeddings
from catalog.settings.curation import Embed
from catalog.shards import ShardWriter
from catalog.stage import Counts
from catalog.tables import read_table
from curation import embed, preparing
from networks.embedders.mendline_clip import load_mendline_clip
from tests.curation.conftest import picture


def _stored(layout: Layout) -> Layout:
    with ShardWriter(layout.raw / "first" / "shards", max_images=7) as writer:
        for number in range(12):
            data = encode_png(picture(number, 64 + 9 * number, 128))
            writer.add(data, read_header(data), {})
            if number % 5 == 1:
                writer.add(data[:200], Header("PNG", 128, 64, 1, "RGB"), {})
    return layout


def test_processes_that_prepare_change_no_row(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Same vectors to the bit, in the same order, same refusals; this process decodes nothing."""
    embedder = load_mendline_clip()
    monkeypatch.setattr(embed, "_loaded", lambda name: embedder)

    def run(name: str) -> tuple[Counts, pa.Table]:
        layout = _stored(Layout(tmp_path / name))
        counts = embed.run(layout, Embed(batch_size=4))
        return counts, read_table(layout.embeddings, embeddings(embedder.width, "any"))

    monkeypatch.setattr(embedder, "on_gpu", False)
    wanted = run("threads")
    assert wanted[0].dropped == {"broken-image": 3}

    def decoded_here(data: bytes) -> None:
        raise AssertionError("decoded in the process that asks the network")

    monkeypatch.setattr(preparing, "decode", decoded_here)
    monkeypatch.setattr(embedder, "on_gpu", True)
    found = run("processes")
    assert found[0] == wanted[0]
    assert found[1].equals(wanted[1])


def _killed(image: Rgb) -> NoReturn:
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError


def test_a_killed_process_is_named_and_the_next_run_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    embedder = load_mendline_clip()
    monkeypatch.setattr(embed, "_loaded", lambda name: embedder)
    monkeypatch.setattr(embedder, "on_gpu", True)
    layout = _stored(Layout(tmp_path))
    with monkeypatch.context() as broken:
        broken.setattr(embedder, "prepare", _killed)
        with pytest.raises(UserError, match="process"):
            embed.run(layout, Embed(batch_size=4))
    assert not layout.embeddings.exists()
    assert embed.run(layout, Embed(batch_size=4)).rows_out == 12
