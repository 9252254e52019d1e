"""What FLUX.1-Kontext and Qwen-Image-Edit have in common: a folder of a diffusers pipeline."""

import copy
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from catalog.errors import UserError
from networks.editing.base import Editor, encoder_type
from networks.editing.content import pipeline_parts

PATTERN = "diffusion_pytorch_model{suffix}.safetensors"
SHARD = 9_900_000_000


class PipelineEditor(Editor):
    """An editing model read by diffusers' own pipeline class, whose parts it runs."""

    pipeline: str
    """Name of the class in diffusers."""

    def __init__(
        self, pipe: Any, folder: Path, device: torch.device | str = "cpu", offload: bool = False
    ) -> None:
        super().__init__(device, offload)
        self.pipe, self.folder = pipe, folder
        self.network = pipe.transformer
        self.dtypes = {name: value.dtype for name, value in self.network.state_dict().items()}
        self.stored = self.dtypes
        for part in self.frozen().values():
            part.requires_grad_(False).eval()

    @classmethod
    def open(
        cls,
        folder: Path,
        device: torch.device | str = "cpu",
        dtype: torch.dtype | None = None,
        offload: bool = False,
        target: torch.device | str | None = None,
    ) -> "PipelineEditor":
        """Read the pipeline in `folder` (safetensors only). Raises `UserError`.

        dtype: of the network; None keeps that of its file. target: where it will be moved later,
        `device` when None. The text encoders are bf16 for a GPU and float32 for a CPU, the
        autoencoder float32.
        """
        import diffusers

        kind = encoder_type(target or device)
        try:
            pipe = getattr(diffusers, cls.pipeline).from_pretrained(
                folder,
                torch_dtype={"default": kind, "transformer": _stored(folder), "vae": torch.float32},
                local_files_only=True,
                use_safetensors=True,
            )
        except (OSError, ValueError) as error:
            raise UserError(
                f"The {cls.pipeline} in {folder} cannot be read: {error}.",
                "Download the whole repository, with its weights in safetensors.",
            ) from error
        editor = cls(pipe, folder, device, offload)
        if dtype is not None:
            editor.network.to(dtype)
        editor.to(device)
        return editor

    transformer: str
    """Name of the network's class in diffusers."""
    sizes: ClassVar[dict[str, Any]] = {}
    """Arguments of that class for the released network, where they are not its defaults."""

    @classmethod
    def sketch(cls, folder: Path | None, dtype: torch.dtype) -> "PipelineEditor":
        """See `Editor.sketch`."""
        import diffusers

        kind = getattr(diffusers, cls.transformer)
        config = kind.load_config(folder / "transformer") if folder else cls.sizes
        editor = cls.__new__(cls)
        Editor.__init__(editor, "meta")
        with torch.device("meta"):
            editor.network = (kind.from_config(config) if folder else kind(**config)).to(dtype)
        editor.pipe = SimpleNamespace(transformer=editor.network)
        return editor

    def frozen(self) -> dict[str, nn.Module]:
        """All modules of the pipeline but the transformer."""
        return {
            name: part
            for name, part in self.pipe.components.items()
            if isinstance(part, nn.Module) and name != "transformer"
        }

    def times(self, steps: int, tokens: int) -> Tensor:
        """Those of the pipeline's own scheduler."""
        scheduler = copy.deepcopy(self.pipe.scheduler)
        own = scheduler.config
        few, many = own.get("base_image_seq_len", 256), own.get("max_image_seq_len", 4096)
        low, high = own.get("base_shift", 0.5), own.get("max_shift", 1.15)
        mu = low + (high - low) * (tokens - few) / (many - few)
        scheduler.set_timesteps(sigmas=np.linspace(1.0, 1 / steps, steps), mu=mu)
        return scheduler.sigmas.float().cpu()

    def save(self, folder: Path, state: dict[str, Tensor] | None = None) -> None:
        """Write the pipeline; what did not learn is copied."""
        from huggingface_hub import save_torch_state_dict

        assert self.folder is not None
        own = state if state is not None else self.network.state_dict()
        shutil.copytree(
            self.folder,
            folder,
            dirs_exist_ok=True,
            ignore=lambda place, names: (
                [name for name in names if "safetensors" in name]
                if Path(place).name == "transformer"
                else []
            ),
        )
        save_torch_state_dict(
            {k: v.detach().to("cpu", self.dtypes[k]).contiguous() for k, v in own.items()},
            folder / "transformer",
            filename_pattern=PATTERN,
            max_shard_size=SHARD,
            metadata={"format": "pt"},
        )

    def parts(self) -> dict[str, tuple[Path, ...]]:
        """See `Editor.parts`."""
        assert self.folder is not None
        return pipeline_parts(self.folder)

    def weight_files(self) -> tuple[Path, ...]:
        """See `Editor.weight_files`."""
        assert self.folder is not None
        return tuple(sorted((self.folder / "transformer").glob("*.safetensors")))


def _stored(folder: Path) -> torch.dtype:
    """The type of the transformer's file, which is then kept."""
    from safetensors import safe_open

    for path in sorted((folder / "transformer").glob("*.safetensors")):
        with safe_open(path, "pt") as file:
            for name in file.keys():  # noqa: SIM118
                return file.get_slice(name)[:0].dtype
    raise UserError(
        f"{folder} has no transformer/*.safetensors.",
        "Download the whole repository; pickled weights are refused.",
    )
