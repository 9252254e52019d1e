"""What the demo runs with, and that its work trees are not mixed up."""

import hashlib
import json
from pathlib import Path

import pytest

from catalog.errors import UserError
from catalog.settings import load_params, parse_params
from flows.demo import Source, demo_params, prepare, web_of
from flows.demo_web.site import Size
from flows.template import profile_path

SMALL = Size(clean=1, degraded=1, copies=1, benchmark=1)


def test_the_demo_is_the_profile_with_a_reachable_loopback_and_fewer_steps() -> None:
    mine = parse_params(demo_params("embedded"), "demo").model_dump()
    profile = load_params(profile_path("embedded")).model_dump()
    assert mine["collect"]["allow_addresses"] == ("127.0.0.1/32",)
    assert mine["collect"]["obey_robots"]
    assert {name for name in mine if mine[name] != profile[name]} <= {
        "collect",
        "transfer",
        "finetune",
    }
    for stage in ("transfer", "finetune"):
        changed = {key for key in mine[stage] if mine[stage][key] != profile[stage][key]}
        assert changed <= {"steps", "validate_every", "checkpoint_every"}
        assert mine[stage]["steps"] <= profile[stage]["steps"]


def test_images_of_ones_own_are_collected_with_the_guard_closed(tmp_path: Path) -> None:
    photos = tmp_path / "photos"
    photos.mkdir()
    (photos / "one.jpg").write_bytes(b"looked into later")
    tree = prepare(tmp_path / "tree", Source(folder=photos), "embedded")
    assert load_params(tree.layout.params).collect.allow_addresses == ()


def test_two_sources_are_not_mixed_in_one_work_tree(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "one.jpg").write_bytes(b"looked into later")
    prepare(tmp_path / "tree", Source(folder=tmp_path / "one"), "embedded")
    prepare(tmp_path / "tree", Source(folder=tmp_path / "one"), "embedded")
    with pytest.raises(UserError, match="--workspace"):
        prepare(tmp_path / "tree", Source(folder=tmp_path / "two"), "embedded")


def test_the_benchmark_is_laid_out_and_urls_stay_the_same(tmp_path: Path) -> None:
    tree = prepare(tmp_path / "tree", Source(), "embedded")
    with web_of(tree, SMALL) as urls:
        first = urls.read_text()
    assert len(list(tree.layout.benchmark.glob("*/*.png"))) == 9
    with web_of(tree, SMALL) as urls:
        assert urls.read_text() == first
    assert not tree.git("status", "--porcelain")


def test_what_cannot_be_run_is_refused_before_anything_is_made_or_changed(tmp_path: Path) -> None:
    root, urls = tmp_path / "tree", tmp_path / "list.txt"
    urls.write_text("# none yet\n")
    with pytest.raises(UserError, match="holds no URLs"):
        prepare(root, Source(urls=urls), "embedded")
    assert not root.exists()
    urls.write_text("https://example.org/one.jpg\n")
    tree = prepare(root, Source(urls=urls), "embedded")
    head = tree.head()
    settings = tree.layout.params
    mine = settings.read_text().replace("user_agent:", "user_agnt:")
    settings.write_text(mine)
    with pytest.raises(UserError, match="did you mean user_agent"):
        prepare(root, Source(urls=urls), "embedded")
    assert settings.read_text() == mine
    assert tree.head() == head


def test_settings_of_an_older_version_that_nobody_edited_are_brought_up_to_date(
    tmp_path: Path,
) -> None:
    text = demo_params("embedded")
    tree = prepare(tmp_path / "tree", Source(), "embedded", text)
    older = text + "nothing_knows_this: 1\n"
    tree.layout.params.write_text(older)
    mark = json.loads((tree.state / "workspace.json").read_text())
    mark["files"]["params.yaml"] = hashlib.sha256(older.encode()).hexdigest()
    (tree.state / "workspace.json").write_text(json.dumps(mark))
    prepare(tmp_path / "tree", Source(), "embedded", text)
    assert tree.layout.params.read_text() == text
