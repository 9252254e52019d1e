"""No-reference measures of the package pyiqa (Chen and Mo), which is an option.

Its licence (PolyForm Noncommercial) forbids commercial use, so it is no dependency. Of its
measures we offer those that run without a network and without a pickle: BRISQUE's weights, for
one, are a pickle that pyiqa reads as such.
"""

import hashlib
import re
from pathlib import Path

import torch

from catalog.errors import ImageRefused, UserError
from catalog.images import Rgb
from networks.interfaces import Identity

SMALLEST_SIDE = {"niqe": 96, "piqe": 16, "entropy": 1}
"""NIQE takes patches of 96 pixels, PIQE blocks of 16."""


class Iqa:
    """One measure, on the CPU in float32. `place` is FILE@SHA256 for NIQE, else empty."""

    def __init__(self, metric: str, place: str = "") -> None:
        try:
            import pyiqa
        except ImportError as error:
            raise UserError(
                f"The measure pyiqa:{metric} needs the package pyiqa, which is not installed.",
                "Install it with `pip install mendline[iqa]` (its licence is noncommercial), or "
                "leave the measure out of evaluate.extras.",
            ) from error
        weights, options = "none", {}
        if metric == "niqe":
            file, weights = _checked(place)
            options = {"pretrained_model_path": str(file)}
        elif place:
            raise UserError(
                f"pyiqa:{metric} needs no weights, but {place!r} was given.", "Drop it."
            )
        self._metric = pyiqa.create_metric(metric, device=torch.device("cpu"), **options)
        self.lower_is_better = bool(self._metric.lower_better)
        self.identity = Identity(f"pyiqa-{metric}", pyiqa.__version__, weights)
        self._smallest = SMALLEST_SIDE[metric]

    def quality(self, image: Rgb) -> float:
        """Raises `ImageRefused` for an image too small for the measure, or without a number."""
        if min(image.shape[:2]) < self._smallest:
            raise ImageRefused("too-small", f"A side is below {self._smallest} pixels.")
        tensor = torch.from_numpy(image.transpose(2, 0, 1).copy())[None].float() / 255.0
        with torch.inference_mode():
            value = float(self._metric(tensor))
        if value != value:
            raise ImageRefused("no-number", f"{self.identity.name} gave no number.")
        return value


def _checked(place: str) -> tuple[Path, str]:
    """The file and its hash, where it is the one that was named."""
    found = re.fullmatch(r"(.+\.mat)@([0-9a-f]{64})", place)
    if found is None:
        raise UserError(
            f"NIQE needs its parameters, not {place!r}.",
            "Write pyiqa:niqe:FILE.mat@SHA256, the file being pyiqa's niqe_modelparameters.mat.",
        )
    file, wanted = Path(found.group(1)).expanduser(), found.group(2)
    if not file.is_file():
        raise UserError(f"There is no file {file} with NIQE's parameters.", "Check the path.")
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    if digest != wanted:
        raise UserError(
            f"{file} has the SHA-256 {digest}, not {wanted}.", "Take the file that was meant."
        )
    return file, digest
