"""Degradations by prompt: which description an image is nearer to, by an Embedder's both sides.

The paper (RealRestorer, arXiv 2603.25502, table 4) filters its web images so. Each description is
the mean of a few prompts' vectors (prompt ensembling, Radford et al. 2021, arXiv 2103.00020).
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from catalog.degradations import CLEAN_PROMPT, WORDING, Degradation
from catalog.errors import UserError
from catalog.images import Rgb
from networks.interfaces import Embedder

OURS: dict[Degradation, tuple[str, ...]] = {
    Degradation.BLUR: ("a blurred photo taken with a shaking camera", "an out of focus photo"),
    Degradation.COMPRESSION: (
        "a low quality jpeg with visible blocks",
        "a pixelated, low resolution photo",
    ),
    Degradation.MOIRE: (
        "a photo of a monitor with rainbow stripes",
        "moiré interference patterns over a picture",
    ),
    Degradation.LOW_LIGHT: ("a photo taken at night without enough light", "a very dark photo"),
    Degradation.NOISE: (
        "a grainy photo taken at high ISO",
        "a photo with coloured speckles of noise",
    ),
    Degradation.FLARE: ("a photo with glare from the sun", "a photo with lens flare ghosts"),
    Degradation.REFLECTION: (
        "a photo taken through a window with reflections",
        "a photo of a shop window with reflections in the glass",
    ),
    Degradation.HAZE: ("a photo of a foggy landscape", "a photo of a city in smog"),
    Degradation.RAIN: ("a photo of heavy rain", "a photo with raindrops on the lens"),
}
"""Beside the prompt of `WORDING`, which is the paper's for the six that it gives."""

CLEAN = (CLEAN_PROMPT, "a sharp, well exposed photo", "a high quality photo on a clear day")
SCALE = 100.0
"""Of cosines before the softmax: CLIP's, at which its training stops raising it."""


@dataclass(frozen=True)
class Reading:
    """What the prompts say of one image."""

    margins: Mapping[Degradation, float]
    """Cosine to the degradation's description less that to a clean photo's, -2 .. 2."""
    shares: Mapping[Degradation, float]
    """Softmax over the nine and the clean one, 0 .. 1."""


class PromptReader:
    """Reads images by the descriptions, which are embedded once."""

    def __init__(self, embedder: Embedder) -> None:
        """`digest` is that of the embedder and the texts.

        Raises `UserError` for an embedder whose weights are random: it would say anything.
        """
        if not embedder.identity.trained:
            raise UserError(
                f"Prompts cannot decide by {embedder.identity}: its weights are random.",
                "Set screen.embedder to a trained one, such as open_clip:ViT-L-14:openai, or "
                "screen.decided_by to judge.",
            )
        self.embedder = embedder
        described = [(WORDING[task].clip_prompt, *OURS[task]) for task in Degradation]
        texts = "\n".join(text for texts in (*described, CLEAN) for text in texts)
        self.digest = hashlib.sha256(f"{embedder.identity.digest} {texts}".encode()).hexdigest()
        self._vectors = np.stack([_mean(embedder, texts) for texts in (*described, CLEAN)])

    def read(self, images: Sequence[Rgb]) -> list[Reading]:
        """One reading an image."""
        cosines = self.embedder.embed_images(images) @ self._vectors.T
        logits = SCALE * (cosines - cosines.max(axis=1, keepdims=True, initial=-1.0))
        shares = np.exp(logits)
        shares /= shares.sum(axis=1, keepdims=True)
        return [
            Reading(
                {task: float(row[i] - row[-1]) for i, task in enumerate(Degradation)},
                {task: float(share[i]) for i, task in enumerate(Degradation)},
            )
            for row, share in zip(cosines, shares, strict=True)
        ]


def _mean(embedder: Embedder, texts: Sequence[str]) -> np.ndarray:
    vector = embedder.embed_texts(texts).mean(axis=0)
    unit: np.ndarray = vector / max(float(np.linalg.norm(vector)), 1e-6)
    return unit
