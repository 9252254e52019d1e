"""Released editing models as restorers, run by diffusers' own pipelines.

The model works at its own size of about one megapixel; the image is brought to it by Lanczos and
back to exactly its size. With `tiles`, an image larger than that is restored in overlapping parts
at its own size instead.
"""

import hashlib
import json
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from catalog.degradations import WORDING, Degradation
from catalog.errors import UserError
from catalog.images import Rgb
from networks.editing.attention import kernels
from networks.editing.content import content_hash, pipeline_parts
from networks.interfaces import Identity
from networks.student.patches import to_image, to_tensor
from networks.tiling import in_tiles

PREFIX = "diffusers:"


@dataclass(frozen=True)
class Family:
    """How one pipeline class of diffusers is called; values are those of the model's release."""

    name: str
    steps: int
    guidance: float
    guided_by: str
    """The argument that takes `guidance`."""
    negative: str | None
    """The negative prompt without which guidance is off; None where it is embedded."""
    batches: bool
    """Whether the pipeline takes several images at once."""
    multiple: int
    """Of its working width and height, px."""
    sized: bool = True
    """Whether it takes width and height; otherwise it sizes the image itself."""


FAMILIES = {
    "FluxKontextPipeline": Family(
        "flux-kontext", 28, 2.5, "guidance_scale", None, batches=True, multiple=16
    ),
    "QwenImageEditPipeline": Family(
        "qwen-image-edit", 50, 4.0, "true_cfg_scale", " ", batches=False, multiple=32
    ),
    "QwenImageEditPlusPipeline": Family(
        "qwen-image-edit-plus", 40, 4.0, "true_cfg_scale", " ", batches=False, multiple=32
    ),
    "LongCatImageEditPipeline": Family(
        "longcat-image-edit", 50, 4.5, "guidance_scale", "", False, multiple=16, sized=False
    ),
}


@dataclass(frozen=True)
class Options:
    """How a pipeline restores: "diffusers:PLACE?steps=20&tiles=true"."""

    steps: int = 0
    """0 for the family's."""
    guidance: float = 0.0
    """0 for the family's."""
    tiles: bool = False
    side: int = 1024
    """Images are worked on at about side x side pixels, or cut into tiles of that side. Only
    Kontext was trained on other sizes; the others see the image at 1024 x 1024 in any case."""
    overlap: int = 128
    batch: int = 1
    seed: int = 0
    offload: bool = False
    """Whether parts wait in the host's memory until they are needed."""


def read_options(text: str) -> Options:
    """`steps=20&tiles=true`. Raises `UserError`."""
    kinds = {field.name: field.type for field in fields(Options)}
    values: dict[str, Any] = {}
    for name, value in parse_qsl(text, keep_blank_values=True):
        kind: Any = kinds.get(name)
        if kind is None:
            raise UserError(
                f"{name} is no option of a diffusers teacher.", f"Options are {', '.join(kinds)}."
            )
        try:
            flags = {"true": True, "1": True, "false": False, "0": False}
            values[name] = flags[value.lower()] if kind is bool else kind(value)
        except (ValueError, KeyError):
            raise UserError(
                f"{name}={value} is no {kind.__name__}.", "Write it as in steps=20&tiles=true."
            ) from None
    side = values.get("side", Options.side)
    values.setdefault("overlap", min(Options.overlap, side // 2))
    options = Options(**values)
    if (
        options.side < 64
        or not 0 <= 2 * options.overlap <= options.side
        or options.batch < 1
        or not (options.steps >= 0 and options.guidance >= 0)
    ):
        raise UserError(
            f"The options {text} do not fit together.",
            "side is at least 64, overlap at most half of side, batch at least 1, and steps and "
            "guidance at least 0 (0 for the model's own).",
        )
    return options


def working_size(width: int, height: int, side: int, multiple: int) -> tuple[int, int]:
    """(width, height) of about side x side pixels in the image's ratio, as the pipelines do it."""
    ratio = width / height
    wide = side * ratio**0.5
    return (
        max(multiple, round(wide / multiple) * multiple),
        max(multiple, round(wide / ratio / multiple) * multiple),
    )


class PipelineRestorer:
    """A diffusers pipeline as a Restorer.

    Noise depends on the seed and the size alone, so the same image gives the same result in any
    batch, up to rounding.
    """

    def __init__(
        self,
        pipe: Any,
        family: Family,
        identity: Identity,
        options: Options,
        device: torch.device | str = "cpu",
    ) -> None:
        """`device` is where `pipe` computes."""
        self.pipe, self.family, self.identity = pipe, family, identity
        self.options, self.device = options, device

    def supports(self, degradation: Degradation) -> bool:
        """True: the instruction says what to do."""
        return True

    def restore(self, images: Sequence[Rgb], degradation: Degradation) -> list[Rgb]:
        """Restored images, each of its input's size. Raises `UserError` when memory runs out."""
        instruction = WORDING[Degradation(degradation)].instruction_en
        side = self.options.side
        large = {
            index
            for index, image in enumerate(images)
            if self.options.tiles and max(image.shape[:2]) > side
        }
        whole = [index for index in range(len(images)) if index not in large]
        found = dict(
            zip(whole, self._edit([images[i] for i in whole], instruction), strict=True)
        ) | {i: self._tiled(images[i], instruction) for i in large}
        return [found[index] for index in range(len(images))]

    def _tiled(self, image: Rgb, instruction: str) -> Rgb:
        def run(tiles: Tensor) -> Tensor:
            edited = self._edit([to_image(tile) for tile in tiles], instruction)
            return torch.stack([to_tensor(one) for one in edited])

        o = self.options
        return to_image(in_tiles(to_tensor(image), o.side, o.overlap, run, o.batch))

    def _edit(self, images: Sequence[Rgb], instruction: str) -> list[Rgb]:
        waiting: defaultdict[tuple[int, int], list[int]] = defaultdict(list)
        for index, image in enumerate(images):
            height, width = image.shape[:2]
            size = working_size(width, height, self.options.side, self.family.multiple)
            waiting[size].append(index)
        batch = self.options.batch if self.family.batches else 1
        results: list[Rgb] = list(images)
        for size, indices in waiting.items():
            for first in range(0, len(indices), batch):
                part = indices[first : first + batch]
                ready = [images[index] for index in part]
                if self.family.sized:
                    ready = [_resized(image, size) for image in ready]
                for index, edited in zip(part, self._call(ready, size, instruction), strict=True):
                    height, width = images[index].shape[:2]
                    results[index] = _resized(edited, (width, height))
        return results

    def _call(self, images: list[Rgb], size: tuple[int, int], instruction: str) -> list[Rgb]:
        family, options = self.family, self.options
        count = len(images)
        pictures = [Image.fromarray(image) for image in images]
        seeded = [torch.Generator().manual_seed(options.seed) for _ in images]
        given: dict[str, Any] = {
            "image": pictures if count > 1 else pictures[0],
            "prompt": [instruction] * count if count > 1 else instruction,
            "num_inference_steps": options.steps or family.steps,
            family.guided_by: options.guidance or family.guidance,
            "generator": seeded if count > 1 else seeded[0],
        }
        if family.negative is not None:
            given["negative_prompt"] = family.negative
        if family.sized:
            given |= {"width": size[0], "height": size[1]}
        if family.name == "flux-kontext":
            # Its own list of sizes would stretch the reference but not the result.
            given |= {"_auto_resize": False, "max_area": size[0] * size[1]}
        try:
            with torch.inference_mode(), kernels("flash", self.device):
                edited = self.pipe(**given).images
        except torch.OutOfMemoryError as error:
            raise UserError(
                f"The device has too little memory for {count} images of {size[0]} x {size[1]}.",
                "Add ?offload=true to the teacher's name, or lower its batch.",
            ) from error
        return [np.asarray(one.convert("RGB")) for one in edited]


def _resized(image: Rgb, size: tuple[int, int]) -> Rgb:
    """To (width, height) by Lanczos."""
    if (image.shape[1], image.shape[0]) == size:
        return image
    return np.asarray(Image.fromarray(image).resize(size, Image.Resampling.LANCZOS))


def load_pipeline(name: str, device: str | None = None) -> PipelineRestorer:
    """The pipeline `PLACE?OPTIONS`; PLACE is a folder, or a repository of the hub's local cache.

    Nothing is downloaded, only safetensors are read, and no code of the repository is run. bf16 on
    a GPU, float32 on a CPU. Raises `UserError`.
    """
    import diffusers

    place, _, text = name.partition("?")
    options = read_options(text)
    folder = _folder(place)
    kind, family = _family(folder)
    _refuse_pickles(folder)
    device = device or ("cuda" if torch.cuda.is_available() else "cpu")
    dtype = torch.bfloat16 if device.startswith("cuda") else torch.float32
    try:
        pipe = getattr(diffusers, kind).from_pretrained(
            folder, torch_dtype=dtype, local_files_only=True, use_safetensors=True
        )
    except (OSError, ValueError, TypeError) as error:
        raise UserError(
            f"The {kind} in {folder} cannot be read: {error}.", "Download the whole repository."
        ) from error
    pipe.set_progress_bar_config(disable=True)
    try:
        if options.offload and device.startswith("cuda"):
            pipe.enable_model_cpu_offload(device=device)
        else:
            pipe.to(device)
    except torch.OutOfMemoryError as error:
        raise UserError(
            f"{device} has too little memory for the {kind} in {folder}.",
            "Add ?offload=true to the teacher's name, or name a device with more.",
        ) from error
    # How it samples is part of who it is; where it runs is not.
    told = replace(options, batch=1, offload=False)
    text = "\n".join([str(told), *(WORDING[task].instruction_en for task in Degradation)])
    prompt = hashlib.sha256(text.encode()).hexdigest()
    identity = Identity(family.name, "v1", content_hash(pipeline_parts(folder)), prompt)
    return PipelineRestorer(pipe, family, identity, options, device)


def _folder(place: str) -> Path:
    if Path(place).is_dir():
        return Path(place)
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HFValidationError, LocalEntryNotFoundError

    try:
        return Path(snapshot_download(place, local_files_only=True))
    except (LocalEntryNotFoundError, HFValidationError) as error:
        raise UserError(
            f"The teacher {PREFIX}{place} is no folder and not in the hub's local cache.",
            f"Download it with `hf download {place}`, or name the folder that holds it.",
        ) from error


def _family(folder: Path) -> tuple[str, Family]:
    index = folder / "model_index.json"
    try:
        kind = json.loads(index.read_text("utf-8"))["_class_name"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(
            f"{folder} holds no pipeline: model_index.json cannot be read ({error}).",
            "Name the folder of a diffusers pipeline.",
        ) from error
    if kind not in FAMILIES:
        raise UserError(
            f"{folder} is of {kind}, which is not known here.", f"Known are {', '.join(FAMILIES)}."
        )
    return kind, FAMILIES[kind]


def _refuse_pickles(folder: Path) -> None:
    for part in sorted(path for path in folder.iterdir() if path.is_dir()):
        files = [path.name for path in part.iterdir()]
        pickled = [name for name in files if name.endswith((".bin", ".pt", ".pth", ".ckpt"))]
        if pickled and not any(name.endswith(".safetensors") for name in files):
            raise UserError(
                f"{part / pickled[0]} is pickled, and a pickle can run anything when it is read.",
                "Download the repository's safetensors, or convert it elsewhere.",
            )
