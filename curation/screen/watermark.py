"""Whether something is written over a photo: watermarks, captions, date stamps."""

import json
from functools import lru_cache
from pathlib import Path

import numpy as np

from catalog.images import Rgb
from curation.screen.writing import Line, find_lines

PLACE = Path(__file__).with_name("watermark.json")
SMALLEST_SIDE = 32


@lru_cache(maxsize=1)
def _weights() -> dict[str, np.ndarray]:
    content = json.loads(PLACE.read_text("utf-8"))
    return {name: np.array(content[name]) for name in ("centre", "scale", "weights", "bias")}


def expand(values: np.ndarray) -> np.ndarray:
    """(n, f) standardised features to (n, f + f (f + 1) / 2): themselves and their products."""
    limited = np.clip(values, -4, 4)
    first, second = np.triu_indices(limited.shape[1])
    return np.concatenate([limited, limited[:, first] * limited[:, second]], axis=1)


def probabilities(lines: list[Line]) -> np.ndarray:
    """(n,) probability of each line to be writing."""
    if not lines:
        return np.zeros(0)
    weights = _weights()
    values = (np.stack([line.features for line in lines]) - weights["centre"]) / weights["scale"]
    return 1 / (1 + np.exp(-(expand(values) @ weights["weights"] + weights["bias"])))


def watermark_probability(image: Rgb) -> float:
    """0 .. 1 for an (h, w, 3) uint8 image: its likeliest line; 0 below 32 pixels a side."""
    if min(image.shape[:2]) < SMALLEST_SIDE:
        return 0.0
    return float(probabilities(find_lines(image)).max(initial=0.0))
