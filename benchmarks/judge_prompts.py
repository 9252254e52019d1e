"""Screening by prompts on real images: `python -m benchmarks.judge_prompts [--embedder NAME]`.

Reads ../shared/data (never trained on). Prints how often the description nearest to a degraded
image of realir is the right one, in how many pairs the restored side is less near to it, what
low-light photos are named, and how near every third clean photo comes to any degradation.
"""

from collections import Counter
from pathlib import Path

import click
import numpy as np

from catalog.degradations import Degradation
from catalog.images import decode
from curation.screen.prompts import PromptReader, Reading
from networks.embedders import load_embedder

DATA = Path(__file__).parents[1] / "../shared/data"


@click.command()
@click.option("--embedder", "name", default="mendline-clip")
def main(name: str) -> None:
    """Measure and print."""
    reader = PromptReader(load_embedder(name))

    def read(paths: list[Path]) -> list[Reading]:
        return reader.read([decode(path.read_bytes()) for path in paths])

    degraded = sorted((DATA / "realir").glob("*/*_degraded.webp"))
    truth = [Degradation(path.parent.name) for path in degraded]
    before = read(degraded)
    after = read([Path(str(path).replace("_degraded", "_restored")) for path in degraded])
    right = sum(_named(one) == task for one, task in zip(before, truth, strict=True))
    less = sum(
        b.margins[task] < a.margins[task] for a, b, task in zip(before, after, truth, strict=True)
    )
    print(f"realir: named right {right} of {len(truth)}, restored side less near {less}")
    dark = Counter(_named(one).value for one in read(sorted((DATA / "real/low-light").iterdir())))
    print(f"low-light: {dark.most_common()}")
    clean = [max(one.margins.values()) for one in read(sorted((DATA / "clean").glob("*.jpg"))[::3])]
    p50, p90, p95 = np.quantile(clean, (0.5, 0.9, 0.95))
    print(f"clean: largest margin, median {p50:+.3f}, 90 % {p90:+.3f}, 95 % {p95:+.3f}")


def _named(reading: Reading) -> Degradation:
    return max(Degradation, key=lambda degradation: reading.margins[degradation])


if __name__ == "__main__":
    main()
