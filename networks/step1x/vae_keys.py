"""Names of the autoencoder's weights: the published layout (latent diffusion's) to diffusers'."""

import re
from typing import Any

from torch import Tensor

State = dict[str, Tensor]

_BOTH = [
    (r"(encoder|decoder)\.mid\.block_1\.", r"\1.mid_block.resnets.0."),
    (r"(encoder|decoder)\.mid\.block_2\.", r"\1.mid_block.resnets.1."),
    (r"(encoder|decoder)\.mid\.attn_1\.norm\.", r"\1.mid_block.attentions.0.group_norm."),
    (r"(encoder|decoder)\.mid\.attn_1\.([qkv])\.", r"\1.mid_block.attentions.0.to_\2."),
    (r"(encoder|decoder)\.mid\.attn_1\.proj_out\.", r"\1.mid_block.attentions.0.to_out.0."),
    (r"(encoder|decoder)\.norm_out\.", r"\1.conv_norm_out."),
    (r"encoder\.down\.(\d+)\.block\.(\d+)\.", r"encoder.down_blocks.\1.resnets.\2."),
    (r"encoder\.down\.(\d+)\.downsample\.", r"encoder.down_blocks.\1.downsamplers.0."),
    (r"decoder\.up\.(\d+)\.block\.(\d+)\.", r"decoder.up_blocks.\1.resnets.\2."),
    (r"decoder\.up\.(\d+)\.upsample\.", r"decoder.up_blocks.\1.upsamplers.0."),
]
_PROJECTION = re.compile(r"mid\.attn_1\.(q|k|v|proj_out)\.weight$")


def levels(state: State) -> int:
    """Resolutions of a published autoencoder, 4 in FLUX's."""
    return 1 + max(int(name.split(".")[2]) for name in state if name.startswith("encoder.down."))


def _renamed(name: str, count: int) -> str:
    for pattern, target in _BOTH:
        found, hits = re.subn(rf"^{pattern}", target, name)
        if hits:
            name = found
            break
    name = name.replace(".nin_shortcut.", ".conv_shortcut.")
    # The published decoder counts its levels from the finest, diffusers from the coarsest.
    return re.sub(r"up_blocks\.(\d+)", lambda m: f"up_blocks.{count - 1 - int(m[1])}", name)


def to_diffusers(state: State) -> State:
    """Weights under diffusers' names; the attention's 1 x 1 convolutions become matrices."""
    count = levels(state)
    return {
        _renamed(name, count): value[:, :, 0, 0] if _PROJECTION.search(name) else value
        for name, value in state.items()
    }


def from_diffusers(state: State, names: list[str]) -> State:
    """The inverse: weights under the published `names`."""
    count = 1 + max(int(name.split(".")[2]) for name in names if name.startswith("encoder.down."))
    return {
        name: value[:, :, None, None] if _PROJECTION.search(name) else value
        for name in names
        for value in [state[_renamed(name, count)]]
    }


def sizes(state: State) -> dict[str, Any]:
    """Arguments of diffusers' AutoencoderKL for a published autoencoder, from its shapes."""
    count = levels(state)
    channels = tuple(state[f"encoder.down.{i}.block.0.conv2.weight"].shape[0] for i in range(count))
    blocks = {name.split(".")[4] for name in state if name.startswith("encoder.down.0.block.")}
    return {
        "block_out_channels": channels,
        "layers_per_block": len(blocks),
        "latent_channels": state["decoder.conv_in.weight"].shape[1],
        "down_block_types": ("DownEncoderBlock2D",) * count,
        "up_block_types": ("UpDecoderBlock2D",) * count,
        "use_quant_conv": False,
        "use_post_quant_conv": False,
    }


def published_names(level_count: int, blocks: int, channels: tuple[int, ...]) -> list[str]:
    """All names of a published autoencoder with these sizes."""

    def both(stem: str) -> list[str]:
        return [f"{stem}.weight", f"{stem}.bias"]

    def block(stem: str, inputs: int, outputs: int) -> list[str]:
        layers = ["norm1", "conv1", "norm2", "conv2"]
        layers += ["nin_shortcut"] * (inputs != outputs)
        return [name for layer in layers for name in both(f"{stem}.{layer}")]

    names: list[str] = []
    for side in ("encoder", "decoder"):
        names += both(f"{side}.conv_in")
        names += block(f"{side}.mid.block_1", 0, 0) + block(f"{side}.mid.block_2", 0, 0)
        for layer in ("norm", "q", "k", "v", "proj_out"):
            names += both(f"{side}.mid.attn_1.{layer}")
        names += both(f"{side}.norm_out") + both(f"{side}.conv_out")
    for i in range(level_count):
        for j in range(blocks):
            before = channels[max(0, i - 1)] if j == 0 else channels[i]
            names += block(f"encoder.down.{i}.block.{j}", before, channels[i])
        if i < level_count - 1:
            names += both(f"encoder.down.{i}.downsample.conv")
        for j in range(blocks + 1):
            above = channels[min(level_count - 1, i + 1)] if j == 0 else channels[i]
            names += block(f"decoder.up.{i}.block.{j}", above, channels[i])
        if i > 0:
            names += both(f"decoder.up.{i}.upsample.conv")
    return names


def is_published(state: State) -> bool:
    """Whether the names are the published ones, not diffusers'."""
    return any(name.startswith("encoder.down.") for name in state)
