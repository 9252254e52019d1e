"""What a takedown enters: all that is known of the image, whatever else goes on or is broken."""

import io
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from web import Web, photo, png_bomb, serve_photos

from catalog import schemas
from catalog.blocked import blocked_ids
from catalog.blocklist import read_blocklist
from catalog.errors import UserError
from catalog.images import image_id
from catalog.layout import Layout
from catalog.settings.collect import Collect
from catalog.shards import ShardStore
from catalog.tables import read_table
from curation.collect.examine import perceptual_hash
from curation.collect.run import collect
from curation.collect.takedown import take_down

TAKE_DOWN = """
import sys
from pathlib import Path
from catalog.layout import Layout
from curation.collect.takedown import take_down
layout = Layout(Path(sys.argv[1]))
take_down(sys.argv[2] + "first", "asked", layout)
print("ready", flush=True)
sys.stdin.read(1)
for number in range(20):
    take_down(sys.argv[2] + str(number), "asked", layout)
"""


def test_what_was_taken_down_does_not_come_back(
    web: Web, settings: Collect, layout: Layout, url_list: Callable[..., Any], tmp_path: Path
) -> None:
    urls = serve_photos(web, 3)
    collect([url_list(*urls)], layout, settings)
    by_url = take_down(urls[0], "asked by its maker", layout)
    assert by_url.found == [image_id(photo(0))]
    by_id = take_down(image_id(photo(1)), "a face", layout)
    assert by_id.found == [image_id(photo(1))]
    (tmp_path / "file.png").write_bytes(photo(20, "PNG"))
    assert take_down(str(tmp_path / "file.png"), "stolen", layout).found == []
    rows = read_table(layout.blocklist, schemas.BLOCKLIST).to_pylist()
    assert {row["kind"] for row in rows} == {"url", "image_id", "phash"}
    assert take_down(urls[0], "again", layout).added == 0

    elsewhere = [
        urls[0] + "#again",
        web.serve("/moved/0.jpg", photo(0)),
        web.serve("/re-encoded/1.jpg", photo(1, quality=60)),
        web.serve("/other/20.jpg", photo(20)),
        web.serve("/hop", b"", 302, Location="/1.jpg"),
        web.serve("/new.jpg", photo(30)),
    ]
    fresh = Layout(tmp_path / "other")
    fresh.blocklist.parent.mkdir(parents=True)
    fresh.blocklist.write_bytes(layout.blocklist.read_bytes())
    summary = collect([url_list(*elsewhere)], fresh, settings)
    assert summary.outcomes == {"blocked": 5, "stored": 1}
    assert ShardStore(fresh.raw).ids() == [image_id(photo(30))]


def test_takedown_refuses_what_is_nothing(layout: Layout) -> None:
    for what, reason in (("no-such-thing", "why"), ("http://a/b.jpg", "  ")):
        with pytest.raises(UserError):
            take_down(what, reason, layout)
    assert not layout.blocklist.exists()


def test_takedowns_at_the_same_time_are_all_kept(layout: Layout) -> None:
    bases = ["http://a.test/", "http://b.test/"]
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", TAKE_DOWN, str(layout.root), base],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for base in bases
    ]
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("g")
        process.stdin.flush()
    for process in processes:
        process.communicate()
        assert process.returncode == 0
    names = ["first", *map(str, range(20))]
    assert read_blocklist(layout.blocklist).urls == {
        base + name for base in bases for name in names
    }
    assert [path.name for path in layout.blocklist.parent.iterdir()] == ["blocklist.parquet"]


@pytest.mark.parametrize(("path", "scheme"), [("/1.jpg", "http"), ("/hop", "https")])
def test_a_url_that_led_to_an_image_or_has_the_other_scheme_takes_the_image_down(
    web: Web,
    settings: Collect,
    layout: Layout,
    url_list: Callable[..., Any],
    path: str,
    scheme: str,
) -> None:
    web.serve("/1.jpg", photo(1))
    asked = web.serve("/hop", b"", 302, Location="/1.jpg")
    collect([url_list(asked, web.serve("/2.jpg", photo(2)))], layout, settings)
    given = f"{scheme}{web.base.removeprefix('http')}{path}"
    done = take_down(given, "asked by its maker", layout)
    assert done.image_ids == done.found == [image_id(photo(1))]
    blocklist = read_blocklist(layout.blocklist)
    assert blocklist.image_ids == {image_id(photo(1))}
    assert blocklist.phashes == (perceptual_hash(photo(1)),)
    assert blocklist.urls == {given, asked}


def _lose(path: Path) -> None:
    path.unlink()


def _truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-20])


@pytest.mark.parametrize("by_url", [True, False], ids=["url", "id"])
@pytest.mark.parametrize(
    ("name", "damage"),
    [
        ("outcomes.parquet", _lose),
        ("outcomes.parquet", _truncate),
        ("shard-00000.parquet", _truncate),
    ],
)
def test_a_damaged_snapshot_keeps_no_takedown_off_the_blocklist(
    web: Web,
    settings: Collect,
    layout: Layout,
    url_list: Callable[..., Any],
    name: str,
    damage: Callable[[Path], None],
    by_url: bool,
) -> None:
    url, key = web.serve("/1.jpg", photo(1)), image_id(photo(1))
    collect([url_list(url)], layout, settings)
    (path,) = layout.raw.rglob(name)
    whole = path.read_bytes()
    damage(path)
    what = url if by_url else key
    with pytest.raises(UserError, match=f"itself is on the blocklist now.*{name}") as caught:
        take_down(what, "a face", layout)
    assert "run the same command again" in caught.value.remedy
    blocklist = read_blocklist(layout.blocklist)
    assert blocklist.blocks_url(what) if by_url else blocklist.image_ids == {key}

    path.write_bytes(whole)
    assert take_down(what, "a face", layout).found == [key]
    blocklist = read_blocklist(layout.blocklist)
    assert blocklist.urls == {url}
    assert blocklist.image_ids == {key}
    assert blocklist.phashes == (perceptual_hash(photo(1)),)


def test_who_leaves_out_what_is_blocked_does_not_pass_over_a_snapshot_that_lost_its_table(
    web: Web, settings: Collect, layout: Layout, url_list: Callable[..., Any]
) -> None:
    url = web.serve("/1.jpg", photo(1))
    collect([url_list(url)], layout, settings)
    take_down(url, "a face", layout)
    assert blocked_ids(layout, 0) == {image_id(photo(1))}
    (path,) = layout.raw.rglob("outcomes.parquet")
    path.unlink()
    with pytest.raises(UserError, match=r"outcomes\.parquet"):
        blocked_ids(layout, 0)


def _jpeg_with_a_comment_beyond_its_end() -> bytes:
    return photo(7).removesuffix(b"\xff\xd9") + b"\xff\xfe\xff\xff"


@pytest.mark.parametrize(
    ("make", "ids"),
    [
        (lambda: photo(7, "TIFF", tiffinfo={271: "Camera", 306: "2026:01:01 10:00:00"}), 1),
        (lambda: photo(7, size=(8400, 6300), comment=b"mine"), 2),  # as it is, and cut
        (_jpeg_with_a_comment_beyond_its_end, 1),
    ],
    ids=["tiff-with-exif", "53-megapixels", "broken-container"],
)
def test_an_original_that_would_not_be_collected_blocks_its_copies(
    web: Web,
    settings: Collect,
    layout: Layout,
    url_list: Callable[..., Any],
    tmp_path: Path,
    make: Callable[[], bytes],
    ids: int,
) -> None:
    original = tmp_path / "original"
    original.write_bytes(make())
    done = take_down(str(original), "mine", layout)
    assert image_id(original.read_bytes()) in done.image_ids
    assert len(done.image_ids) == ids
    copy = Image.open(original)
    copy.thumbnail((320, 320))
    buffer = io.BytesIO()
    Image.fromarray(np.asarray(copy)).save(buffer, "PNG")
    urls = [web.serve("/copy.png", buffer.getvalue()), web.serve("/8.jpg", photo(8))]
    assert collect([url_list(*urls)], layout, settings).outcomes == {"blocked": 1, "stored": 1}


def test_a_file_without_pixels_or_with_too_many_is_refused(layout: Layout, tmp_path: Path) -> None:
    for content, remedy in (
        (photo(1)[:200], "Give an image file"),
        (b"no image", "Give an image file"),
        (png_bomb(10_000), "scaled down to 89,000,000 pixels"),
    ):
        (tmp_path / "file").write_bytes(content)
        with pytest.raises(UserError, match="file: The ") as caught:
            take_down(str(tmp_path / "file"), "mine", layout)
        assert remedy in caught.value.remedy
    assert not layout.blocklist.exists()


def test_a_damaged_blocklist_is_not_to_be_deleted(tmp_path: Path) -> None:
    layout = Layout(tmp_path)
    take_down("http://a.example/1.jpg", "asked by its maker", layout)
    layout.blocklist.write_bytes(layout.blocklist.read_bytes()[:-20])
    with pytest.raises(UserError, match=r"blocklist\.parquet cannot be read") as caught:
        take_down("http://a.example/2.jpg", "asked by its maker", layout)
    assert "Delete" not in caught.value.remedy
    assert "git checkout" in caught.value.remedy
