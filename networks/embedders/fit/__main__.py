"""`python -m networks.embedders.fit --debs DIR --work DIR [--out FILE]`."""

import argparse
import hashlib
from dataclasses import asdict
from pathlib import Path

import click

from catalog.errors import said_plainly
from catalog.files import write_json
from networks.embedders.fit import pictures
from networks.embedders.fit.train import Plan, train
from networks.embedders.mendline_clip import WEIGHTS
from networks.fitting.packages import unpack


def main() -> None:
    """Unpack, cut and degrade once, then train or go on; leave the weights and their record."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--debs", type=Path, required=True, help="the packages of packages.json")
    parser.add_argument("--work", type=Path, required=True, help="unpacked pictures and squares")
    parser.add_argument("--out", type=Path, default=WEIGHTS)
    parser.add_argument("--steps", type=int, default=Plan.steps)
    parser.add_argument("--seed", type=int, default=Plan.seed)
    arguments = parser.parse_args()
    plan = Plan(seed=arguments.seed, steps=arguments.steps)
    unpacked, squares = arguments.work / "pictures", arguments.work / "squares"
    unpacked.mkdir(parents=True, exist_ok=True)
    unpack(arguments.debs, unpacked, pictures.PACKAGES)
    pictures.make(unpacked, squares, plan.seed)
    train(squares, arguments.out, plan)
    click.echo(f"SHA256 = {hashlib.sha256(arguments.out.read_bytes()).hexdigest()!r}")
    write_json(arguments.out.with_suffix(".record.json"), asdict(plan))


if __name__ == "__main__":
    with said_plainly():
        main()
