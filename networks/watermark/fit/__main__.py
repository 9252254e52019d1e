"""`python -m networks.watermark.fit --debs DIR --work DIR`."""

from pathlib import Path

import click
import numpy as np
import torch

from networks.watermark.detector import PLACE, save
from networks.watermark.fit import scenes
from networks.watermark.fit.sources import HELD_OUT_EVERY, prepare
from networks.watermark.fit.train import Plan, train
from networks.watermark.network import inputs, score

FALSE_POSITIVES = 0.01
"""Share of unmarked crops of held-out pictures at which the probability is one half."""
PATH = click.Path(path_type=Path)


@click.command()
@click.option("--debs", type=PATH, required=True, help="Folder of the packages of packages.json.")
@click.option("--work", type=PATH, required=True, help="Unpacked packages, and the state.")
@click.option("--steps", default=Plan.steps)
@click.option("--tests", default=600, help="Held-out scenes to calibrate and measure on.")
def fit(debs: Path, work: Path, steps: int, tests: int) -> None:
    """Train (or go on), calibrate on held-out pictures, write the weights, print their SHA-256."""
    pictures, fonts = prepare(debs, work)
    held = pictures[1::HELD_OUT_EVERY]
    others = [path for path in pictures if path not in set(held)]
    click.echo(f"{len(others)} pictures, {len(held)} held out, {len(fonts)} fonts")
    net = train(others, fonts, work, Plan(steps=steps)).eval()
    rng = np.random.default_rng(Plan.seed + 1)
    found, truth = [], []
    for _ in range(tests):
        scene = scenes.make(held, fonts, rng)
        cells = int(scene.cells.sum())
        if cells == 0 or cells >= scenes.LEAST_CELLS:
            with torch.inference_mode():
                found.append(float(score(net(torch.from_numpy(inputs(scene.image))[None]))[0]))
            truth.append(cells > 0)
    scores, marked = np.array(found), np.array(truth)
    level = float(np.quantile(scores[~marked], 1 - FALSE_POSITIVES))
    recall = (scores[marked] > level).mean()
    click.echo(f"held-out crops: recall {recall:.3f} at {FALSE_POSITIVES:.0%} false positives")
    click.echo(f"{PLACE.name} SHA-256 {save(net, level, PLACE)}")


if __name__ == "__main__":
    fit()
