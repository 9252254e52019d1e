"""FLUX's forward pass written out from the published weights, to check the assembled model with.

Follows the equations of the published description (double blocks, single blocks, adaLN, RoPE over
three axes) in plain tensor operations on a dictionary of weights; it shares no code with diffusers
or with networks.step1x.
"""

import math

import torch
from torch import Tensor
from torch.nn import functional as F

State = dict[str, Tensor]


def linear(w: State, name: str, x: Tensor) -> Tensor:
    return x @ w[f"{name}.weight"].T + w[f"{name}.bias"]


def sinusoid(t: Tensor) -> Tensor:
    # In float32, as published: at 1000 t its rounding shows in the fifth digit.
    frequency = torch.exp(-math.log(10_000) * torch.arange(128, dtype=torch.float32) / 128)
    angle = (1000 * t.float())[:, None] * frequency
    return torch.cat([torch.cos(angle), torch.sin(angle)], dim=1)


def embed(w: State, name: str, x: Tensor) -> Tensor:
    return linear(w, f"{name}.out_layer", F.silu(linear(w, f"{name}.in_layer", x)))


def norm(x: Tensor) -> Tensor:
    centred = x - x.mean(-1, keepdim=True)
    return centred / torch.sqrt(centred.square().mean(-1, keepdim=True) + 1e-6)


def rope(x: Tensor, ids: Tensor, axes: tuple[int, ...]) -> Tensor:
    """x: (batch, heads, tokens, head width)."""
    out = torch.empty_like(x)
    start = 0
    for axis, width in enumerate(axes):
        for i in range(0, width, 2):
            angle = ids[:, axis].double() * 10_000 ** (-i / width)
            cosine, sine = torch.cos(angle).to(x.dtype), torch.sin(angle).to(x.dtype)
            a, b = x[..., start + i], x[..., start + i + 1]
            out[..., start + i] = a * cosine - b * sine
            out[..., start + i + 1] = b * cosine + a * sine
        start += width
    return out


def heads_of(w: State, name: str, qkv: Tensor, heads: int) -> list[Tensor]:
    batch, tokens, size = qkv.shape
    q, k, v = (
        part.reshape(batch, tokens, heads, -1).transpose(1, 2) for part in qkv.split(size // 3, -1)
    )

    def rms(x: Tensor, scale: Tensor) -> Tensor:
        return x / torch.sqrt(x.square().mean(-1, keepdim=True) + 1e-6) * scale

    return [
        rms(q, w[f"{name}.query_norm.scale"]),
        rms(k, w[f"{name}.key_norm.scale"]),
        v,
    ]


def attention(q: Tensor, k: Tensor, v: Tensor, ids: Tensor, axes: tuple[int, ...]) -> Tensor:
    q, k = rope(q, ids, axes), rope(k, ids, axes)
    weights = torch.softmax(q @ k.transpose(-1, -2) / math.sqrt(q.shape[-1]), dim=-1)
    return (weights @ v).transpose(1, 2).flatten(2)


def gelu(x: Tensor) -> Tensor:
    return 0.5 * x * (1 + torch.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))


def flux(
    w: State,
    image: Tensor,
    text: Tensor,
    pooled: Tensor,
    t: Tensor,
    ids: Tensor,
    heads: int,
    axes: tuple[int, ...],
) -> Tensor:
    image, text = linear(w, "img_in", image), linear(w, "txt_in", text)
    vector = embed(w, "time_in", sinusoid(t).to(image.dtype)) + embed(w, "vector_in", pooled)
    count = 0
    while f"double_blocks.{count}.img_mod.lin.weight" in w:
        name = f"double_blocks.{count}"
        streams = {"txt": text, "img": image}
        parts, projected = {}, {}
        for side, x in streams.items():
            parts[side] = linear(w, f"{name}.{side}_mod.lin", F.silu(vector))[:, None].chunk(6, -1)
            shift, scale = parts[side][0], parts[side][1]
            qkv = linear(w, f"{name}.{side}_attn.qkv", (1 + scale) * norm(x) + shift)
            projected[side] = heads_of(w, f"{name}.{side}_attn.norm", qkv, heads)
        q, k, v = (torch.cat([projected["txt"][i], projected["img"][i]], dim=2) for i in range(3))
        mixed = attention(q, k, v, ids, axes)
        mixes = {"txt": mixed[:, : text.shape[1]], "img": mixed[:, text.shape[1] :]}
        for side, x in streams.items():
            _, _, gate1, shift2, scale2, gate2 = parts[side]
            x = x + gate1 * linear(w, f"{name}.{side}_attn.proj", mixes[side])
            hidden = linear(w, f"{name}.{side}_mlp.0", (1 + scale2) * norm(x) + shift2)
            streams[side] = x + gate2 * linear(w, f"{name}.{side}_mlp.2", gelu(hidden))
        text, image = streams["txt"], streams["img"]
        count += 1
    x = torch.cat([text, image], dim=1)
    width = x.shape[-1]
    count = 0
    while f"single_blocks.{count}.linear1.weight" in w:
        name = f"single_blocks.{count}"
        shift, scale, gate = linear(w, f"{name}.modulation.lin", F.silu(vector))[:, None].chunk(
            3, -1
        )
        both = linear(w, f"{name}.linear1", (1 + scale) * norm(x) + shift)
        qkv, hidden = both[..., : 3 * width], both[..., 3 * width :]
        mixed = attention(*heads_of(w, f"{name}.norm", qkv, heads), ids, axes)
        x = x + gate * linear(w, f"{name}.linear2", torch.cat([mixed, gelu(hidden)], dim=-1))
        count += 1
    shift, scale = linear(w, "final_layer.adaLN_modulation.1", F.silu(vector))[:, None].chunk(2, -1)
    return linear(w, "final_layer.linear", (1 + scale) * norm(x[:, text.shape[1] :]) + shift)


def connector(
    w: State, states: Tensor, t: Tensor, mask: Tensor, heads: int, depth: int
) -> tuple[Tensor, Tensor]:
    """Token by token, with loops instead of masks where that says it more plainly."""
    pre = "connector.S"
    mean = torch.stack([x[m].mean(0) for x, m in zip(states, mask, strict=True)])
    scale = w.get("connector.scale_factor")
    pooled = linear(w, "connector.global_proj_out", mean if scale is None else mean * (1 + scale))
    time = linear(w, f"{pre}.t_embedder.mlp.0", sinusoid(t).to(states.dtype))
    time = linear(w, f"{pre}.t_embedder.mlp.2", F.silu(time))
    context = linear(w, f"{pre}.c_embedder.linear_1", mean)
    condition = time + linear(w, f"{pre}.c_embedder.linear_2", F.silu(context))
    x = linear(w, f"{pre}.input_embedder", states)
    tokens = x.shape[1]
    for block in range(depth):
        name = f"{pre}.individual_token_refiner.blocks.{block}"
        gates = linear(w, f"{name}.adaLN_modulation.1", F.silu(condition))
        gate1, gate2 = gates[:, None].chunk(2, -1)
        normed = norm(x) * w[f"{name}.norm1.weight"] + w[f"{name}.norm1.bias"]
        q, k, v = linear(w, f"{name}.self_attn_qkv", normed).chunk(3, -1)
        out = torch.zeros_like(x)
        side = x.shape[-1] // heads
        for b in range(len(x)):
            for i in range(tokens):
                seen = [
                    j for j in range(tokens) if j == 0 or (bool(mask[b, i]) and bool(mask[b, j]))
                ]
                for h in range(heads):
                    part = slice(h * side, (h + 1) * side)
                    logits = (k[b, seen, part] @ q[b, i, part]) / math.sqrt(side)
                    out[b, i, part] = torch.softmax(logits, 0) @ v[b, seen, part]
        x = x + gate1 * linear(w, f"{name}.self_attn_proj", out)
        normed = norm(x) * w[f"{name}.norm2.weight"] + w[f"{name}.norm2.bias"]
        x = x + gate2 * linear(w, f"{name}.mlp.fc2", F.silu(linear(w, f"{name}.mlp.fc1", normed)))
    return x, pooled
