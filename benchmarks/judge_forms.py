"""Borders, collages, screenshots and drawings: `python -m benchmarks.judge_forms [--folder DIR]`.

Recall on images that `curation.screen.forming` makes of ../shared/data/clean, by form; how many of
the photos there, clean and degraded, are taken for each. `--folder` counts what is found in a
folder of one's own, such as screenshots of a program's handbook.
"""

from pathlib import Path

import click
import cv2
import numpy as np

from catalog.errors import ImageRefused
from catalog.images import decode
from catalog.progress import track
from catalog.settings.screen import Screen
from curation.screen.forming import MAKERS
from curation.screen.forms import Form, forms

DATA = Path(__file__).parents[1] / "../shared/data"
FOLDERS = ("clean", "realir", "real/low-light", "real/low-quality")
MADE = 100
SEED = 7
"""Of the images that are made; the detectors were fitted to others, of other photos."""


def _limits() -> dict[Form, float]:
    settings = Screen.model_validate({})
    return {form: float(getattr(settings, f"max_{form.value}")) for form in Form}


@click.command()
@click.option("--folder", type=click.Path(path_type=Path), help="A folder of images of one's own.")
def main(folder: Path | None) -> None:
    """Measure and print."""
    cv2.setNumThreads(1)
    limits = _limits()
    for place in [folder] if folder else [DATA / name for name in FOLDERS]:
        paths = sorted(p for p in place.rglob("*") if p.is_file() and "restored" not in p.name)
        counts = dict.fromkeys(Form, 0)
        seen = 0
        for path in track(paths, place.name):
            try:
                found = forms(decode(path.read_bytes()))
            except ImageRefused:
                continue
            seen += 1
            for form in Form:
                counts[form] += found[form] > limits[form]
                if found[form] > limits[form]:
                    print(f"  {path.name}: {form.value} {found[form]:.2f}")
        print(f"{place.name}: of {seen}: " + ", ".join(f"{n} {f.value}" for f, n in counts.items()))
    if folder:
        return
    photos = [decode(path.read_bytes()) for path in sorted((DATA / "clean").glob("*.jpg"))]
    rng = np.random.default_rng(SEED)
    for form, maker in MAKERS.items():
        scores = []
        for _ in track(range(MADE), form.value):
            chosen = [photos[int(index)] for index in rng.choice(len(photos), 6, replace=False)]
            made = maker(chosen, rng)
            if rng.random() < 0.6:
                quality = [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(75, 97))]
                coded = cv2.imencode(".jpg", made[..., ::-1], quality)[1]
                made = decode(coded.tobytes())
            scores.append({f: value > limits[f] for f, value in forms(made).items()})
        own = np.mean([found[form] for found in scores])
        any_form = np.mean([any(found.values()) for found in scores])
        print(f"{form.value}: recall {own:.2f}, found as any form {any_form:.2f}")


if __name__ == "__main__":
    main()
