"""Recall by transformation, precision on hard negatives, groups and keepers."""

import numpy as np
import pytest

from catalog.images import decode
from catalog.settings.curation import Deduplicate
from curation.deduplicate.contamination import contaminated
from curation.deduplicate.duplicates import find_matches, group, rows
from curation.deduplicate.memory import Memory
from curation.deduplicate.prints import Prints
from curation.deduplicate.verify import Match
from tests.curation.deduplicate.photos import (
    KEEP_FRAME,
    MOVE_FRAME,
    blur,
    crop,
    dark,
    jpeg,
    noise,
    photos,
    prints_of,
    resize,
)

SETTINGS = Deduplicate(local_features_up_to=0)
LOCAL = Deduplicate()


def _table(encoded: list[bytes], settings: Deduplicate = SETTINGS) -> list[dict]:
    prints = prints_of(encoded)
    return rows(prints, group(prints, find_matches(prints, settings), settings), settings)


def _rows(prints: Prints, matches: list[Match]) -> list[dict]:
    return rows(prints, group(prints, matches, SETTINGS), SETTINGS)


@pytest.mark.parametrize("name", [*KEEP_FRAME, *MOVE_FRAME])
def test_a_copy_is_grouped_with_its_photo_and_with_no_other(name: str) -> None:
    change = (KEEP_FRAME | MOVE_FRAME)[name]
    count = len(photos())
    table = _table([jpeg(photo) for photo in photos()] + [change(photo) for photo in photos()])
    together = [table[i]["group"] == table[count + i]["group"] for i in range(count)]
    groups = [
        {i % count for i, row in enumerate(table) if row["group"] == key["group"]} for key in table
    ]
    assert all(len(members) == 1 for members in groups), "different photos share a group"
    assert sum(together) >= count - 1, f"only {sum(together)} of {count} copies were found"


def test_different_crops_of_one_photo_are_not_copies_of_one_another() -> None:
    """The two halves overlap by less than half; both overlap the photo by more."""
    for photo in photos()[:4]:
        left, right = crop(photo, 0, 0, 0.6, 1), crop(photo, 0.4, 0, 1, 1)
        table = _table([jpeg(photo), jpeg(left), jpeg(right)], LOCAL)
        assert table[1]["group"] != table[2]["group"]


def test_different_photos_in_one_frame_are_different() -> None:
    change = MOVE_FRAME["pad 20 % black"]
    table = _table([change(photo) for photo in photos()], LOCAL)
    assert len({row["group"] for row in table}) == len(photos())


def test_plain_images_are_not_all_one() -> None:
    plain = [jpeg(np.full((100, 150, 3), level, np.uint8)) for level in (0, 60, 200)]
    table = _table([*plain, jpeg(photos()[0])], LOCAL)
    assert len({row["group"] for row in table}) == 4


def test_the_keeper_is_the_largest_then_the_best_encoded() -> None:
    photo = photos()[0]
    encoded = [jpeg(resize(photo, 0.5), 95), jpeg(photo, 40), jpeg(photo, 90)]
    table = _table(encoded)
    assert [row["keeper"] for row in table] == [False, False, True]
    assert {row["relation"] for row in table[:2]} == {"copy"}
    assert all(row["group"] == table[2]["image_id"] for row in table)
    assert all(row["reason"] == "perceptual" and row["similarity"] > 0.9 for row in table[:2])
    assert table[2]["reason"] is None


@pytest.mark.parametrize(
    "degrade",
    [lambda x: blur(x, 3), lambda x: noise(x, 25), dark],
    ids=["blur", "noise", "low-light"],
)
def test_a_degraded_version_is_a_variant_and_its_own_copy_goes(degrade) -> None:  # type: ignore[no-untyped-def]
    found = []
    for photo in photos()[:4]:
        worse = degrade(photo)
        table = _table([jpeg(photo, 95), jpeg(worse, 90), jpeg(worse, 80)])
        found.append(sorted(row["relation"] for row in table))
    assert found.count(["copy", "keeper", "variant"]) >= 3, found


def test_copies_that_differ_in_encoding_size_or_crop_are_no_variants() -> None:
    names = ("quality 70", "half size", "mirror", "watermark", "crop 5 %")
    for name in names:
        change = (KEEP_FRAME | MOVE_FRAME)[name]
        relations = [_table([jpeg(photo, 92), change(photo)])[1] for photo in photos()[:4]]
        assert sum(row["relation"] == "variant" for row in relations) <= 1, name


def test_a_chain_of_likeness_makes_no_group() -> None:
    """A slides into C by steps each of which is a copy of the next."""
    photo = photos()[2]
    windows = [crop(photo, start, 0, start + 0.5, 1) for start in (0, 0.1, 0.2, 0.3, 0.4, 0.5)]
    table = _table([jpeg(window) for window in windows], LOCAL)
    assert table[0]["group"] != table[5]["group"]


def test_a_new_snapshot_gives_the_groups_of_a_run_from_scratch(tmp_path) -> None:  # type: ignore[no-untyped-def]
    first = [jpeg(photo) for photo in photos()[:6]]
    second = [KEEP_FRAME["half size"](photo) for photo in photos()[3:8]]
    old, both = prints_of(first), prints_of(first + second)
    find_matches(old, SETTINGS, Memory(tmp_path, "key"))
    memory = Memory(tmp_path, "key")
    assert memory.ids == set(old.ids)
    later = find_matches(both, SETTINGS, memory)
    scratch = find_matches(both, SETTINGS)
    assert [(match.a, match.b) for match in later] == [(match.a, match.b) for match in scratch]
    assert _rows(both, later) == _rows(both, scratch)
    assert Memory(tmp_path, "key").ids == set(both.ids)


def test_what_was_compared_once_is_not_compared_again(tmp_path, monkeypatch) -> None:  # type: ignore[no-untyped-def]
    from curation.deduplicate import verify

    prints = prints_of([jpeg(photo) for photo in photos()[:5]] + [jpeg(photos()[0], 70)])
    found = find_matches(prints, SETTINGS, Memory(tmp_path, "key"))
    monkeypatch.setattr(verify, "align", None)  # calling it would fail
    again = find_matches(prints, SETTINGS, Memory(tmp_path, "key"))
    assert [(m.a, m.b, m.similarity) for m in again] == [(m.a, m.b, m.similarity) for m in found]


def test_degraded_crops_of_benchmark_photos_are_found_and_others_are_not() -> None:
    chosen, others = photos()[:5], photos()[5:]
    benchmark = prints_of([jpeg(blur(photo, 1)) for photo in chosen])
    crops = [jpeg(dark(crop(photo, 0.25, 0.05, 0.95, 0.8))) for photo in chosen]
    exact = jpeg(blur(chosen[0], 1))
    collected = prints_of([*crops, *(jpeg(photo) for photo in others), exact])
    names = [f"blur/{n}.png" for n in range(5)]
    table = contaminated(collected, benchmark, names, LOCAL)
    by_id = {row["image_id"]: row for row in table}
    found = [
        by_id.get(key, {}).get("benchmark_name") == names[n]
        for n, key in enumerate(collected.ids[:5])
    ]
    assert sum(found) >= 4
    assert not set(collected.ids[5:10]) & set(by_id)
    assert by_id[collected.ids[10]]["reason"] == "exact"


def test_an_empty_benchmark_and_an_empty_collection_give_empty_tables() -> None:
    none, some = prints_of([]), prints_of([jpeg(photos()[0])])
    assert contaminated(some, none, [], LOCAL) == []
    assert contaminated(none, some, ["a"], LOCAL) == []
    assert _table([]) == []


def test_plain_photos_that_agree_only_roughly_are_different() -> None:
    """Two skies: their coarse layout is one, their fine structure is each its own."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[0:240, 0:320] / 240.0
    encoded = []
    for _ in range(4):
        sky = 120 + 90 * y + 12 * np.cos(2.5 * x)
        clouds = [blur(rng.normal(0, 40 * s, (240, 320)).astype(np.float32), s) for s in (1, 2, 4)]
        sky = np.clip(sky + sum(clouds), 0, 255).astype(np.uint8)
        encoded.append(jpeg(np.repeat(sky[:, :, None], 3, axis=2), 90))
    halves = [jpeg(resize(decode(data), 0.5), 80) for data in encoded]
    table = _table([*encoded, *halves])
    assert len({row["group"] for row in table[:4]}) == 4
    assert [row["group"] for row in table[4:]] == [row["group"] for row in table[:4]]


def test_the_same_text_on_different_photos_makes_no_pair() -> None:
    change = KEEP_FRAME["text"]
    table = _table([change(photo) for photo in photos()], LOCAL)
    assert len({row["group"] for row in table}) == len(photos())


def test_a_crowd_of_copies_is_one_group_though_each_has_few_neighbours() -> None:
    photo = resize(photos()[2], 0.6)
    crowd = [jpeg(photo, quality) for quality in range(71, 95)]
    settings = Deduplicate(local_features_up_to=0, max_neighbours=3, max_hamming=0)
    table = _table([*crowd, jpeg(photos()[3])], settings)
    assert len({row["group"] for row in table[:-1]}) == 1
    assert table[-1]["keeper"]


def test_variants_go_where_the_setting_says_so() -> None:
    photo = photos()[0]
    encoded = [jpeg(photo, 95), jpeg(blur(photo, 4), 90)]
    settings = Deduplicate(local_features_up_to=0, keep_variants=False)
    assert [row["relation"] for row in _table(encoded)] == ["keeper", "variant"]
    assert [row["relation"] for row in _table(encoded, settings)] == ["keeper", "copy"]
