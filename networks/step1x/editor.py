"""Step1X-Edit v1.0, v1.1 and RealRestorer as an editing model, from and to both layouts."""

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import diffusers
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from networks.editing.base import (
    Condition,
    Editor,
    encoder_type,
    images_of,
    pack,
    transformer_flops,
    unpack,
)
from networks.step1x.autoencoder import Autoencoder
from networks.step1x.checkpoint import load_state, published_state, read_shapes, read_state
from networks.step1x.config import Step1XConfig, infer_config
from networks.step1x.encoder import TextEncoder
from networks.step1x.guidance import guide
from networks.step1x.latents import timesteps
from networks.step1x.model import Step1XTransformer
from networks.step1x.places import INDEX, Places, find_places
from networks.step1x.text import LENGTH

NESTED = "inner_model."
SHARD = 9_900_000_000
"""Bytes of a file of the bundle's transformer."""


class Step1XEditor(Editor):
    """Frozen Qwen2.5-VL and FLUX autoencoder around connector and transformer."""

    name = "step1x"

    def __init__(
        self,
        network: Step1XTransformer,
        autoencoder: Autoencoder,
        encoder: TextEncoder,
        extra: dict[str, Tensor],
        places: Places,
        device: torch.device | str = "cpu",
        offload: bool = False,
    ) -> None:
        super().__init__(device, offload)
        self.network: Step1XTransformer = network
        self.autoencoder, self.encoder = autoencoder, encoder
        self.extra, self.places, self.folder = extra, places, places.root
        self.channels = autoencoder.channels
        self.stored = {name: value.dtype for name, value in network.state_dict().items()}

    @classmethod
    def open(
        cls,
        root: Path,
        device: torch.device | str = "cpu",
        dtype: torch.dtype | None = None,
        offload: bool = False,
        target: torch.device | str | None = None,
    ) -> "Step1XEditor":
        """Read either layout below `root`. Raises `UserError`.

        dtype: of the network; None keeps that of its file. target: where it will be moved later,
        `device` when None. The text encoder is bf16 for a GPU and float32 for a CPU, the
        autoencoder float32.
        """
        places = find_places(root)
        state: dict[str, Tensor] = {}
        for path in places.transformer:
            state |= read_state(path)
        network, extra = build(state)
        autoencoder = Autoencoder(
            {k.removeprefix(NESTED): v for k, v in read_state(places.autoencoder).items()}
        )
        kind = encoder_type(target or device)
        encoder = TextEncoder.from_folders(places.text_encoder, places.processor, kind)
        editor = cls(network, autoencoder, encoder, extra, places, device, offload)
        if dtype is not None:
            network.to(dtype)
        editor.to(device)
        return editor

    encoder_gib = 16.0

    @classmethod
    def sketch(cls, folder: Path | None, dtype: torch.dtype) -> "Step1XEditor":
        """See `Editor.sketch`."""
        shapes: dict[str, tuple[int, ...]] = {}
        for path in find_places(folder).transformer if folder else ():
            shapes |= read_shapes(path)
        config = (
            infer_config({k.removeprefix(NESTED): v for k, v in shapes.items()})
            if shapes
            else Step1XConfig()
        )
        editor = cls.__new__(cls)
        Editor.__init__(editor, "meta")
        with torch.device("meta"):
            editor.network = Step1XTransformer(config).to(dtype)
        editor.channels = config.channels // 4
        return editor

    def blank(self, height: int, width: int) -> Condition:
        """See `Editor.blank`."""
        width_ = self.network.config.connector.text_width
        return {
            "states": torch.zeros(1, LENGTH, width_, device=self.device),
            "mask": torch.ones(1, LENGTH, dtype=torch.bool, device=self.device),
        }

    def frozen(self) -> dict[str, nn.Module]:
        """Autoencoder and text encoder."""
        return {"autoencoder": self.autoencoder, "text encoder": self.encoder}

    def encode(self, pixels: Tensor) -> Tensor:
        """See `Editor.encode`."""
        with self.at_hand(self.autoencoder) as autoencoder:
            return pack(autoencoder.encode(pixels.to(self.device)))

    def decode(self, tokens: Tensor, height: int, width: int) -> Tensor:
        """See `Editor.decode`."""
        with self.at_hand(self.autoencoder) as autoencoder:
            return autoencoder.decode(unpack(tokens, height // 8, width // 8))

    def condition(self, pixels: Tensor, instructions: Sequence[str]) -> Condition:
        """`states` (batch, 640, width) and `mask` (batch, 640)."""
        plain = torch.autocast(self.device.type, enabled=False)
        with self.at_hand(self.encoder) as encoder, plain:
            states, mask = encoder(images_of(pixels), instructions)
        return {"states": states, "mask": mask}

    def velocity(
        self, noisy: Tensor, reference: Tensor, size: tuple[int, int], t: Tensor, given: Condition
    ) -> Tensor:
        """See `Editor.velocity`; computed in the network's own type (or under autocast)."""
        kind = next(self.network.parameters()).dtype
        return self.network(
            noisy.to(kind),
            reference.to(kind),
            (size[0] // 8, size[1] // 8),
            t,
            given["states"].to(kind),
            given["mask"],
        )

    def guide(self, conditional: Tensor, unconditional: Tensor, t: float, scale: float) -> Tensor:
        """With the norm rule above t = 0.93."""
        return guide(conditional, unconditional, t, scale)

    def times(self, steps: int, tokens: int) -> Tensor:
        """Shifted by the number of target tokens."""
        return timesteps(steps, tokens)

    def tokens(self, height: int, width: int) -> int:
        """640 of text, then target and reference."""
        return LENGTH + 2 * (height // 16) * (width // 16)

    def flops(self, height: int, width: int) -> float:
        """Of the transformer; the connector adds 640 tokens through two blocks."""
        config = self.network.config
        blocks = config.double_blocks + config.single_blocks
        inner = config.connector
        return transformer_flops(
            config.width, blocks, self.tokens(height, width)
        ) + transformer_flops(inner.width, inner.depth, LENGTH, inner.mlp_ratio)

    def published(self, state: dict[str, Tensor] | None = None) -> dict[str, Tensor]:
        """All weights under their published names, in their published types, in host memory.

        A GPU that trains has no room for the fused projections that are put together here.
        """
        own = {
            name: value.detach().to("cpu", self.stored.get(name, value.dtype))
            for name, value in (state or self.network.state_dict()).items()
        }
        return {**published_state(self.network, own), **self.extra}

    def save(self, folder: Path, state: dict[str, Tensor] | None = None) -> None:
        """Write all parts in the layout that was read; the unchanged ones as they are."""
        save_layout(self, folder, self.places.layout, state)

    def parts(self) -> dict[str, tuple[Path, ...]]:
        """See `Editor.parts`; sizes and the scheduler are not read from the bundle's files."""
        places = self.places
        return {
            "transformer": places.transformer,
            "vae": (places.autoencoder,),
            "text_encoder": (places.text_encoder,),
            "processor": (places.processor,),
        }

    def weight_files(self) -> tuple[Path, ...]:
        """See `Editor.weight_files`."""
        return self.places.transformer


def build(
    state: dict[str, Tensor], config: Step1XConfig | None = None
) -> tuple[Step1XTransformer, dict[str, Tensor]]:
    """The network of published weights, and those it has no place for. Raises `UserError`."""
    shapes = {name.removeprefix(NESTED): tuple(value.shape) for name, value in state.items()}
    if config is None:
        try:
            config = infer_config(shapes)
        except KeyError as error:
            from catalog.errors import UserError

            raise UserError(
                f"The checkpoint has no {error.args[0]}.",
                "It is not of Step1X-Edit or RealRestorer; name another file.",
            ) from error
    with torch.device("meta"):
        network = Step1XTransformer(config)
    return network, load_state(network, state)


def save_layout(
    editor: Step1XEditor, folder: Path, layout: str, state: dict[str, Tensor] | None = None
) -> None:
    """Write `editor` as a "nested" bundle or as "single-file" parts into an existing folder."""
    published = _writable(editor.published(state))
    autoencoder = _writable(editor.autoencoder.published())
    places = editor.places
    if layout == "single-file":
        name = places.transformer[0].name if places.layout == layout else "step1x-edit.safetensors"
        save_file(published, folder / name, metadata={"format": "pt"})
        save_file(autoencoder, folder / "vae.safetensors", metadata={"format": "pt"})
        for source in dict.fromkeys((places.text_encoder, places.processor)):
            shutil.copytree(source, folder / "Qwen2.5-VL-7B-Instruct", dirs_exist_ok=True)
        return
    from huggingface_hub import save_torch_state_dict

    nested = {NESTED + name: value for name, value in published.items()}
    (folder / "transformer").mkdir()
    save_torch_state_dict(
        nested,
        folder / "transformer",
        filename_pattern="diffusion_pytorch_model{suffix}.safetensors",
        max_shard_size=SHARD,
        metadata={"format": "pt"},
    )
    (folder / "vae").mkdir()
    save_file(
        {NESTED + name: value for name, value in autoencoder.items()},
        folder / "vae" / "diffusion_pytorch_model.safetensors",
        metadata={"format": "pt"},
    )
    if places.layout == "nested":
        for name in ("transformer/config.json", "vae/config.json", INDEX):
            if (places.root / name).is_file():
                shutil.copy2(places.root / name, folder / name)
        for name in ("text_encoder", "processor", "scheduler"):
            if (places.root / name).is_dir():
                shutil.copytree(places.root / name, folder / name)
        return
    shutil.copytree(places.text_encoder, folder / "text_encoder")
    shutil.copytree(
        places.processor, folder / "processor", ignore=shutil.ignore_patterns("*.safetensors*")
    )
    (folder / "scheduler").mkdir()
    for name, content in _configs(editor).items():
        (folder / name).write_text(json.dumps(content, indent=2) + "\n", "utf-8")


def _writable(state: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: value.detach().cpu().contiguous() for name, value in state.items()}


def _configs(editor: Step1XEditor) -> dict[str, dict[str, Any]]:
    """The JSON files of a bundle, with the class names of the authors' pipeline."""
    config, sizes = editor.network.config, editor.autoencoder.vae.config
    version = {"_diffusers_version": diffusers.__version__}
    first = sizes.block_out_channels[0]
    return {
        INDEX: {
            "_class_name": "RealRestorerPipeline",
            **version,
            "processor": ["transformers", "Qwen2_5_VLProcessor"],
            "scheduler": ["diffusers", "RealRestorerFlowMatchScheduler"],
            "text_encoder": ["transformers", "Qwen2_5_VLForConditionalGeneration"],
            "transformer": ["diffusers", "RealRestorerTransformer2DModel"],
            "vae": ["diffusers", "RealRestorerAutoencoderKL"],
        },
        "transformer/config.json": {
            "_class_name": "RealRestorerTransformer2DModel",
            **version,
            "in_channels": config.channels,
            "out_channels": config.channels,
            "vec_in_dim": config.connector.pooled,
            "context_in_dim": config.connector.width,
            "hidden_size": config.width,
            "mlp_ratio": 4.0,
            "num_heads": config.heads,
            "depth": config.double_blocks,
            "depth_single_blocks": config.single_blocks,
            "axes_dims_rope": list(config.axes),
            "theta": 10_000,
            "qkv_bias": True,
            "mode": "flash",
            "version": config.version,
            "guidance_embeds": config.guidance,
            "use_mask_token": "mask_token" in editor.extra,
        },
        "vae/config.json": {
            "_class_name": "RealRestorerAutoencoderKL",
            **version,
            "resolution": 256,
            "in_channels": 3,
            "ch": first,
            "out_ch": 3,
            "ch_mult": [width // first for width in sizes.block_out_channels],
            "num_res_blocks": sizes.layers_per_block,
            "z_channels": sizes.latent_channels,
            "scale_factor": 0.3611,
            "shift_factor": 0.1159,
        },
        "scheduler/scheduler_config.json": {
            "_class_name": "RealRestorerFlowMatchScheduler",
            **version,
            "base_image_seq_len": 256,
            "max_image_seq_len": 4096,
            "base_shift": 0.5,
            "max_shift": 1.15,
            "shift": True,
        },
    }
