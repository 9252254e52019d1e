"""The connector: hidden states of the text encoder to text tokens and a pooled vector.

Submodules carry the names of the published checkpoints (`connector.S.*`,
`connector.global_proj_out`), so that a checkpoint's keys are this module's keys.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional

from networks.step1x.config import ConnectorConfig, Step1XConfig
from networks.student.model import time_features

V1_0_SCALE = -0.91
"""Initial scale_factor of v1.0, -(1 - 0.09)."""


class _Mlp(nn.Module):
    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(width, hidden)
        self.fc2 = nn.Linear(hidden, width)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc2(functional.silu(self.fc1(x)))


class _TimeEmbedder(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.mlp = nn.Sequential(nn.Linear(256, width), nn.SiLU(), nn.Linear(width, width))

    def forward(self, t: Tensor) -> Tensor:
        return self.mlp(time_features(t).to(next(self.mlp.parameters()).dtype))


class _TextProjection(nn.Module):
    def __init__(self, inputs: int, width: int) -> None:
        super().__init__()
        self.linear_1 = nn.Linear(inputs, width)
        self.linear_2 = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        return self.linear_2(functional.silu(self.linear_1(x)))


class RefinerBlock(nn.Module):
    """Masked self-attention and MLP, each behind a gate from the conditioning vector."""

    def __init__(self, config: ConnectorConfig) -> None:
        super().__init__()
        width = config.width
        self.heads = config.heads
        self.norm1 = nn.LayerNorm(width, eps=1e-6)
        self.self_attn_qkv = nn.Linear(width, 3 * width)
        self.self_attn_proj = nn.Linear(width, width)
        self.norm2 = nn.LayerNorm(width, eps=1e-6)
        self.mlp = _Mlp(width, int(width * config.mlp_ratio))
        gates = nn.Linear(width, 2 * width)
        nn.init.zeros_(gates.weight)
        nn.init.zeros_(gates.bias)
        self.adaLN_modulation = nn.Sequential(nn.SiLU(), gates)

    def forward(self, x: Tensor, condition: Tensor, allowed: Tensor) -> Tensor:
        """x (batch, tokens, width), condition (batch, width), allowed as `attention_mask`."""
        gates = self.adaLN_modulation(condition)[:, None].chunk(2, dim=-1)
        qkv = self.self_attn_qkv(self.norm1(x)).unflatten(-1, (3, self.heads, -1))
        query, key, value = qkv.permute(2, 0, 3, 1, 4)
        mixed = functional.scaled_dot_product_attention(query, key, value, attn_mask=allowed)
        x = x + self.self_attn_proj(mixed.transpose(1, 2).flatten(2)) * gates[0]
        return x + self.mlp(self.norm2(x)) * gates[1]


class _Refiner(nn.Module):
    def __init__(self, config: ConnectorConfig) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(RefinerBlock(config) for _ in range(config.depth))


class _TokenRefiner(nn.Module):
    def __init__(self, config: ConnectorConfig) -> None:
        super().__init__()
        self.input_embedder = nn.Linear(config.text_width, config.width)
        self.t_embedder = _TimeEmbedder(config.width)
        self.c_embedder = _TextProjection(config.text_width, config.width)
        self.individual_token_refiner = _Refiner(config)

    def forward(self, x: Tensor, t: Tensor, mean: Tensor, mask: Tensor) -> Tensor:
        condition = self.t_embedder(t) + self.c_embedder(mean)
        allowed = attention_mask(mask)
        x = self.input_embedder(x)
        for block in self.individual_token_refiner.blocks:
            x = block(x, condition, allowed)
        return x


def attention_mask(mask: Tensor) -> Tensor:
    """(batch, tokens) to (batch, 1, tokens, tokens): real tokens see real ones.

    Every token also sees the first, as the reference has it, so that no row of the attention of a
    padding token is empty.
    """
    real = mask.bool()
    allowed = real[:, None, :, None] & real[:, None, None, :]
    allowed[..., 0] = True
    return allowed


def masked_mean(x: Tensor, mask: Tensor) -> Tensor:
    """Mean over the real tokens of (batch, tokens, width)."""
    weight = mask.to(x.dtype)[:, :, None]
    return (x * weight).sum(dim=1) / weight.sum(dim=1)


class Connector(nn.Module):
    """Refines hidden states under the time and their mean, and pools them."""

    def __init__(self, config: Step1XConfig) -> None:
        super().__init__()
        self.S = _TokenRefiner(config.connector)
        self.global_proj_out = nn.Linear(config.connector.text_width, config.connector.pooled)
        self.scale_factor = (
            nn.Parameter(torch.full((1,), V1_0_SCALE)) if config.version == "v1.0" else None
        )

    def forward(self, states: Tensor, t: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """Text tokens (batch, tokens, width) and pooled vector (batch, pooled).

        states: (batch, tokens, text width); t: (batch,) in 0..1, times 1000 inside; mask:
        (batch, tokens), true for real tokens.
        """
        mean = masked_mean(states, mask)
        pooled = mean if self.scale_factor is None else mean * (1 + self.scale_factor)
        return self.S(states, t, mean, mask), self.global_proj_out(pooled)
