"""Names of weights: the published layout (FLUX's own) to diffusers' and back, at any size.

diffusers splits the fused projections q, k, v (and the MLP's first in single blocks) and swaps
shift and scale in the last modulation; nothing else changes but the names.
"""

from collections.abc import Iterable

import torch
from torch import Tensor

State = dict[str, Tensor]

_TOP = {
    "img_in": "x_embedder",
    "txt_in": "context_embedder",
    "time_in.in_layer": "time_text_embed.timestep_embedder.linear_1",
    "time_in.out_layer": "time_text_embed.timestep_embedder.linear_2",
    "vector_in.in_layer": "time_text_embed.text_embedder.linear_1",
    "vector_in.out_layer": "time_text_embed.text_embedder.linear_2",
    "guidance_in.in_layer": "time_text_embed.guidance_embedder.linear_1",
    "guidance_in.out_layer": "time_text_embed.guidance_embedder.linear_2",
    "final_layer.linear": "proj_out",
}
_DOUBLE = {
    "img_mod.lin": "norm1.linear",
    "txt_mod.lin": "norm1_context.linear",
    "img_attn.proj": "attn.to_out.0",
    "txt_attn.proj": "attn.to_add_out",
    "img_mlp.0": "ff.net.0.proj",
    "img_mlp.2": "ff.net.2",
    "txt_mlp.0": "ff_context.net.0.proj",
    "txt_mlp.2": "ff_context.net.2",
}
_DOUBLE_SCALES = {
    "img_attn.norm.query_norm.scale": "attn.norm_q.weight",
    "img_attn.norm.key_norm.scale": "attn.norm_k.weight",
    "txt_attn.norm.query_norm.scale": "attn.norm_added_q.weight",
    "txt_attn.norm.key_norm.scale": "attn.norm_added_k.weight",
}
_SINGLE = {"modulation.lin": "norm.linear", "linear2": "proj_out"}
_SINGLE_SCALES = {
    "norm.query_norm.scale": "attn.norm_q.weight",
    "norm.key_norm.scale": "attn.norm_k.weight",
}
_DOUBLE_FUSED = {
    "img_attn.qkv": ("attn.to_q", "attn.to_k", "attn.to_v"),
    "txt_attn.qkv": ("attn.add_q_proj", "attn.add_k_proj", "attn.add_v_proj"),
}
_SINGLE_FUSED = {"linear1": ("attn.to_q", "attn.to_k", "attn.to_v", "proj_mlp")}
_LAST = ("final_layer.adaLN_modulation.1", "norm_out.linear")


def _blocks(state: Iterable[str], prefix: str) -> int:
    numbers = {int(name.split(".")[1]) for name in state if name.startswith(prefix + ".")}
    return max(numbers, default=-1) + 1


def _table(double: int, single: int) -> tuple[dict[str, str], dict[str, tuple[str, ...]]]:
    """(renamed, fused): published name to one name, or to the names of its parts."""
    renamed: dict[str, str] = {}
    fused: dict[str, tuple[str, ...]] = {}
    for kind in ("weight", "bias"):
        renamed |= {f"{a}.{kind}": f"{b}.{kind}" for a, b in _TOP.items()}
        for i in range(double):
            ours, theirs = f"double_blocks.{i}.", f"transformer_blocks.{i}."
            renamed |= {f"{ours}{a}.{kind}": f"{theirs}{b}.{kind}" for a, b in _DOUBLE.items()}
            renamed |= {ours + a: theirs + b for a, b in _DOUBLE_SCALES.items()}
            fused |= {
                f"{ours}{a}.{kind}": tuple(f"{theirs}{b}.{kind}" for b in parts)
                for a, parts in _DOUBLE_FUSED.items()
            }
        for i in range(single):
            ours, theirs = f"single_blocks.{i}.", f"single_transformer_blocks.{i}."
            renamed |= {f"{ours}{a}.{kind}": f"{theirs}{b}.{kind}" for a, b in _SINGLE.items()}
            renamed |= {ours + a: theirs + b for a, b in _SINGLE_SCALES.items()}
            fused |= {
                f"{ours}{a}.{kind}": tuple(f"{theirs}{b}.{kind}" for b in parts)
                for a, parts in _SINGLE_FUSED.items()
            }
    return renamed, fused


def _swap(value: Tensor) -> Tensor:
    first, second = value.chunk(2)
    return torch.cat([second, first])


def to_diffusers(state: State) -> State:
    """The transformer's weights under diffusers' names. Raises `KeyError` for unknown names."""
    renamed, fused = _table(_blocks(state, "double_blocks"), _blocks(state, "single_blocks"))
    width = state["img_in.weight"].shape[0]
    result: State = {}
    for name, value in state.items():
        if name in renamed:
            result[renamed[name]] = value
        elif name in fused:
            parts = fused[name]
            sizes = [width] * 3 + [value.shape[0] - 3 * width] * (len(parts) - 3)
            result |= dict(zip(parts, (part.clone() for part in value.split(sizes)), strict=True))
        elif name.rpartition(".")[0] == _LAST[0]:
            result[f"{_LAST[1]}.{name.rpartition('.')[2]}"] = _swap(value)
        else:
            raise KeyError(name)
    return result


def from_diffusers(state: State) -> State:
    """The inverse of `to_diffusers`, bit for bit. Raises `KeyError` for a missing part."""
    renamed, fused = _table(
        _blocks(state, "transformer_blocks"), _blocks(state, "single_transformer_blocks")
    )
    left = dict(state)
    result: State = {}
    for name, target in renamed.items():
        if target in left:
            result[name] = left.pop(target)
    for name, parts in fused.items():
        result[name] = torch.cat([left.pop(part) for part in parts])
    for kind in ("weight", "bias"):
        result[f"{_LAST[0]}.{kind}"] = _swap(left.pop(f"{_LAST[1]}.{kind}"))
    if left:
        raise KeyError(min(left))
    return result
