"""`mendline degrade`: degrade one's own clean images."""

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from catalog.degradations import Degradation
from catalog.errors import UserError
from catalog.settings.pairs import PATTERNED
from flows.cli.out import OUT_FOLDER

if TYPE_CHECKING:
    from networks.degraders.base import RecordingDegrader

_MOST_FRAMES = 121
"""Half a second at 240 frames a second."""

PARAMETERS = "parameters.jsonl"


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
@click.option(
    "--video", is_flag=True, help="PATH is a video or a folder of frames: average them to blur."
)
@click.option(
    "--patterns",
    type=click.Path(path_type=Path, file_okay=False),
    help="Folder of photographed flares, fog or rain to blend in.",
)
@click.option("--device", help="Compute pixels on this device of torch, such as cuda:0.")
@click.option("--gallery", is_flag=True, help="Write a page of all nine at five severities.")
@click.option("--out", required=True, type=OUT_FOLDER, help="Folder.")
def degrade(
    path: Path,
    degradation: str | None,
    seed: int,
    severity: float | None,
    video: bool,
    patterns: Path | None,
    device: str | None,
    gallery: bool,
    out: Path,
) -> None:
    """Degrade the image PATH, or every image below the folder PATH, into the folder --out.

    Images keep their size and their place below PATH and become PNG files; parameters.jsonl says
    what was drawn for each.

    Interrupted or killed, the same command goes on where it was: what is in --out already is made
    again only where the image or a setting is another. A file in --out that this command did not
    write is never overwritten by a degraded image.
    """
    from flows.cli.folders import image_files

    if video:
        _average(path, out)
        return
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
    elif degradation is None:
        raise UserError("No degradation is named.", "Add --degradation NAME, or --gallery.")
    else:
        degrader = _load(Degradation(degradation), patterns, device)
        _degrade(path, files, degrader, seed, severity, out)


def _load(
    degradation: Degradation, patterns: Path | None, device: str | None
) -> "RecordingDegrader":
    from networks.degraders import load_degrader
    from networks.degraders.sources import load_sources

    if patterns is not None and degradation not in PATTERNED:
        raise UserError(
            f"No patterns are blended for {degradation}.",
            f"Leave --patterns out; it is for {', '.join(sorted(PATTERNED))}.",
        )
    sources = load_sources(patterns={degradation: patterns} if patterns else None)
    plain = load_degrader(degradation, sources=sources)
    if device is None:
        return plain
    from networks.degraders.tensors import TensorDegrader

    return TensorDegrader(plain, device)


def _degrade(
    path: Path,
    files: list[Path],
    degrader: "RecordingDegrader",
    seed: int,
    severity: float | None,
    out: Path,
) -> None:
    import numpy as np

    from catalog.progress import track
    from flows.cli.folders import no_image_in
    from flows.cli.written import result_name, written
    from networks.degraders.seeds import image_seed

    lines = []
    names = [result_name(file, path) for file in files]
    with written(out, [*names, PARAMETERS]) as folder:
        depends = ("degrade/1", degrader.identity.digest, str(seed), str(severity))
        for name, asked, image_id, image in folder.images(track(files, "degrade"), path, *depends):
            drawn = folder.told(name, asked)
            if image is not None:
                own = image_seed(seed, image_id, degrader.degradation)
                rng = np.random.default_rng(own)
                level = float(rng.uniform(1, 4))
                result, parameters = degrader.degrade_with_parameters(
                    image, level if severity is None else severity, rng
                )
                drawn = {"degrader": str(degrader.identity), "seed": own} | parameters
                folder.write_image(name, asked, result, drawn)
            lines.append(json.dumps({"file": name} | drawn) + "\n")
        if not lines:
            raise no_image_in(path, len(files))
        folder.write(PARAMETERS, "".join(lines).encode())
    click.echo(
        f"{len(lines)} of {len(files)} images degraded by {degrader.degradation}"
        f"{folder.summary}: {out}"
    )


def _average(path: Path, out: Path) -> None:
    from catalog.errors import ImageRefused
    from catalog.files import atomic_file
    from catalog.images import encode_png
    from networks.degraders.blur import average_frames
    from networks.degraders.clips import open_clip

    if not path.exists():
        raise UserError(f"There is no {path}.", "Name a video or a folder of frames.")
    try:
        clip = open_clip(path)
        if clip.length > _MOST_FRAMES:
            raise UserError(
                f"{path} has {clip.length} frames, too many for one exposure.",
                f"Give at most {_MOST_FRAMES}, cut from where the motion is.",
            )
        blurred, sharp = average_frames(clip.frames(0, clip.length))
    except ImageRefused as refused:
        raise UserError(f"{path}: {refused.what}", "Name a video or a folder of frames.") from None
    for name, image in (("blurred.png", blurred), ("sharp.png", sharp)):
        with atomic_file(out / name) as temporary:
            temporary.write_bytes(encode_png(image))
    click.echo(f"{clip.length} frames averaged: {out}/blurred.png, and sharp.png, the middle one")
