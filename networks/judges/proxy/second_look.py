"""A second look at the coarse view, without its grain and larger, for what grain hides."""

import cv2
import numpy as np

from networks.judges.proxy.measures.grain import flat_noise

LARGER = 1.2
"""Length of the second view over that of the coarse one."""
GRAIN_FREE = 0.5
"""Levels of 255 of noise where a photo is flattest, which photos have as they come."""
STRENGTH_PER_LEVEL = 3.0
"""Of the filter, in levels, for each level of noise above that."""
WEAKEST, STRONGEST = 0.3, 7.0
"""Weaker filters would change nothing, stronger ones take faint reflections for grain."""
PATCH, SEARCHED = 5, 11
"""Pixels a side: of the patches that are compared, and of the area they are looked for in."""


def second_look(view: np.ndarray) -> np.ndarray:
    """(h, w, 3) float32 in 0 .. 1 to the same `LARGER` in both directions, grain taken out.

    Grain goes by non-local means (Buades, Coll and Morel 2005), as strong as the noise of the
    flattest places: fine texture, from which it is told what the scene is like without a
    reflection, stays.
    """
    image = np.rint(view * 255).astype(np.uint8)
    strength = min(STRENGTH_PER_LEVEL * (flat_noise(view) - GRAIN_FREE), STRONGEST)
    if strength > WEAKEST:
        image = cv2.fastNlMeansDenoisingColored(image, None, strength, strength, PATCH, SEARCHED)
    larger = cv2.resize(image, None, fx=LARGER, fy=LARGER, interpolation=cv2.INTER_CUBIC)
    return larger.astype(np.float32) / np.float32(255)
