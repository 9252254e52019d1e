"""Step1X-Edit's transformer: diffusers' FLUX transformer behind the connector."""

from typing import Any

import torch
from diffusers import FluxTransformer2DModel
from torch import Tensor, nn

from networks.step1x.config import GUIDANCE, Step1XConfig
from networks.step1x.connector import Connector
from networks.step1x.latents import position_ids


class Step1XTransformer(nn.Module):
    """Packed noisy and reference latents, a time and text states to the velocity eps - x0."""

    def __init__(self, config: Step1XConfig) -> None:
        super().__init__()
        self.config = config
        self.connector = Connector(config)
        transformer: Any = FluxTransformer2DModel(
            patch_size=1,
            in_channels=config.channels,
            num_layers=config.double_blocks,
            num_single_layers=config.single_blocks,
            attention_head_dim=config.head_width,
            num_attention_heads=config.heads,
            joint_attention_dim=config.connector.width,
            pooled_projection_dim=config.connector.pooled,
            guidance_embeds=config.guidance,
            axes_dims_rope=config.axes,
        )
        self.transformer: nn.Module = transformer

    def forward(
        self,
        noisy: Tensor,
        reference: Tensor,
        size: tuple[int, int],
        t: Tensor,
        states: Tensor,
        mask: Tensor,
    ) -> Tensor:
        """Velocity (batch, tokens, channels).

        noisy, reference: packed latents (batch, tokens, channels). size: (height, width) of the
        unpacked latents. t: (batch,) in 0..1. states: (batch, 640, text width). mask:
        (batch, 640) bool.
        """
        text, pooled = self.connector(states, t, mask)
        reference_axis = 0 if self.config.version == "v1.0" else 1
        ids = position_ids(text.shape[1], *size, reference_axis).to(noisy.device)
        velocity = self.transformer(
            hidden_states=torch.cat([noisy, reference], dim=1),
            encoder_hidden_states=text,
            pooled_projections=pooled,
            timestep=t.to(noisy.dtype),
            txt_ids=ids[: text.shape[1]],
            img_ids=ids[text.shape[1] :],
            guidance=torch.full_like(t, GUIDANCE) if self.config.guidance else None,
            return_dict=False,
        )[0]
        return velocity[:, : noisy.shape[1]]
