"""The watermark detector: `python -m benchmarks.judge_watermark`.

Recall by style on ../shared/data/clean written over by `curation.screen.marking`, whose fonts were
not trained with, and false positives on the same photos as they are, by threshold; then how many of
the real degraded images there are called watermarked.
"""

from pathlib import Path

import cv2
import numpy as np

from catalog.images import decode
from catalog.progress import track
from curation.screen.marking import STYLES, mark
from networks.watermark.detector import load_detector

DATA = Path(__file__).parents[1] / "../shared/data"
SEED = 0


def main() -> None:
    """Measure and print."""
    cv2.setNumThreads(1)
    detector = load_detector()
    plain, marked, styles = [], [], []
    for index, path in enumerate(track(sorted((DATA / "clean").glob("*.jpg")), "photos")):
        photo = decode(path.read_bytes())
        made = mark(photo, np.random.default_rng([SEED, index]))
        plain.append(detector.probability(photo))
        marked.append(detector.probability(made.image))
        styles.append(made.style)
    for threshold in (0.3, 0.5, 0.7, 0.8, 0.9, 0.95):
        found, false = np.array(marked) > threshold, np.array(plain) > threshold
        precision = found.sum() / max(found.sum() + false.sum(), 1)
        by_style = {s: round(float(found[np.array(styles) == s].mean()), 2) for s in STYLES}
        print(
            f"above {threshold}: recall {found.mean():.3f}, false positives {false.mean():.3f}, "
            f"precision {precision:.3f}, recall by style {by_style}"
        )
    for folder in ("realir", "real/low-light", "real/low-quality"):
        images = [p for p in sorted((DATA / folder).rglob("*")) if "degraded" in p.name or
                  (p.is_file() and folder != "realir")]  # fmt: skip
        found = {p.name: detector.probability(decode(p.read_bytes())) for p in images}
        above = {name: round(value, 2) for name, value in found.items() if value > 0.5}
        print(f"{folder}: of {len(images)} above 0.5: {above}")


if __name__ == "__main__":
    main()
