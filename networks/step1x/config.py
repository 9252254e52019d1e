"""Sizes of a Step1X-Edit transformer and its connector."""

from dataclasses import dataclass, field
from typing import Literal

GUIDANCE = 3.5
"""What checkpoints with guidance_in are given, in training and sampling, as released."""


@dataclass(frozen=True)
class ConnectorConfig:
    """The two-layer refiner between the text encoder and the transformer (537 M parameters)."""

    text_width: int = 3584
    """Hidden width of Qwen2.5-VL."""
    width: int = 4096
    heads: int = 32
    depth: int = 2
    mlp_ratio: float = 4.0
    pooled: int = 768


@dataclass(frozen=True)
class Step1XConfig:
    """The released sizes: 12.43 B parameters with the connector."""

    version: Literal["v1.0", "v1.1"] = "v1.1"
    """v1.0 (and no other) has connector.scale_factor, and position axis 0 of the reference is 0."""
    channels: int = 64
    """Packed latent channels: 16 of the autoencoder times 2 x 2."""
    heads: int = 24
    head_width: int = 128
    axes: tuple[int, int, int] = (16, 56, 56)
    double_blocks: int = 19
    single_blocks: int = 38
    guidance: bool = False
    """Whether it embeds a guidance value (`guidance_in`), which then is `GUIDANCE` throughout."""
    connector: ConnectorConfig = field(default_factory=ConnectorConfig)

    @property
    def width(self) -> int:
        """Channels of a token."""
        return self.heads * self.head_width

    @classmethod
    def debug(cls, version: Literal["v1.0", "v1.1"] = "v1.1") -> "Step1XConfig":
        """A size for tests: about 0.2 M parameters, every kind of layer present."""
        return cls(
            version=version,
            heads=2,
            head_width=32,
            axes=(4, 14, 14),
            double_blocks=2,
            single_blocks=4,
            connector=ConnectorConfig(text_width=24, width=32, heads=2, depth=2, pooled=16),
        )


def infer_config(shapes: dict[str, tuple[int, ...]]) -> Step1XConfig:
    """The sizes of a published checkpoint from the shapes of its weights.

    RoPE axes are 1/8, 7/16 and 7/16 of a head, as released. Heads of the connector, which no shape
    tells, are 128 wide (two at least). Raises `KeyError` for a name that is not there.
    """

    def blocks(prefix: str) -> int:
        return len({name.split(".")[1] for name in shapes if name.startswith(f"{prefix}.")})

    width, channels = shapes["img_in.weight"]
    head = shapes["double_blocks.0.img_attn.norm.query_norm.scale"][0]
    inner = "connector.S.individual_token_refiner.blocks"
    own, text = shapes["connector.S.input_embedder.weight"]
    return Step1XConfig(
        version="v1.0" if "connector.scale_factor" in shapes else "v1.1",
        channels=channels,
        heads=width // head,
        head_width=head,
        axes=(head // 8, head * 7 // 16, head * 7 // 16),
        double_blocks=blocks("double_blocks"),
        single_blocks=blocks("single_blocks"),
        guidance="guidance_in.in_layer.weight" in shapes,
        connector=ConnectorConfig(
            text_width=text,
            width=own,
            heads=max(2, own // 128),
            depth=len({name.split(".")[4] for name in shapes if name.startswith(inner)}),
            mlp_ratio=shapes[f"{inner}.0.mlp.fc1.weight"][0] / own,
            pooled=shapes["connector.global_proj_out.weight"][0],
        ),
    )
