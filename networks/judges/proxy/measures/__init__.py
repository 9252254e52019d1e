"""Classical measures of an image, by name."""

from catalog.images import Rgb
from networks.judges.proxy.measures import grain, light, pattern, sharpness
from networks.judges.proxy.views import look


def measure(image: Rgb) -> dict[str, float]:
    """All measures of an (h, w, 3) uint8 image of at least `views.SMALLEST_SIDE` a side."""
    views = look(image)
    return (
        light.measure(views)
        | grain.measure(views)
        | sharpness.measure(views)
        | pattern.measure(views)
    )
