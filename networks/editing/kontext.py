"""FLUX.1-Kontext: text by T5 and CLIP, which do not see the image; guidance is embedded."""

from collections.abc import Sequence

import torch
from torch import Tensor

from networks.editing.base import Condition, pack, transformer_flops, unpack
from networks.editing.pipelines import PipelineEditor
from networks.step1x.latents import position_ids

TEXT = 512


class KontextEditor(PipelineEditor):
    """diffusers' FluxKontextPipeline."""

    name = "flux-kontext"
    pipeline = "FluxKontextPipeline"
    guidance = 1.0
    """No unconditional pass: the network was distilled to take its guidance as a number."""
    embedded = 3.5
    """That number, the pipeline's default."""

    transformer = "FluxTransformer2DModel"
    sizes = {"guidance_embeds": True}  # noqa: RUF012
    encoder_gib = 9.5

    @property
    def channels(self) -> int:  # type: ignore[override]
        """Of the unpacked latents."""
        return int(self.pipe.transformer.config.in_channels) // 4

    @torch.no_grad()
    def encode(self, pixels: Tensor) -> Tensor:
        """See `Editor.encode`."""
        with self.at_hand(self.pipe.vae) as vae, torch.autocast(self.device.type, enabled=False):
            z = vae.encode(pixels.to(self.device, torch.float32)).latent_dist.mode()
            return pack((z - vae.config.shift_factor) * vae.config.scaling_factor)

    @torch.no_grad()
    def decode(self, tokens: Tensor, height: int, width: int) -> Tensor:
        """See `Editor.decode`."""
        z = unpack(tokens.float(), height // 8, width // 8)
        with self.at_hand(self.pipe.vae) as vae, torch.autocast(self.device.type, enabled=False):
            return vae.decode(z / vae.config.scaling_factor + vae.config.shift_factor).sample

    @torch.no_grad()
    def condition(self, pixels: Tensor, instructions: Sequence[str]) -> Condition:
        """`states` (batch, 512, width) and `pooled` (batch, width)."""
        with (
            self.at_hand(self.pipe.text_encoder),
            self.at_hand(self.pipe.text_encoder_2),
            torch.autocast(self.device.type, enabled=False),
        ):
            states, pooled, _ = self.pipe.encode_prompt(
                prompt=list(instructions),
                prompt_2=None,
                device=self.device,
                max_sequence_length=TEXT,
            )
        return {"states": states, "pooled": pooled}

    def velocity(
        self, noisy: Tensor, reference: Tensor, size: tuple[int, int], t: Tensor, given: Condition
    ) -> Tensor:
        """See `Editor.velocity`."""
        kind = next(self.network.parameters()).dtype
        ids = position_ids(0, size[0] // 8, size[1] // 8, reference_axis=1).to(noisy.device)
        out = self.network(
            hidden_states=torch.cat([noisy, reference], dim=1).to(kind),
            encoder_hidden_states=given["states"].to(kind),
            pooled_projections=given["pooled"].to(kind),
            timestep=t.to(kind),
            guidance=torch.full_like(t, self.embedded)
            if self.pipe.transformer.config.guidance_embeds
            else None,
            txt_ids=torch.zeros(given["states"].shape[1], 3, device=noisy.device),
            img_ids=ids,
            return_dict=False,
        )[0]
        return out[:, : noisy.shape[1]]

    def guide(self, conditional: Tensor, unconditional: Tensor, t: float, scale: float) -> Tensor:
        """Plain guidance (off by default)."""
        return unconditional + scale * (conditional - unconditional)

    def blank(self, height: int, width: int) -> Condition:
        """See `Editor.blank`."""
        own = self.pipe.transformer.config
        return {
            "states": torch.zeros(1, TEXT, own.joint_attention_dim, device=self.device),
            "pooled": torch.zeros(1, own.pooled_projection_dim, device=self.device),
        }

    def tokens(self, height: int, width: int) -> int:
        """512 of text, then target and reference."""
        return TEXT + 2 * (height // 16) * (width // 16)

    def flops(self, height: int, width: int) -> float:
        """See `Editor.flops`."""
        own = self.pipe.transformer.config
        width_ = own.num_attention_heads * own.attention_head_dim
        blocks = own.num_layers + own.num_single_layers
        return transformer_flops(width_, blocks, self.tokens(height, width))
