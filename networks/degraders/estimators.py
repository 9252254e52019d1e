"""Depth and segments by a model of the user's own, through transformers, from local files only.

Depth: whatever `AutoModelForDepthEstimation` loads (Depth Anything, DPT and so MiDaS, ZoeDepth,
Depth Pro). Segments: a mask generator prompted by a grid of points (SAM, SAM 2) or a model of
semantic, panoptic or instance segmentation (Mask2Former and others).
"""

import hashlib
from functools import cached_property
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from PIL import Image

from catalog.errors import UserError
from catalog.images import Rgb

_PREFIX = "transformers:"
_POINTS = 16
"""Points a side of the grid that a mask generator is asked about."""

_CLASSES = {
    "depth-estimation": ("AutoModelForDepthEstimation",),
    "mask-generation": ("AutoModelForMaskGeneration",),
    "image-segmentation": (
        "AutoModelForUniversalSegmentation",
        "AutoModelForImageSegmentation",
        "AutoModelForSemanticSegmentation",
        "AutoModelForInstanceSegmentation",
    ),
}
"""The classes of transformers that a model for a pipeline's task is looked for in, in order."""

METRIC = ("zoedepth", "depth_pro", "glpn", "tipsv2_dpt")
"""Model types that give distances; DPT gives inverse ones, Depth Anything what its file says."""


def local_folder(name: str, setting: str) -> Path:
    """FOLDER of "transformers:FOLDER". Raises `UserError` for another name or no such model."""
    if not name.startswith(_PREFIX):
        raise UserError(
            f"{setting} {name!r} is no known estimator.",
            f"Set {setting} to embedded, or to {_PREFIX}FOLDER.",
        )
    folder = Path(name.removeprefix(_PREFIX))
    if not (folder / "config.json").is_file():
        raise UserError(
            f"The folder {folder} of {setting} holds no config.json.",
            "Name a folder that transformers' save_pretrained or a download made.",
        )
    return folder


def _digest(folder: Path, version: str) -> str:
    """SHA-256 over the names and contents of the folder's files, and how they are used."""
    found = hashlib.sha256(version.encode())
    for path in sorted(folder.iterdir()):
        if path.is_file() and path.suffix in (".json", ".safetensors"):
            with path.open("rb") as file:
                found.update(path.name.encode() + hashlib.file_digest(file, "sha256").digest())
    return found.hexdigest()


class _Local:
    """A pipeline of transformers, loaded at first use, without network and foreign code."""

    tasks: tuple[str, ...] = ()
    version = ""
    """Of what is made of the model's answers."""

    def __init__(self, folder: Path, device: str | None = None) -> None:
        self.folder, self.device = folder, device or "cpu"
        self.digest = _digest(folder, self.version)

    def __getstate__(self) -> dict[str, Any]:
        return {name: self.__dict__[name] for name in ("folder", "device", "digest")}

    @cached_property
    def task(self) -> str:
        """The pipeline's task."""
        return self.tasks[0]

    @cached_property
    def pipeline(self) -> Any:
        """The pipeline. Raises `UserError` where the folder's model does not do the task."""
        import torch
        import transformers

        local = {"local_files_only": True, "trust_remote_code": False}
        try:
            processor = transformers.AutoImageProcessor.from_pretrained(self.folder, **local)
            model = _model(self.task, self.folder, local | {"use_safetensors": True})
            # The pipeline's many overloads name its tasks one by one.
            make: Any = transformers.pipeline
            return make(
                self.task, model=model, image_processor=processor, device=torch.device(self.device)
            )
        except (OSError, ValueError, KeyError, ImportError) as error:
            raise UserError(
                f"The model in {self.folder} cannot be used for {self.task}: "
                f"{str(error).splitlines()[0]}",
                "Name a folder with config.json, preprocessor_config.json and safetensors of one.",
            ) from error


def _model(task: str, folder: Path, options: dict[str, Any]) -> Any:
    """By the first of the task's classes that knows this kind of model."""
    import transformers

    for name in _CLASSES[task]:
        kind = getattr(transformers, name)
        config = transformers.AutoConfig.from_pretrained(folder, local_files_only=True)
        if type(config) in kind._model_mapping:
            return kind.from_pretrained(folder, **options)
    raise ValueError(f"a {config.model_type} is none of {', '.join(_CLASSES[task])}")


def gives_distances(config: Any) -> bool:
    """Whether a depth model's larger values are farther away.

    The metric checkpoints of Depth Anything differ from the relative ones by a field alone.
    """
    kind = getattr(config, "depth_estimation_type", None)
    return kind == "metric" or config.model_type in METRIC


class TransformersDepth(_Local):
    """A `DepthEstimator` by a model's local folder."""

    version = "2"

    tasks = ("depth-estimation",)

    def depth(self, image: Rgb, rng: np.random.Generator) -> np.ndarray:
        """(h, w) float32, 0 near .. 1 far; `rng` is not used."""
        found = self.pipeline(Image.fromarray(image))["predicted_depth"]
        values = np.squeeze(found.float().cpu().numpy()).astype(np.float32)
        if not gives_distances(self.pipeline.model.config):
            values = -values
        low, high = (float(value) for value in np.percentile(values, [1, 99]))
        far = np.clip((values - low) / max(high - low, 1e-6), 0, 1).astype(np.float32)
        return cv2.resize(far, image.shape[1::-1], interpolation=cv2.INTER_LINEAR)


class TransformersSegments(_Local):
    """A `Segmenter` by a model's local folder; `options` go to the mask-generation pipeline."""

    tasks = ("mask-generation", "image-segmentation")

    def __init__(self, folder: Path, device: str | None = None, **options: float) -> None:
        super().__init__(folder, device)
        self.options = {"points_per_crop": _POINTS} | options

    def __getstate__(self) -> dict[str, Any]:
        return super().__getstate__() | {"options": self.options}

    @cached_property
    def task(self) -> str:
        """By the kind of the model."""
        from transformers import AutoConfig, AutoModelForMaskGeneration

        config = AutoConfig.from_pretrained(self.folder, local_files_only=True)
        return self.tasks[0 if type(config) in AutoModelForMaskGeneration._model_mapping else 1]

    def segments(self, image: Rgb, rng: np.random.Generator) -> np.ndarray:
        """(h, w) int32, labels from 0; smaller masks lie on larger ones, 0 is the rest."""
        picture = Image.fromarray(image)
        if self.task == self.tasks[0]:
            found = self.pipeline(picture, **self.options)
            masks = [np.asarray(mask, bool) for mask in found["masks"]]
        else:
            masks = [np.asarray(part["mask"]) > 127 for part in self.pipeline(picture)]
        labels = np.zeros(image.shape[:2], np.int32)
        for number, mask in enumerate(sorted(masks, key=lambda mask: -int(mask.sum())), start=1):
            labels[mask.reshape(labels.shape)] = number
        return labels
