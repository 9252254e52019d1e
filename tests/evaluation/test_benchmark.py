"""One benchmark, four ways to have it; and what is wrong with some."""

from pathlib import Path

import datasets
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from catalog import images, schemas
from catalog.degradations import Degradation
from catalog.errors import UserError
from catalog.layout import Layout
from catalog.shards import ShardWriter
from catalog.tables import write_table
from evaluation.benchmark import Benchmark, open_benchmark, read_benchmark, read_task, task_of


def content(benchmark: Benchmark) -> list[tuple[str, str]]:
    return sorted((item.image_id, item.degradation.value) for item in benchmark.items)


def files(folder: Path) -> list[tuple[Path, str]]:
    return [(file, file.parent.name) for file in sorted(folder.rglob("*.png"))]


def test_all_forms_of_a_benchmark_are_the_same_questions(
    benchmark_folder: Path, tmp_path: Path
) -> None:
    known = files(benchmark_folder)
    labels = [task.value for task in Degradation]
    features = datasets.Features(
        {"image": datasets.Image(), "task": datasets.ClassLabel(names=labels)}
    )
    saved = datasets.Dataset.from_dict(
        {
            "image": [{"bytes": file.read_bytes(), "path": None} for file, _ in known],
            "task": [task for _, task in known],
        },
        features=features,
    )
    saved.save_to_disk(str(tmp_path / "hub"))
    saved.to_parquet(str(tmp_path / "one.parquet"))
    (tmp_path / "plain").mkdir()
    for task in labels:  # one file a task, named after it, without a task column
        data = [file.read_bytes() for file, name in known if name == task]
        column = "lq" if task != "rain" else "image"
        pq.write_table(pa.table({column: data}), tmp_path / f"plain/{task}.parquet")

    folders = read_benchmark(benchmark_folder)
    assert len(folders.items) == 36
    for form in ("hub", "one.parquet", "plain"):
        other = read_benchmark(tmp_path / form)
        assert content(other) == content(folders), form
        item = next(i for i in other.items if i.degradation == Degradation.HAZE)
        assert all(images.image_id(other.load(item)) == item.image_id for item in other.items)
        assert other.image(item).shape == (96, 96, 3)


def test_an_image_without_a_class_is_none_of_the_last(
    benchmark_folder: Path, tmp_path: Path
) -> None:
    file, task = files(benchmark_folder)[0]
    labels = datasets.ClassLabel(names=[task, "rain"])
    saved = datasets.Dataset.from_dict(
        {"image": [{"bytes": file.read_bytes(), "path": None}] * 2, "task": [0, -1]},
        features=datasets.Features({"image": datasets.Image(), "task": labels}),
    )
    saved.save_to_disk(str(tmp_path / "hub"))
    saved.to_parquet(str(tmp_path / "one.parquet"))
    for form in ("hub", "one.parquet"):
        with pytest.raises(UserError, match="the class -1, which is none of its 2 classes"):
            read_benchmark(tmp_path / form)


def test_the_digest_follows_the_questions(benchmark_folder: Path, tmp_path: Path) -> None:
    digest = read_benchmark(benchmark_folder).digest
    assert read_benchmark(benchmark_folder).digest == digest
    assert read_benchmark(benchmark_folder, max_side=64).digest != digest
    image = read_benchmark(benchmark_folder, max_side=64)
    assert max(image.image(image.items[0]).shape) == 64
    (tmp_path / "rain").mkdir()
    (tmp_path / "rain/other-name.png").write_bytes(files(benchmark_folder)[0][0].read_bytes())
    alone = read_benchmark(tmp_path).digest
    (tmp_path / "rain/other-name.png").rename(tmp_path / "rain/a.png")
    assert read_benchmark(tmp_path).digest == alone


@pytest.mark.parametrize(
    ("name", "task"),
    [
        ("low_light", "low-light"),
        ("LowLight", "low-light"),
        ("Deblurring", "blur"),
        ("moiré", "moire"),
        ("de-rain", "rain"),
        ("lens flare", "flare"),
        ("snow", None),
    ],
)
def test_names_of_tasks(name: str, task: str | None) -> None:
    assert task_of(name) == task


def test_held_out_images_stand_in_for_an_empty_benchmark(layout: Layout) -> None:
    known = files(layout.benchmark)
    with ShardWriter(layout.raw / "one") as writer:
        keys = [
            (writer.add(file.read_bytes(), images.read_header(file.read_bytes())), task)
            for file, task in known
        ]
    rows = [{"image_id": key, "degradation": task, "group": key} for key, task in keys]
    write_table(layout.dataset / "held-out.parquet", rows, schemas.HELD_OUT)
    given = open_benchmark(layout)
    wanted, picture = content(given), given.image(given.items[0])
    for file, _ in known:
        file.unlink()
    (layout.benchmark / "README.md").write_text("Put images here.")
    held_out = open_benchmark(layout)
    assert held_out.source == "held-out"
    assert content(held_out) == wanted
    same = next(item for item in held_out.items if item.image_id == given.items[0].image_id)
    assert np.array_equal(held_out.image(same), picture)


def test_a_picture_twice_in_a_task_is_one_question(tmp_path: Path, benchmark_folder: Path) -> None:
    data = files(benchmark_folder)[0][0].read_bytes()
    for name in ("rain/a.png", "rain/b.png", "haze/a.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(data)
    assert [item.name for item in read_benchmark(tmp_path).items] == ["haze/a.png", "rain/a.png"]
    assert len(read_task(tmp_path / "rain", Degradation.RAIN).items) == 2


def test_what_is_wrong_is_said(tmp_path: Path, layout: Layout) -> None:
    with pytest.raises(UserError, match="no benchmark at"):
        read_benchmark(tmp_path / "absent")
    (tmp_path / "b/snow").mkdir(parents=True)
    Image.new("RGB", (8, 8)).save(tmp_path / "b/snow/1.png")
    with pytest.raises(UserError, match="snow, which names no degradation"):
        read_benchmark(tmp_path / "b")
    pq.write_table(pa.table({"picture": [b""]}), tmp_path / "c.parquet")
    with pytest.raises(UserError, match="no image column; it has picture"):
        read_benchmark(tmp_path / "c.parquet")
    for file in layout.benchmark.rglob("*.png"):
        file.unlink()
    with pytest.raises(UserError, match="nothing to evaluate on"):
        open_benchmark(layout)


def test_two_images_of_one_name_in_a_task_are_told_apart(
    tmp_path: Path, benchmark_folder: Path
) -> None:
    """As of a dataset whose splits or folders number their images each by itself."""
    first, second, third = (file.read_bytes() for file, _ in files(benchmark_folder)[:3])
    rows = [("a/1.png", first), ("b/1.png", second), ("a/2.png", third)]
    table = pa.table(
        {
            "image": [{"bytes": data, "path": path} for path, data in rows],
            "task": ["rain"] * 3,
        }
    )
    pq.write_table(table, tmp_path / "bench.parquet")
    opened = read_benchmark(tmp_path / "bench.parquet")
    names = {item.name for item in opened.items}
    apart = {f"rain/1-{images.image_id(data)[:12]}.png" for data in (first, second)}
    assert names == apart | {"rain/2.png"}
    for item in opened.items:
        assert images.image_id(opened.load(item)) == item.image_id
