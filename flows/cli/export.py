"""`mendline export`: the assembled dataset with its pixels, for other tools."""

from pathlib import Path

import click

from flows.cli.out import OUT_FOLDER

_SPLITS = ("train", "validation", "held-out")


@click.command()
@click.option(
    "--format",
    "layout",
    type=click.Choice(["webdataset", "huggingface"]),
    default="webdataset",
    show_default=True,
    help="Tar shards, or a folder that datasets.load_dataset opens.",
)
@click.option("--out", required=True, type=OUT_FOLDER, help="New folder.")
@click.option(
    "--split",
    "splits",
    multiple=True,
    type=click.Choice(_SPLITS),
    default=_SPLITS,
    show_default=True,
    help="Which splits; may be repeated.",
)
@click.option(
    "--per-shard",
    default=256,
    show_default=True,
    type=click.IntRange(1, 100_000),
    help="Samples in a shard.",
)
@click.option(
    "--root", default=Path(), type=click.Path(path_type=Path, exists=True), help="The work tree."
)
def export(layout: str, out: Path, splits: tuple[str, ...], per_shard: int, root: Path) -> None:
    """Write data/dataset with its images to the new folder --out.

    The folder appears when it is whole; the same command goes on where a killed one was. Images
    that were taken down since the dataset was assembled are left out.
    """
    from catalog.blocked import blocked_ids
    from catalog.layout import Layout
    from catalog.settings import load_params
    from curation.export import export as write

    tree = Layout(root.resolve())
    params = load_params(tree.params)
    found = write(
        tree.dataset,
        (tree.raw, tree.targets, tree.synthetic),
        out,
        layout,
        list(dict.fromkeys(splits)),
        per_shard,
        blocked_ids(tree, params.assemble.block_hamming),
    )
    told = ", ".join(f"{split} {count}" for split, count in found.samples.items())
    click.echo(f"{told}: {found.shards} shards in {out} ({found.kept} from an earlier run).")
    if found.taken_down:
        click.echo(f"{found.taken_down} samples were taken down and are left out.")
