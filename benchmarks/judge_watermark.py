"""The watermark detector: `python -m benchmarks.judge_watermark`.

Recall by style on ../shared/data/clean written over by script, false positives on the same photos
as they are, by threshold.
"""

from pathlib import Path

import cv2
import numpy as np

from catalog.images import decode
from catalog.progress import track
from curation.screen.marking import STYLES, mark
from curation.screen.watermark import watermark_probability

DATA = Path(__file__).parents[1] / "../shared/data/clean"


def main() -> None:
    """Measure and print."""
    cv2.setNumThreads(1)
    plain, marked, styles = [], [], []
    for index, path in enumerate(track(sorted(DATA.glob("*.jpg")), "photos")):
        photo = decode(path.read_bytes())
        made = mark(photo, np.random.default_rng(index))
        plain.append(watermark_probability(photo))
        marked.append(watermark_probability(made.image))
        styles.append(made.style)
    for threshold in (0.5, 0.7, 0.8, 0.9, 0.95):
        found, false = np.array(marked) > threshold, np.array(plain) > threshold
        precision = found.sum() / max(found.sum() + false.sum(), 1)
        by_style = {s: round(float(found[np.array(styles) == s].mean()), 2) for s in STYLES}
        print(
            f"above {threshold}: recall {found.mean():.3f}, false positives {false.mean():.3f}, "
            f"precision {precision:.3f}, recall by style {by_style}"
        )


if __name__ == "__main__":
    main()
