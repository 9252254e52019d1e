"""The judge and screening on real images: `python -m benchmarks.judge_real [--judge NAME]`.

Reads ../shared/data (never trained on). Prints the degradation named for each degraded image of
realir, in how many pairs the restored side is judged cleaner, how many low-light photos are called
so, how many clean photos are called degraded at the thresholds of params.yaml or the defaults, all
verdicts, and which of the five levels real images get.
"""

from collections import Counter
from pathlib import Path

import click
import cv2
import numpy as np

from catalog.degradations import Degradation
from catalog.images import decode
from catalog.progress import track
from catalog.settings import load_params
from catalog.settings.screen import Screen
from curation.screen.screener import Screener

DATA = Path(__file__).parents[1] / "../shared/data"


@click.command()
@click.option("--judge", "name", default="proxy")
def main(name: str) -> None:
    """Measure and print."""
    cv2.setNumThreads(1)
    place = Path("params.yaml")
    settings = load_params(place).screen if place.is_file() else Screen.model_validate({})
    screener = Screener(settings.model_copy(update={"judge": name}))

    def row(path: Path) -> dict:
        (found,) = screener.rows([decode(path.read_bytes())])
        return found

    def severity(found: dict, degradation: str) -> float:
        return float(found["scores"].get(f"severity/{degradation}", float("nan")))

    right = cleaner = 0
    levels: list[float] = []
    verdicts: list[tuple[str, str]] = []
    for path in sorted((DATA / "realir").glob("*/*_degraded.webp")):
        truth = path.parent.name
        degraded, restored = row(path), row(Path(str(path).replace("_degraded", "_restored")))
        before, after = severity(degraded, truth), severity(restored, truth)
        right += degraded["degradation"] == truth
        cleaner += after > before
        levels.append(before)
        verdicts.append((degraded["verdict"], degraded["reason"]))
        others = {d.value: round(severity(degraded, d.value), 1) for d in Degradation}
        print(
            f"{truth}/{path.stem:11} named {degraded['degradation']:11} ({degraded['verdict']}) "
            f"{before:.2f} -> {after:.2f}  {others}"
        )
    print(f"realir: named right {right} of {len(levels)}, restored cleaner {cleaner}")
    print(f"realir: verdicts {Counter(verdicts).most_common()}")
    print(f"realir: severities {sorted(round(v, 1) for v in levels)}")
    dark = [row(path) for path in track(sorted((DATA / "real/low-light").iterdir()), "low-light")]
    named = Counter(found["degradation"] for found in dark)
    kept = sum(f["degradation"] == "low-light" and f["verdict"] == "degraded" for f in dark)
    print(f"low-light: {named.most_common()} of {len(dark)}, {kept} of them at the threshold")
    print(f"low-light: verdicts {Counter((f['verdict'], f['reason']) for f in dark).most_common()}")
    clean = [row(path) for path in track(sorted((DATA / "clean").glob("*.jpg")), "clean")]
    called = Counter(f["degradation"] for f in clean if f["verdict"] == "degraded")
    share = sum(called.values()) / len(clean)
    marked = np.mean([f["watermark"] > settings.max_watermark for f in clean])
    print(f"clean: {share:.1%} called degraded {called.most_common()}")
    print(f"clean: verdicts {Counter((f['verdict'], f['reason']) for f in clean).most_common()}")
    print(f"clean: {marked:.1%} called watermarked")


if __name__ == "__main__":
    main()
