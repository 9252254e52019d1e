"""Web-style degradation on the fly."""

import numpy as np

from catalog.errors import UserError
from catalog.images import Rgb
from training.batches import WebStyle


def web_style() -> WebStyle:
    """The web-style chain of networks.degraders as a function of an image and a generator."""
    try:
        from networks.degraders.web_style import web_style as chain
    except ImportError as error:
        raise UserError(
            f"The web-style degradation cannot be loaded: {error}.",
            "Set web_style to 0 in params.yaml.",
        ) from error

    def degrade(image: Rgb, rng: np.random.Generator) -> Rgb:
        return chain(image, rng)

    return degrade
