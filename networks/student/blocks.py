"""Transformer blocks with adaptive layer norm, double- and single-stream, as in FLUX."""

import torch
from torch import Tensor, nn
from torch.nn import functional

from networks.student.rope import Rotation, rotate


class Modulation(nn.Module):
    """Shift, scale and gate of a block, from the conditioning vector."""

    def __init__(self, width: int, parts: int) -> None:
        super().__init__()
        self.parts = parts
        self.linear = nn.Linear(width, parts * width)

    def forward(self, vector: Tensor) -> tuple[Tensor, ...]:
        """(batch, width) to `parts` tensors of (batch, 1, width)."""
        return self.linear(functional.silu(vector))[:, None].chunk(self.parts, dim=-1)


def modulate(x: Tensor, shift: Tensor, scale: Tensor) -> Tensor:
    """Layer norm without weights, then (1 + scale) * x + shift."""
    return torch.addcmul(shift, functional.layer_norm(x, x.shape[-1:], eps=1e-6), 1 + scale)


class HeadNorm(nn.Module):
    """RMS norm of queries and keys, a head at a time."""

    def __init__(self, head_width: int) -> None:
        super().__init__()
        self.query_scale = nn.Parameter(torch.ones(head_width))
        self.key_scale = nn.Parameter(torch.ones(head_width))

    def forward(self, qkv: Tensor, heads: int) -> tuple[Tensor, Tensor, Tensor]:
        """(batch, tokens, 3 * width) to three of (batch, heads, tokens, head width)."""
        query, key, value = qkv.unflatten(-1, (3, heads, -1)).permute(2, 0, 3, 1, 4)
        return rms_norm(query, self.query_scale), rms_norm(key, self.key_scale), value


def rms_norm(x: Tensor, weight: Tensor) -> Tensor:
    """x / sqrt(mean(x^2) + 1e-6) * weight over the last axis, in the type of x."""
    return functional.rms_norm(x, x.shape[-1:], weight.to(x.dtype), eps=1e-6)


def attend(query: Tensor, key: Tensor, value: Tensor, rotation: Rotation) -> Tensor:
    """Full attention with rotated queries and keys; (batch, tokens, width)."""
    query, key = rotate(query, rotation), rotate(key, rotation)
    if value.device.type == "cpu" and value.dtype == torch.bfloat16:
        # The CPU's fused kernel is three times as fast in float32 as in bfloat16 (torch 2.14).
        with torch.autocast("cpu", enabled=False):
            mixed = functional.scaled_dot_product_attention(
                query.float(), key.float(), value.float()
            ).to(value.dtype)
    else:
        mixed = functional.scaled_dot_product_attention(query, key, value)
    return mixed.transpose(1, 2).flatten(2)


class Stream(nn.Module):
    """One side of a double-stream block: its own modulation, projections and MLP."""

    def __init__(self, width: int, heads: int, hidden: int) -> None:
        super().__init__()
        self.modulation = Modulation(width, 6)
        self.qkv = nn.Linear(width, 3 * width)
        self.norm = HeadNorm(width // heads)
        self.out = nn.Linear(width, width)
        self.mlp = nn.Sequential(
            nn.Linear(width, hidden), nn.GELU(approximate="tanh"), nn.Linear(hidden, width)
        )


class DoubleBlock(nn.Module):
    """Instruction and image tokens with own weights, attending to all tokens together."""

    def __init__(self, width: int, heads: int, hidden: int) -> None:
        super().__init__()
        self.heads = heads
        self.text = Stream(width, heads, hidden)
        self.image = Stream(width, heads, hidden)

    def forward(
        self, text: Tensor, image: Tensor, vector: Tensor, rotation: Rotation
    ) -> tuple[Tensor, Tensor]:
        """Token streams (batch, tokens, width), new values of the same shapes."""
        streams, tokens = (self.text, self.image), (text, image)
        modulations = [stream.modulation(vector) for stream in streams]
        heads = [
            stream.norm(stream.qkv(modulate(x, part[0], part[1])), self.heads)
            for stream, x, part in zip(streams, tokens, modulations, strict=True)
        ]
        query, key, value = (torch.cat(both, dim=2) for both in zip(*heads, strict=True))
        mixed = attend(query, key, value, rotation).split([text.shape[1], image.shape[1]], dim=1)
        results = []
        for stream, x, part, attention in zip(streams, tokens, modulations, mixed, strict=True):
            x = torch.addcmul(x, part[2], stream.out(attention))
            results.append(torch.addcmul(x, part[5], stream.mlp(modulate(x, part[3], part[4]))))
        return results[0], results[1]


class SingleBlock(nn.Module):
    """All tokens in one stream; attention and MLP side by side with fused projections."""

    def __init__(self, width: int, heads: int, hidden: int) -> None:
        super().__init__()
        self.heads = heads
        self.split = [3 * width, hidden]
        self.modulation = Modulation(width, 3)
        self.linear1 = nn.Linear(width, 3 * width + hidden)
        self.norm = HeadNorm(width // heads)
        self.linear2 = nn.Linear(width + hidden, width)

    def forward(self, x: Tensor, vector: Tensor, rotation: Rotation) -> Tensor:
        """(batch, tokens, width), a new value of the same shape."""
        shift, scale, gate = self.modulation(vector)
        qkv, hidden = self.linear1(modulate(x, shift, scale)).split(self.split, dim=-1)
        query, key, value = self.norm(qkv, self.heads)
        mixed = attend(query, key, value, rotation)
        hidden = functional.gelu(hidden, approximate="tanh")
        return torch.addcmul(x, gate, self.linear2(torch.cat([mixed, hidden], dim=-1)))
