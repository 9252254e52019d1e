"""Classical measures of an image, by name."""

from typing import TypeVar

import numpy as np

from catalog.images import Rgb
from networks.judges.proxy.measures import grain, light, pattern, sharpness
from networks.judges.proxy.views import Views, look

Values = TypeVar("Values", float, np.ndarray)


def measure(image: Rgb) -> dict[str, float]:
    """All measures of an (h, w, 3) uint8 image of at least `views.SMALLEST_SIDE` a side."""
    return measure_views(look(image))


def measure_views(views: Views) -> dict[str, float]:
    """All measures of an image by its views."""
    found = derive(
        light.measure(views)
        | grain.measure(views)
        | sharpness.measure(views)
        | pattern.measure(views)
    )
    return {name: float(value) for name, value in found.items()}


def derive(measures: dict[str, Values]) -> dict[str, Values]:
    """Add what follows from other measures: noise against the light there is."""
    light_level = np.log(measures["luma_mean"] + 0.05)
    relative = {
        f"noise_{size}_relative": measures[f"noise_{size}_p10"] - light_level
        for size in ("fine", "half", "coarse")
    }
    return measures | relative
