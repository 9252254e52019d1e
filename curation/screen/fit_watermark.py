"""Fit the watermark detector: `python -m curation.screen.fit_watermark --photos DIR`.

Lines of writing that the script wrote are told from lines that photos happen to have, by logistic
regression on the measures of `writing` and their products. The photos are those of
networks/judges/proxy/fit/photos.json; every fourth is held out.
"""

import io
import json
from pathlib import Path

import click
import cv2
import numpy as np
from PIL import Image

from catalog.files import write_json
from catalog.images import Rgb
from catalog.progress import track
from curation.screen.marking import mark
from curation.screen.watermark import PLACE, expand
from curation.screen.writing import FEATURES, find_lines
from networks.judges.proxy.fit.photos import all_photos, is_held_out

FALSE_POSITIVES = 0.01
"""Share of unmarked images at which the probability is set to one half."""


def _versions(photo: Rgb, count: int, rng: np.random.Generator) -> list[Rgb]:
    """Random crops of a photo at web sizes."""
    made = []
    for _ in range(count):
        height, width = photo.shape[:2]
        tall, wide = int(height * rng.uniform(0.5, 1)), int(width * rng.uniform(0.5, 1))
        down, right = rng.integers(0, height - tall + 1), rng.integers(0, width - wide + 1)
        crop = photo[down : down + tall, right : right + wide]
        share = min(float(np.exp(rng.uniform(np.log(420), np.log(1300)))) / max(crop.shape[:2]), 1)
        made.append(cv2.resize(crop, None, fx=share, fy=share, interpolation=cv2.INTER_AREA))
    return made


def _web(image: Rgb, rng: np.random.Generator) -> Rgb:
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "JPEG", quality=int(rng.integers(70, 97)))
    return np.asarray(Image.open(buffer))


@click.command()
@click.option("--photos", type=click.Path(path_type=Path), required=True)
@click.option("--versions", default=5, help="Marked and unmarked versions of each photo.")
def fit(photos: Path, versions: int) -> None:
    """Write watermark.json and print how well it does on the held-out photos."""
    from sklearn.linear_model import LogisticRegression

    cv2.setNumThreads(1)
    rows: list[np.ndarray] = []
    labels: list[bool] = []
    owners: list[tuple[int, bool, bool]] = []
    owner_of: list[int] = []
    for index, photo in enumerate(track(all_photos(), "photos")):
        rng = np.random.default_rng(index)
        for version in _versions(photo.load(photos), 2 * versions, rng):
            marked = mark(version, rng) if len(owners) % 2 else None
            image = _web(marked.image if marked else version, rng)
            owners.append((index, marked is not None, is_held_out(index)))
            mask = cv2.dilate(marked.mask.astype(np.uint8), np.ones((9, 9))) if marked else None
            for line in find_lines(image):
                rows.append(line.features)
                labels.append(mask is not None and _covers(mask, line.box))
                owner_of.append(len(owners) - 1)
    values, truth, owner = np.array(rows), np.array(labels), np.array(owner_of)
    held = np.array([owners[o][2] for o in owner])
    centre, scale = values[~held].mean(axis=0), values[~held].std(axis=0) + 1e-9
    expanded = expand((values - centre) / scale)
    model = LogisticRegression(C=0.3, max_iter=3000, class_weight="balanced")
    model.fit(expanded[~held], truth[~held])
    score = model.decision_function(expanded)
    best = np.full(len(owners), -20.0)
    np.maximum.at(best, owner, score)
    marked_images = np.array([o[1] for o in owners])
    held_images = np.array([o[2] for o in owners])
    level = float(np.quantile(best[~marked_images & ~held_images], 1 - FALSE_POSITIVES))
    write_json(
        PLACE,
        {
            "features": list(FEATURES),
            "centre": [round(float(v), 5) for v in centre],
            "scale": [round(float(v), 5) for v in scale],
            "weights": [round(float(v), 5) for v in model.coef_[0]],
            "bias": round(float(model.intercept_[0]) - level, 5),
        },
    )
    for name, which in (("trained on", ~held_images), ("held out", held_images)):
        found = best[which] > level
        told = marked_images[which]
        click.echo(
            json.dumps(
                {
                    "photos": name,
                    "images": int(which.sum()),
                    "recall": round(float(found[told].mean()), 3),
                    "false_positives": round(float(found[~told].mean()), 3),
                }
            )
        )


def _covers(mask: np.ndarray, box: tuple[float, float, float, float]) -> bool:
    height, width = mask.shape
    left, top, right, bottom = box
    part = mask[
        int(top * height) : int(np.ceil(bottom * height)),
        int(left * width) : int(np.ceil(right * width)),
    ]
    return bool(part.size) and float(part.mean()) > 0.35


if __name__ == "__main__":
    fit()
