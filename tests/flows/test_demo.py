"""What the demo runs with, and that its work trees are not mixed up."""

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
    (tmp_path / "photos").mkdir()
    tree = prepare(tmp_path / "tree", Source(folder=tmp_path / "photos"), "embedded")
    assert load_params(tree.layout.params).collect.allow_addresses == ()


def test_two_sources_are_not_mixed_in_one_work_tree(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
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
