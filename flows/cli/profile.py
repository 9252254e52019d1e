"""`mendline profile NAME`: a complete params.yaml."""

import itertools
import re
from pathlib import Path

import click

from catalog.errors import UserError
from catalog.files import atomic_file
from catalog.settings import parse_params
from flows.template import profile_names, profile_path


@click.command(help="Write a profile's settings to params.yaml of the current folder.")
@click.argument("name", required=False)
@click.option(
    "--force", is_flag=True, help="Replace a params.yaml that differs from every profile."
)
@click.option("--show", is_flag=True, help="Print the settings instead of writing them.")
def profile(name: str | None, force: bool, show: bool) -> None:
    """Copy profiles/NAME.yaml to params.yaml, where Git and DVC see the change."""
    if name is None:
        for known in profile_names():
            click.echo(f"{known:12} {_first_sentence(profile_path(known).read_text('utf-8'))}")
        return
    text = profile_path(name).read_text("utf-8")
    parse_params(text, f"the profile {name}")
    if show:
        click.echo(text, nl=False)
        return
    target = Path("params.yaml")
    if target.exists() and not force:
        present = target.read_text("utf-8")
        known_texts = {profile_path(known).read_text("utf-8") for known in profile_names()}
        if present not in known_texts:
            raise UserError(
                f"{target.resolve()} holds settings of your own.",
                f"Keep a copy of it, then run `mendline profile {name} --force`.",
            )
    with atomic_file(target) as temporary:
        temporary.write_text(text, "utf-8")
    click.echo(
        f"{target} holds the profile {name}. `dvc repro` runs the stages that its settings change."
    )


def _first_sentence(text: str) -> str:
    """Of the comment that a profile begins with."""
    comment = itertools.takewhile(lambda line: line.startswith("#"), text.splitlines())
    said = " ".join(line.removeprefix("#").strip() for line in comment)
    return re.split(r"(?<=\.) (?=[A-Z])", said, maxsplit=1)[0]
