"""The page of `mendline degrade --gallery`: every degradation at five severities."""

import base64
import io
from pathlib import Path
from typing import Any

SEVERITIES = (5.0, 4.0, 3.0, 2.0, 1.0)
_SHOWN = 4
_SIDE = 360


def write_gallery(files: list[Path], seed: int, out: Path) -> Path:
    """Write gallery.html, one self-contained file, for at most four images; return its path."""
    import cv2
    import jinja2
    import numpy as np

    from catalog.degradations import WORDING, Degradation
    from catalog.errors import UserError
    from catalog.files import atomic_file
    from catalog.images import image_id
    from catalog.progress import track
    from flows.cli.folders import decoded
    from networks.degraders import load_degrader
    from networks.degraders.seeds import image_seed

    photos = []
    for file, image in decoded(iter(files)):
        factor = min(1.0, _SIDE / max(image.shape[:2]))
        size = (round(image.shape[1] * factor), round(image.shape[0] * factor))
        photos.append((file, cv2.resize(image, size, interpolation=cv2.INTER_AREA)))
        if len(photos) == _SHOWN:
            break
    if not photos:
        raise UserError("None of the images can be read.", "Name a folder with readable images.")
    sections: list[dict[str, Any]] = []
    for task in track(list(Degradation), "gallery"):
        degrader = load_degrader(task, layers=[image for _, image in photos[1:]])
        rows = []
        for file, image in photos:
            own = image_seed(seed, image_id(file.read_bytes()), task)
            cells = []
            for severity in SEVERITIES:
                rng = np.random.default_rng(own)
                result, drawn = degrader.degrade_with_parameters(image, severity, rng)
                words = ", ".join(
                    f"{name} {value:.3g}" if isinstance(value, float) else f"{name} {value}"
                    for name, value in drawn.items()
                )
                cells.append({"src": _embedded(result), "title": words, "severity": severity})
            rows.append({"clean": _embedded(image), "name": file.name, "cells": cells})
        what = WORDING[task].clip_prompt
        sections.append({"name": task.value, "what": what, "rows": rows})
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined)
    template = Path(__file__).with_name("degrade_gallery.html.j2").read_text("utf-8")
    text = environment.from_string(template).render(
        sections=sections, severities=SEVERITIES, seed=seed
    )
    page = out / "gallery.html"
    with atomic_file(page) as temporary:
        temporary.write_text(text, "utf-8")
    return page


def _embedded(image: Any) -> str:
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "WEBP", quality=88)
    return "data:image/webp;base64," + base64.b64encode(buffer.getvalue()).decode()
