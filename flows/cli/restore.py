"""`mendline restore`: restore one's own images."""

from pathlib import Path

import click

from catalog.degradations import Degradation
from catalog.errors import UserError
from catalog.layout import Layout
from flows.cli.out import OUT_FOLDER


@click.command()
@click.argument("path", type=click.Path(path_type=Path))
@click.option(
    "--degradation",
    "-d",
    required=True,
    type=click.Choice([d.value for d in Degradation]),
    help="What to remove.",
)
@click.option(
    "--restorer",
    default="classical",
    show_default=True,
    help="classical, a model's folder, diffusers:PLACE (a downloaded editing model), or a registry "
    "URI such as models:/mendline@champion.",
)
@click.option("--out", required=True, type=OUT_FOLDER, help="Folder.")
def restore(path: Path, degradation: str, restorer: str, out: Path) -> None:
    """Restore the image PATH, or every image below the folder PATH, into the folder --out.

    Images keep their size and their place below PATH and become PNG files without metadata.

    Interrupted or killed, the same command goes on where it was: what is in --out already is made
    again only where the image, the degradation or the restorer is another. A file in --out that
    this command did not write is never overwritten.
    """
    from catalog.progress import track
    from flows.cli.folders import image_files, no_image_in
    from flows.cli.written import result_name, written
    from flows.registry_models import local_model
    from networks.restorers import load_restorer

    files = image_files(path)
    kind = Degradation(degradation)
    model = local_model(Layout(Path.cwd()), restorer)
    network = load_restorer(click.get_current_context().with_resource(model))
    if not network.supports(kind):
        able = [d.value for d in Degradation if network.supports(d)]
        raise UserError(
            f"The restorer {restorer} has nothing for {kind}.",
            f"It restores {', '.join(able)}." if able else "Name another one with --restorer.",
        )
    if path.is_dir() and out.resolve().is_relative_to(path.resolve()):
        raise UserError(
            f"The folder {out} lies inside {path}.",
            "Name one outside, or the next run would restore what this one wrote.",
        )
    with written(out, [result_name(file, path) for file in files]) as folder:
        depends = ("restore/1", network.identity.digest, kind)
        for name, asked, _, image in folder.images(track(files, "restore"), path, *depends):
            if image is not None:
                (restored,) = network.restore([image], kind)
                folder.write_image(name, asked, restored)
        if not folder.made + folder.kept:
            raise no_image_in(path, len(files))
    click.echo(
        f"{folder.made + folder.kept} of {len(files)} images restored by {network.identity}"
        f"{folder.summary}: {out}"
    )
