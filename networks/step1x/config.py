"""Sizes of a Step1X-Edit transformer and its connector."""

from dataclasses import dataclass, field
from typing import Literal


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
