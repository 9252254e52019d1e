"""`python -m networks.watermark.fit --debs DIR --work DIR`."""

from pathlib import Path
from typing import Any

import click
import numpy as np
import torch

from catalog.alone import alone
from catalog.errors import said_plainly
from networks.fitting.machine import Machine, machine_options
from networks.fitting.state import averaged, earlier_options, write_network
from networks.watermark.detector import PLACE
from networks.watermark.fit.calibrate import FALSE_POSITIVES, calibrate
from networks.watermark.fit.sources import HELD_OUT_EVERY, prepare
from networks.watermark.fit.train import Plan, train

PATH = click.Path(path_type=Path)


@click.command()
@click.option("--debs", type=PATH, required=True, help="Folder of the packages of packages.json.")
@click.option("--work", type=PATH, required=True, help="Unpacked packages, and the state.")
@click.option("--steps", default=Plan.steps, help="A run that is cut off goes on with the same.")
@click.option("--tests", default=400, help="Held-out photos to calibrate on, with and without.")
@click.option("--out", type=PATH, default=PLACE, help="Where the weights go.")
@earlier_options
@machine_options
def fit(
    debs: Path,
    work: Path,
    steps: int,
    tests: int,
    out: Path,
    earlier: Path | None,
    earlier_share: float,
    **machine: Any,
) -> None:
    """Train (or go on), calibrate on held-out pictures, write the weights, print their SHA-256."""
    with alone(work, f"Another training is running in {work}."):
        pictures, fonts = prepare(debs, work)
        held, held_fonts = pictures[1::HELD_OUT_EVERY], fonts[1::HELD_OUT_EVERY]
        others = [path for path in pictures if path not in set(held)]
        other_fonts = [path for path in fonts if path not in set(held_fonts)]
        click.echo(f"{len(others)} pictures and {len(other_fonts)} fonts; {len(held)} held out")
        net = train(others, other_fonts, work, Plan(steps=steps), Machine(**machine)).eval()
    averaged(net, earlier, earlier_share)
    rng = np.random.default_rng(Plan.seed + 1)
    score, recall = calibrate(net, held, held_fonts, tests, rng)
    click.echo(f"held-out photos: recall {recall:.3f} at {FALSE_POSITIVES:.0%} false positives")
    own = {"score": torch.tensor(score.weights), "bias": torch.tensor(score.bias)}
    click.echo(f"{out.name} SHA-256 {write_network(net, out, own)}")


if __name__ == "__main__":
    with said_plainly():
        fit()
