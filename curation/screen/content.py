"""Not-safe and personal content: a filter that is off where no model is installed.

Any image classifier in a local folder can be it. The dataset card says which one ran, or that none
did.
"""

import hashlib
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

from PIL import Image
from safetensors import SafetensorError

from catalog.digests import file_digest
from catalog.errors import UserError
from catalog.images import Rgb
from networks.interfaces import Identity

NONE = "none"
"""What the tables say where no filter ran."""


class ContentFilter:
    """A transformers image classifier; the score is the sum over the labels that are not wanted."""

    def __init__(self, folder: Path, labels: Sequence[str]) -> None:
        """Raises `UserError` for a folder without a model, and for labels it does not have."""
        weights = sorted(folder.glob("*.safetensors"))
        if not weights or not (folder / "config.json").is_file():
            raise UserError(
                f"The folder {folder} is no image classifier: it has no config.json with "
                "*.safetensors.",
                "Name the folder of a downloaded model in screen.content_model, or null for none.",
            )
        from transformers import AutoImageProcessor, AutoModelForImageClassification, pipeline

        try:
            self.model: Any = AutoModelForImageClassification.from_pretrained(
                folder, local_files_only=True, use_safetensors=True
            )
            processor = AutoImageProcessor.from_pretrained(folder, local_files_only=True)
        except (ValueError, OSError, RuntimeError, SafetensorError) as error:
            raise UserError(
                f"The image classifier in {folder} cannot be loaded: {error}.",
                "See that its files are whole and of one checkpoint.",
            ) from error
        self._classify: Any = pipeline(
            "image-classification", model=self.model, image_processor=processor
        )
        known = set((self.model.config.id2label or {}).values())
        missing = [label for label in labels if label not in known]
        if missing or not labels:
            raise UserError(
                f"The classifier in {folder} has no label {', '.join(missing) or '(none named)'}.",
                f"Its labels are {', '.join(sorted(known))}; name those of screen.content_labels.",
            )
        self._labels = frozenset(labels)
        digest = hashlib.sha256(",".join(sorted(labels)).encode())
        # The names of the labels and how images are prepared are as much of it as the weights.
        for file in (*weights, *sorted(folder.glob("*.json"))):
            digest.update(f"{file.name} {file_digest(file)}\n".encode())
        self.identity = Identity("content", folder.resolve().name, digest.hexdigest())

    def scores(self, images: Sequence[Rgb]) -> list[float]:
        """0 .. 1 an image: how likely its content is not wanted; NaN where the model says NaN."""
        if not images:
            return []
        answers = self._classify([Image.fromarray(image) for image in images], top_k=None)
        return [
            min(float(sum(a["score"] for a in one if a["label"] in self._labels)), 1.0)
            for one in answers
        ]


@lru_cache(maxsize=1)
def load_filter(folder: str | None, labels: tuple[str, ...]) -> ContentFilter | None:
    """The filter of the settings, read once a process; None where there is none."""
    return None if folder is None else ContentFilter(Path(folder), labels)
