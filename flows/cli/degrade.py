"""`mendline degrade`: degrade one's own clean images."""

import json
from pathlib import Path

import click

from catalog.degradations import Degradation
from catalog.errors import UserError


@click.command()
@click.argument("path", type=click.Path(path_type=Path))
@click.option(
    "--degradation",
    "-d",
    type=click.Choice([d.value for d in Degradation]),
    help="What to do to the images; needed unless --gallery.",
)
@click.option("--seed", default=0, show_default=True, help="Same image and seed, same bytes.")
@click.option(
    "--severity",
    type=click.FloatRange(1, 5),
    help="1 (extreme) to 5 (barely visible); drawn by the seed when not given.",
)
@click.option("--video", is_flag=True, help="PATH is a folder of frames: average them to blur.")
@click.option("--gallery", is_flag=True, help="Write a page of all nine at five severities.")
@click.option(
    "--out", required=True, type=click.Path(path_type=Path, file_okay=False), help="Folder."
)
def degrade(
    path: Path,
    degradation: str | None,
    seed: int,
    severity: float | None,
    video: bool,
    gallery: bool,
    out: Path,
) -> None:
    """Degrade the image PATH, or every image below the folder PATH, into the folder --out.

    Images keep their size and their place below PATH and become PNG files; parameters.jsonl says
    what was drawn for each.
    """
    from flows.cli.folders import image_files

    files = image_files(path)
    if path.is_dir() and out.resolve().is_relative_to(path.resolve()):
        raise UserError(
            f"The folder {out} lies inside {path}.",
            "Name one outside, or the next run would degrade what this one wrote.",
        )
    if gallery:
        from flows.cli.degrade_gallery import write_gallery

        page = write_gallery(files, seed, out)
        click.echo(f"Open {page}")
    elif video:
        _average(files, out)
    elif degradation is None:
        raise UserError("No degradation is named.", "Add --degradation NAME, or --gallery.")
    else:
        _degrade(path, files, Degradation(degradation), seed, severity, out)


def _degrade(
    path: Path,
    files: list[Path],
    degradation: Degradation,
    seed: int,
    severity: float | None,
    out: Path,
) -> None:
    import numpy as np

    from catalog.files import atomic_file
    from catalog.images import encode_png, image_id
    from catalog.progress import track
    from flows.cli.folders import decoded, name_in
    from networks.degraders import load_degrader
    from networks.degraders.seeds import image_seed

    degrader = load_degrader(degradation)
    drawn_by_name = {}
    for file, image in decoded(track(files, "degrade")):
        own = image_seed(seed, image_id(file.read_bytes()), degradation)
        rng = np.random.default_rng(own)
        level = float(rng.uniform(1, 4))
        result, drawn = degrader.degrade_with_parameters(
            image, level if severity is None else severity, rng
        )
        name = f"{name_in(file, path)}.png"
        with atomic_file(out / name) as temporary:
            temporary.write_bytes(encode_png(result))
        drawn_by_name[name] = {"degrader": str(degrader.identity), "seed": own} | drawn
    with atomic_file(out / "parameters.jsonl") as temporary:
        lines = [json.dumps({"file": key} | value) for key, value in drawn_by_name.items()]
        temporary.write_text("".join(f"{line}\n" for line in lines), "utf-8")
    click.echo(f"{len(drawn_by_name)} of {len(files)} images degraded by {degradation}: {out}")


def _average(files: list[Path], out: Path) -> None:
    from catalog.files import atomic_file
    from catalog.images import encode_png
    from flows.cli.folders import decoded
    from networks.degraders.blur import average_frames

    blurred, sharp = average_frames([image for _, image in decoded(iter(files))])
    for name, image in (("blurred.png", blurred), ("sharp.png", sharp)):
        with atomic_file(out / name) as temporary:
            temporary.write_bytes(encode_png(image))
    click.echo(f"{len(files)} frames averaged: {out}/blurred.png, and sharp.png, the middle one")
