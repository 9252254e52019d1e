"""`mendline screen`, `judge` and `restore` on a plain folder with good and bad files."""

import html
import io
import os
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image
from skimage import data

from catalog.degradations import Degradation
from catalog.images import Rgb
from curation.screen.rules import REFUSED, RULES
from curation.screen.sheet import ContactSheet
from flows.cli import main
from flows.cli.screen import _verdict
from networks.judges.proxy.judge import ProxyJudge
from networks.judges.vlm import server
from tests.evaluation.browser import CHROMIUM, chromium


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    photo = Image.fromarray(data.coffee())
    (tmp_path / "in/deep").mkdir(parents=True)
    inside = tmp_path / "in"
    photo.save(inside / "photo.jpg", quality=95)
    Image.fromarray((data.coffee() * 0.1).astype(np.uint8)).save(inside / "deep/dark.png")
    photo.convert("CMYK").save(inside / "cmyk.jpg")
    photo.convert("L").save(inside / "grey.png")
    photo.convert("P").save(inside / "palette.gif")
    photo.convert("RGBA").save(inside / "transparent.webp")
    photo.save(inside / "animated.gif", save_all=True, append_images=[photo.rotate(90)])
    Image.fromarray(np.asarray(photo.convert("L")).astype(np.uint16) * 257).save(
        inside / "deep16.png"
    )
    photo.crop((0, 0, 1, 1)).save(inside / "speck.png")
    buffer = io.BytesIO()
    photo.save(buffer, "JPEG")
    (inside / "broken.jpg").write_bytes(buffer.getvalue()[:2000])
    (inside / "page.jpg").write_text("<html></html>")
    Image.new("1", (12000, 9000)).save(inside / "huge.png")
    return inside


def _run(*arguments: str) -> int:
    with pytest.raises(SystemExit) as ended:
        main([str(argument) for argument in arguments])
    return int(ended.value.code or 0)


def test_screen_gives_each_file_a_row_and_each_bad_one_a_reason(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (folder / "<b>&.png").write_bytes((folder / "grey.png").read_bytes())
    sheet = tmp_path / "s.html"
    assert _run("screen", folder, "--out", tmp_path / "t.parquet", "--sheet", sheet) == 0
    page = sheet.read_text()
    assert page.count("<figure>") == 13
    assert "degraded: low-light" in page
    assert "&lt;b&gt;&amp;.png" in page
    assert "<b>" not in page
    rows = {row["path"]: row for row in pq.read_table(tmp_path / "t.parquet").to_pylist()}
    assert len(rows) == 13
    assert rows["broken.jpg"]["reason"] == "broken-image"
    assert rows["page.jpg"]["reason"] == "not-an-image"
    assert rows["huge.png"]["reason"] == "too-many-pixels"
    assert all(html.escape(why) in page for why in REFUSED.values())
    assert rows["speck.png"]["reason"] == "too-small"
    assert rows["deep/dark.png"]["degradation"] == "low-light"
    assert rows["deep/dark.png"]["verdict"] == "degraded"
    for name in ("cmyk.jpg", "grey.png", "palette.gif", "transparent.webp", "animated.gif"):
        assert rows[name]["severity"] is not None
    same = rows["grey.png"]["scores"], rows["deep16.png"]["scores"]
    assert dict(same[0]) == pytest.approx(dict(same[1]), abs=0.05)


def test_the_sheet_shows_what_decided(tmp_path: Path) -> None:
    row = {"verdict": "clean", "reason": "clean", "degradation": "noise", "severity": 2.3}
    sheet = ContactSheet()
    sheet.add("a.jpg", None, row | {"scores": {"presence/noise": 4.6, "severity/noise": 2.3}})
    sheet.write(tmp_path / "s.html")
    page = (tmp_path / "s.html").read_text()
    assert '<bdi title="a.jpg">a.jpg</bdi>noise 4.6<' in page
    assert '<a href="#0">clean (1)</a>' in page
    assert html.escape(RULES["clean"]) in page


@pytest.mark.skipif(CHROMIUM is None, reason="chromium is not on this machine")
@pytest.mark.parametrize("width", [390, 1280])
def test_the_sheet_fits_a_telephone_and_a_desk(tmp_path: Path, width: int) -> None:
    sheet = ContactSheet()
    row = {"verdict": "drop", "reason": "blank", "degradation": None, "scores": {}}
    for name in ("a.png", "x" * 300, "\u202egnp.exe", '"><script>document.title=1</script>'):
        sheet.add(name, data.coffee(), row)
    sheet.add("broken.jpg", None, row)
    sheet.write(tmp_path / "s.html")
    with chromium(tmp_path / "browser") as page:
        page.send("Page.enable")
        size = {"width": width, "height": 800, "deviceScaleFactor": 1}
        page.send("Emulation.setDeviceMetricsOverride", mobile=width < 500, **size)
        page.send("Page.navigate", url=f"file://{tmp_path}/s.html")
        page.wait_for("Page.loadEventFired")
        assert page.run("[innerWidth, document.documentElement.scrollWidth]") == [width, width]
        assert page.run("document.title") == "Screening"
        # Two in a row on the telephone; a long name takes three lines.
        tops = page.run("[...document.querySelectorAll('figure')].map(f => f.offsetTop)")
        assert tops.count(tops[0]) == (2 if width == 390 else 5)
        heights = page.run("[...document.querySelectorAll('bdi')].map(b => b.offsetHeight)")
        assert max(heights) < 60


def test_what_is_printed_is_what_decided() -> None:
    row = {"path": "a.jpg", "verdict": "clean", "reason": "clean", "degradation": "noise"}
    scores = {"presence/noise": 4.6, "severity/noise": 2.3}
    said = _verdict(row | {"severity": 2.3, "scores": scores})
    assert said == "a.jpg  clean (clean)  noise 4.6"
    scores |= {"presence/haze": 4.7, "severity/haze": 2.1}
    said = _verdict(row | {"verdict": "drop", "reason": "traces", "scores": scores})
    assert said == "a.jpg  drop (traces)  haze 2.1"
    others = {"form/collage": 0.814, "quality/side": 96.0, "watermark": 0.2}
    for reason, number in (("collage", "collage 0.814"), ("too-small", "side 96")):
        said = _verdict(row | {"verdict": "drop", "reason": reason, "scores": scores | others})
        assert said == f"a.jpg  drop ({reason})  {number}"
    said = _verdict(row | {"reason": "prompt", "scores": {}})
    assert said == "a.jpg  clean (prompt)  noise"
    assert _verdict(row | {"degradation": None, "scores": {}}) == "a.jpg  clean (clean)"


def test_judge_names_what_failed(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "j.parquet"
    assert _run("judge", folder, "-d", "low-light", "--out", out) == 0
    rows = {row["path"]: row for row in pq.read_table(out).to_pylist()}
    assert rows["deep/dark.png"]["severity"] < rows["photo.jpg"]["severity"]
    assert "too small" in rows["speck.png"]["failure"]
    assert "not an image" in rows["page.jpg"]["failure"]
    assert _run("judge", folder / "photo.jpg") == 0
    assert len(capsys.readouterr().out.splitlines()) == 10


def test_judge_ends_where_no_server_answers(
    folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("MENDLINE_JUDGE_CACHE", str(tmp_path / "answers.sqlite"))
    monkeypatch.setattr(server, "Patience", partial(server.Patience, attempts=1))
    out = tmp_path / "j.parquet"
    assert _run("judge", folder, "--judge", "openai:m@http://127.0.0.1:9/v1", "--out", out) == 1
    assert "16 questions in a row" in capsys.readouterr().err
    assert not out.exists()


def test_restore_keeps_size_and_place(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert _run("restore", folder, "-d", "low-light", "--out", out) == 0
    restored = Image.open(out / "deep/dark.png.png")
    assert restored.size == (600, 400)
    assert np.asarray(restored).mean() > 2 * (data.coffee() * 0.1).mean()
    assert not (out / "broken.jpg.png").exists()
    assert len(list(out.rglob("*.png"))) == 9


def test_names_that_are_no_text_are_written_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "in").mkdir()
    for name in (b"caf\xe9.png", b"caf\xea.png"):
        Image.fromarray(data.coffee()).save(os.fsdecode(os.fsencode(tmp_path / "in") + b"/" + name))
    for command in (("screen", "--sheet", "s.html"), ("judge", "-d", "rain"), ("dedupe",)):
        assert _run(command[0], "in", "--out", "t.parquet", *command[1:]) == 0
        rows = pq.read_table("t.parquet").to_pylist()
        assert [row["path"] for row in rows] == ["caf\\xe9.png", "caf\\xea.png"], command
    assert "caf\\xe9.png" in Path("s.html").read_text()


@pytest.mark.parametrize("command", ["judge", "screen"])
def test_images_go_to_the_judge_together(
    command: str, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    sizes: list[int] = []
    judge = ProxyJudge.judge

    def counted(self: ProxyJudge, images: Sequence[Rgb], degradation: Degradation) -> Any:
        sizes.append(len(images))
        return judge(self, images, degradation)

    monkeypatch.setattr(ProxyJudge, "judge", counted)
    assert _run(command, folder, "--out", "t.parquet") == 0
    # Twelve files, of which three are refused; nine degradations.
    assert sizes == [9] * 9


@pytest.mark.parametrize(
    "arguments",
    [
        ("restore", "in", "-d", "moire", "--out", "out"),
        ("restore", "in", "-d", "blur", "--out", "in/out"),
        ("restore", "in", "-d", "blur", "--restorer", "nothing", "--out", "out"),
        ("screen", "nowhere", "--out", "t.parquet"),
        ("judge", "empty", "--out", "t.parquet"),
    ],
)
def test_what_cannot_be_done_ends_in_words(
    arguments: tuple[str, ...],
    folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path)
    assert _run(*arguments) == 1
    said = capsys.readouterr().err
    assert "Traceback" not in said
    assert len(said.strip().splitlines()) >= 2
    assert not (tmp_path / "t.parquet").exists()


def test_explain_names_the_rule_and_every_score(
    folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert _run("screen", folder / "deep/dark.png", "--explain") == 0
    said = capsys.readouterr().out
    assert "dark.png: degraded, by rule severity" in said
    assert "* low-light" in said
    assert said.count("present at") == 9
    assert "watermark" in said
    assert all(f"{form} " in said for form in ("border", "collage", "screenshot", "drawing"))
