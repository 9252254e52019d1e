"""The watermark detector: `python -m benchmarks.judge_watermark [--photos DIR]`.

Recall by style on ../shared/data/clean written over by `curation.screen.marking`, whose fonts were
not trained with, and false positives on the same photos as they are, by threshold, and by the
default settings, which read the writing; what kind each found mark is called; then how many of the
real degraded images there are called marked. In brackets: the 95 % interval (Wilson). `--photos`
measures on a folder of one's own instead.
"""

from collections import Counter
from pathlib import Path

import click
import cv2
import numpy as np

from catalog.errors import ImageRefused
from catalog.images import decode
from catalog.progress import track
from catalog.settings.screen import Screen
from curation.screen.marking import STYLES, UNOWNED, Marked, mark
from networks.watermark.detector import load_detector
from networks.watermark.kinds import Kind
from networks.watermark.meaning import find_mark
from networks.watermark.reading import load_reader

DATA = Path(__file__).parents[1] / "../shared/data"
LIMITS = (0.3, 0.4, 0.5, 0.55, 0.58, 0.59, 0.6, 0.7, 0.8)


def interval(hits: int, of: int) -> str:
    """A share and its 95 % Wilson interval, in words."""
    if not of:
        return "none"
    share, z = hits / of, 1.96
    middle = (share + z * z / (2 * of)) / (1 + z * z / of)
    half = z * np.sqrt(share * (1 - share) / of + z * z / (4 * of * of)) / (1 + z * z / of)
    return f"{share:.3f} ({max(middle - half, 0):.3f} .. {min(middle + half, 1):.3f})"


def _kind(made: Marked) -> Kind:
    """What a mark of the script is: pale, repeated or across the middle, or naming an owner, it is
    a watermark; of the others those beside a sign are logos."""
    if made.style in ("tiled", "stock", "centre") or made.text not in UNOWNED:
        return Kind.WATERMARK
    return Kind.LOGO if made.style == "logo" else Kind.TEXT


@click.command()
@click.option("--photos", type=click.Path(path_type=Path), default=DATA / "clean")
@click.option("--seed", default=0, help="Of the marks.")
def main(photos: Path, seed: int) -> None:
    """Measure and print."""
    cv2.setNumThreads(1)
    detector = load_detector()
    reader, settings = load_reader(), Screen.model_validate({})
    plain, marked, styles, kinds = [], [], [], []
    dropped: dict[str, list[bool]] = {"marked": [], "plain": []}
    for index, path in enumerate(track(sorted(photos.glob("*.jpg")), "photos")):
        photo = decode(path.read_bytes())
        made = mark(photo, np.random.default_rng([seed, index]))
        for name, image in (("plain", photo), ("marked", made.image)):
            found = find_mark(image, detector, reader, settings.mark_limit(names_owner=True))
            dropped[name].append(found.probability > settings.mark_limit(found.names_owner))
            if name == "plain":
                plain.append((found.probability, path.name))
        marked.append(found.probability)
        styles.append(made.style)
        kinds.append((_kind(made), found.kind))
    of, style = len(plain), np.array(styles)
    for limit in LIMITS:
        found_ = np.array(marked) > limit
        false = [name for value, name in plain if value > limit]
        hits = int(found_.sum())
        print(
            f"above {limit}: recall {interval(hits, of)}, false positives "
            f"{interval(len(false), of)}, precision {interval(hits, hits + len(false))}"
        )
    hits, false_hits = sum(dropped["marked"]), sum(dropped["plain"])
    print(
        f"by the default settings: recall {interval(hits, of)}, false positives "
        f"{interval(false_hits, of)}, precision {interval(hits, hits + false_hits)}"
    )
    for name in STYLES:
        own = np.array(dropped["marked"])[style == name]
        print(f"{name}: recall {interval(int(own.sum()), len(own))}")
    called = Counter(pair for pair, hit in zip(kinds, dropped["marked"], strict=True) if hit)
    right = sum(count for (true, said), count in called.items() if true is said)
    print(f"kind of those found: right {interval(right, hits)}")
    for (true, said), count in called.most_common():
        print(f"  {true} called {said}: {count}")
    limit = settings.max_watermark
    print(f"false positives at {limit}: {[name for value, name in plain if value > limit]}")
    if photos != DATA / "clean":
        return
    for folder in ("realir", "real/low-light", "real/low-quality"):
        images = [p for p in sorted((DATA / folder).rglob("*")) if "degraded" in p.name or
                  (p.is_file() and folder != "realir")]  # fmt: skip
        above = {}
        for place in images:
            try:
                value = detector.probability(decode(place.read_bytes()))
            except ImageRefused:
                continue
            if value > limit:
                above[place.name] = round(value, 2)
        print(f"{folder}: of {len(images)} above {limit}: {above}")


if __name__ == "__main__":
    main()
