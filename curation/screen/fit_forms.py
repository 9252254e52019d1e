"""Fit the detectors of screenshots and drawings: `python -m curation.screen.fit_forms --photos D`.

Images that the script makes are told from photos, a third of them degraded and a third dark, by
logistic regression on the measures of `forms` and their products. The photos are those of
networks/judges/proxy/fit/photos.json; every fourth is held out.
"""

import hashlib
import io
import json
from pathlib import Path

import click
import cv2
import numpy as np
from PIL import Image

from catalog.degradations import Degradation
from catalog.errors import said_plainly
from catalog.files import write_json
from catalog.images import Rgb
from catalog.progress import track
from curation.screen.forming import MAKERS
from curation.screen.forms import FEATURES, WEIGHTS, Form, expand, features, reduced
from networks.degraders import load_degrader
from networks.judges.proxy.fit.photos import all_photos, is_held_out

FALSE_POSITIVES = 0.005
"""Share of photos at which the probability is set to one half."""
FITTED = (Form.SCREENSHOT, Form.DRAWING)
SEED = 20261124


def _crop(photo: Rgb, rng: np.random.Generator) -> Rgb:
    height, width = photo.shape[:2]
    tall, wide = int(height * rng.uniform(0.5, 1)), int(width * rng.uniform(0.5, 1))
    down, right = rng.integers(0, height - tall + 1), rng.integers(0, width - wide + 1)
    crop = photo[down : down + tall, right : right + wide]
    share = min(float(np.exp(rng.uniform(np.log(360), np.log(900)))) / max(crop.shape[:2]), 1)
    return cv2.resize(crop, None, fx=share, fy=share, interpolation=cv2.INTER_AREA)


def _web(image: Rgb, rng: np.random.Generator) -> Rgb:
    if rng.random() < 0.3:
        return image
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "JPEG", quality=int(rng.integers(60, 97)))
    return np.asarray(Image.open(buffer))


def _dark(photo: Rgb, rng: np.random.Generator) -> Rgb:
    """Too little light: most of the picture in a few dark levels, as in a flat drawing."""
    values = (photo / 255.0) ** rng.uniform(1.0, 2.5) * rng.uniform(0.08, 0.5) * 255
    grain = rng.normal(0, rng.uniform(0, 3), photo.shape)
    return np.clip(values + grain + 0.5, 0, 255).astype(np.uint8)


def _measures(image: Rgb) -> np.ndarray:
    small = reduced(image)
    return features(small, cv2.cvtColor(small, cv2.COLOR_RGB2GRAY))


@click.command()
@click.option("--photos", type=click.Path(path_type=Path), required=True)
@click.option("--versions", default=6, help="Of each photo, of each sort.")
def fit(photos: Path, versions: int) -> None:
    """Write forms.json and print how well it does on the held-out photos."""
    from sklearn.linear_model import LogisticRegression

    cv2.setNumThreads(1)
    rows: list[np.ndarray] = []
    kinds: list[str] = []
    held: list[bool] = []
    for index, photo in enumerate(track(all_photos(), "photos")):
        rng = np.random.default_rng([SEED, index])
        pixels = photo.load(photos)
        for _ in range(versions):
            crops = [_crop(pixels, rng) for _ in range(2)]
            made = {form.value: MAKERS[form](crops, rng) for form in FITTED}
            kind = list(Degradation)[int(rng.integers(len(Degradation)))]
            made["photo"] = crops[0]
            made["degraded"] = load_degrader(kind).degrade(crops[1], float(rng.uniform(1, 4)), rng)
            made["dark"] = _dark(crops[0], rng)
            for name, image in made.items():
                rows.append(_measures(_web(image, rng)))
                kinds.append(name)
                held.append(is_held_out(index))
    values, names, out = np.array(rows), np.array(kinds), np.array(held)
    photo_rows = np.isin(names, ["photo", "degraded", "dark"])
    content = {}
    for form in FITTED:
        used = photo_rows | (names == form.value)
        centre, scale = values[used].mean(axis=0), values[used].std(axis=0) + 1e-9
        inputs = expand((values - centre) / scale)
        model = LogisticRegression(C=0.05, max_iter=4000, class_weight="balanced")
        model.fit(inputs[used & ~out], names[used & ~out] == form.value)
        score = model.decision_function(inputs)
        level = max(float(np.quantile(score[photo_rows & ~out], 1 - FALSE_POSITIVES)), 0.0)
        content[form.value] = {
            "features": list(FEATURES),
            "centre": [float(f"{v:.6g}") for v in centre],
            "scale": [float(f"{v:.6g}") for v in scale],
            "weights": [float(f"{v:.6g}") for v in model.coef_[0]],
            "bias": float(f"{model.intercept_[0] - level:.6g}"),
        }
        found = score > level
        result = {
            "form": form.value,
            "recall": round(float(found[out & (names == form.value)].mean()), 3),
            "false_positives": round(float(found[out & photo_rows].mean()), 3),
        }
        click.echo(json.dumps(result))
    write_json(WEIGHTS, content)
    click.echo(f"SHA256 = {hashlib.sha256(WEIGHTS.read_bytes()).hexdigest()!r}")


if __name__ == "__main__":
    with said_plainly():
        fit()
