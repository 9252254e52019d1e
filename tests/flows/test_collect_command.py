"""What `mendline collect` says of failures, and what it advises."""

import io
from pathlib import Path

import numpy as np
import pytest
from warcio.statusandheaders import StatusAndHeaders
from warcio.warcwriter import WARCWriter

from catalog import schemas
from catalog.images import encode_png
from catalog.tables import read_table, write_table
from flows.cli import main

ROOT = Path(__file__).parents[2]


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, a work tree without any image."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "params.yaml").write_text((ROOT / "profiles/embedded.yaml").read_text())
    return tmp_path


def _photo(seed: int) -> bytes:
    rng = np.random.default_rng(seed)
    return encode_png(rng.integers(0, 256, (160, 200, 3), np.uint8))


def _run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str]:
    """The status and all that is said, its lines joined."""
    with pytest.raises(SystemExit) as ended:
        main(["collect", *arguments])
    said = capsys.readouterr()
    return int(ended.value.code or 0), " ".join((said.out + said.err).split())


def test_retrying_without_a_snapshot_does_not_speak_of_one(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (here / "urls.txt").write_text("no address")
    status, said = _run(capsys, "--urls", "urls.txt")
    assert (status, "run the same command again" in said) == (1, True)
    status, said = _run(capsys, "--retry-failed")
    assert (status, "tried anew by its own command" in said) == (1, True)
    status, said = _run(capsys, "--urls", "urls.txt", "--retry-failed")
    assert (status, "Nothing to try again" in said) == (0, True)
    assert "earlier snapshot" not in said


def test_records_of_an_archive_are_named_with_the_command_that_reads_them(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with (here / "crawl.warc").open("wb") as file:
        writer = WARCWriter(file, gzip=False)
        for n in range(2):
            answer = StatusAndHeaders("200 OK", [("Content-Type", "image/png")], "HTTP/1.1")
            record = writer.create_warc_record(
                f"http://127.0.0.1:9/{n}.png",
                "response",
                payload=io.BytesIO(_photo(n)),
                http_headers=answer,
            )
            writer.write_record(record)
    advice = "`mendline collect --warc FILE --retry-failed`"
    status, said = _run(capsys, "--warc", "crawl.warc")
    assert (status, "2 new images" in said, advice in said) == (0, True, False)
    (table,) = (here / "data/raw").glob("*/outcomes.parquet")
    rows = read_table(table, schemas.OUTCOMES).to_pylist()
    rows[1] |= {"outcome": "out-of-time", "retryable": True, "image_id": None}
    write_table(table, rows, schemas.OUTCOMES)

    status, said = _run(capsys, "--warc", "crawl.warc")
    assert (status, advice in said, "`mendline collect --retry-failed`" in said) == (0, True, False)
    status, said = _run(capsys, "--retry-failed")
    assert (status, advice in said, "not tried, in-an-archive: 1" in said) == (0, True, True)
    assert "Nothing new" not in said
    status, said = _run(capsys, "--warc", "crawl.warc", "--retry-failed")
    assert (status, "not tried, not-a-failure: 1" in said, advice in said) == (0, True, False)


def test_nothing_to_retry_is_no_fault(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (here / "photos").mkdir()
    (here / "photos/a.png").write_bytes(_photo(1))
    assert _run(capsys, "--folder", "photos")[0] == 0
    status, said = _run(capsys, "--retry-failed")
    assert (status, "Nothing to try again" in said) == (0, True)
    assert list((here / "data/collecting").glob("*/")) == []
