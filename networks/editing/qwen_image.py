"""Qwen-Image-Edit: text by Qwen2.5-VL, which sees the image; 20 B double-stream blocks."""

from collections.abc import Sequence

import torch
from PIL import Image
from torch import Tensor

from networks.editing.base import Condition, images_of, pack, transformer_flops, unpack
from networks.editing.pipelines import PipelineEditor

CELL = 28


class QwenImageEditor(PipelineEditor):
    """diffusers' QwenImageEditPipeline."""

    name = "qwen-image-edit"
    pipeline = "QwenImageEditPipeline"
    steps = 50
    guidance = 4.0

    transformer = "QwenImageTransformer2DModel"
    encoder_gib = 16.0

    @property
    def channels(self) -> int:  # type: ignore[override]
        """Of the unpacked latents."""
        return int(self.pipe.transformer.config.in_channels) // 4

    def _spread(self) -> tuple[Tensor, Tensor]:
        own = self.pipe.vae.config
        return tuple(  # type: ignore[return-value]
            torch.tensor(values, device=self.device).view(1, -1, 1, 1)
            for values in (own.latents_mean, own.latents_std)
        )

    @torch.no_grad()
    def encode(self, pixels: Tensor) -> Tensor:
        """See `Editor.encode`; the autoencoder is one of videos, an image has one frame."""
        mean, std = self._spread()
        with self.at_hand(self.pipe.vae) as vae, torch.autocast(self.device.type, enabled=False):
            z = vae.encode(pixels.to(self.device, torch.float32)[:, :, None]).latent_dist.mode()
            return pack((z[:, :, 0] - mean) / std)

    @torch.no_grad()
    def decode(self, tokens: Tensor, height: int, width: int) -> Tensor:
        """See `Editor.decode`."""
        mean, std = self._spread()
        z = unpack(tokens.float(), height // 8, width // 8) * std + mean
        with self.at_hand(self.pipe.vae) as vae, torch.autocast(self.device.type, enabled=False):
            return vae.decode(z[:, :, None]).sample[:, :, 0]

    @torch.no_grad()
    def condition(self, pixels: Tensor, instructions: Sequence[str]) -> Condition:
        """`states` (batch, tokens, width), zeros after each row's end, and `mask`.

        diffusers' own encode_prompt gives transformers 5 no mm_token_type_ids, which then places
        the image's tokens in a row instead of in a grid; so the encoder is called here.
        """
        pipe, found = self.pipe, []
        plain = torch.autocast(self.device.type, enabled=False)
        with self.at_hand(pipe.text_encoder) as encoder, plain:
            for image, instruction in zip(images_of(pixels), instructions, strict=True):
                inputs = pipe.processor(
                    # The release's negative prompt is a space.
                    text=[pipe.prompt_template_encode.format(instruction or " ")],
                    images=[Image.fromarray(image)],
                    return_tensors="pt",
                )
                ids = inputs["input_ids"]
                image_token = pipe.processor.tokenizer.convert_tokens_to_ids("<|image_pad|>")
                hidden = encoder.model(
                    input_ids=ids.to(self.device),
                    attention_mask=inputs["attention_mask"].to(self.device),
                    mm_token_type_ids=(ids == image_token).int().to(self.device),
                    pixel_values=inputs["pixel_values"].to(self.device, encoder.dtype),
                    image_grid_thw=inputs["image_grid_thw"].to(self.device),
                    use_cache=False,
                ).last_hidden_state[0]
                found.append(hidden[pipe.prompt_template_encode_start_idx :])
        longest = max(len(states) for states in found)
        states = torch.stack(
            [torch.cat([s, s.new_zeros(longest - len(s), s.shape[1])]) for s in found]
        )
        lengths = torch.tensor([len(s) for s in found], device=states.device)
        return {
            "states": states,
            "mask": torch.arange(longest, device=states.device) < lengths[:, None],
        }

    def velocity(
        self, noisy: Tensor, reference: Tensor, size: tuple[int, int], t: Tensor, given: Condition
    ) -> Tensor:
        """See `Editor.velocity`."""
        kind = next(self.network.parameters()).dtype
        grid = (1, size[0] // 16, size[1] // 16)
        out = self.network(
            hidden_states=torch.cat([noisy, reference], dim=1).to(kind),
            encoder_hidden_states=given["states"].to(kind),
            encoder_hidden_states_mask=given["mask"],
            timestep=t.to(kind),
            img_shapes=[[grid, grid]] * len(noisy),
            return_dict=False,
        )[0]
        return out[:, : noisy.shape[1]]

    def guide(self, conditional: Tensor, unconditional: Tensor, t: float, scale: float) -> Tensor:
        """Guided, then scaled back to the conditional velocity's norm, token by token."""
        guided = unconditional + scale * (conditional - unconditional)
        norm = torch.linalg.vector_norm(conditional, dim=-1, keepdim=True)
        return guided * norm / torch.linalg.vector_norm(guided, dim=-1, keepdim=True)

    def blank(self, height: int, width: int) -> Condition:
        """See `Editor.blank`."""
        count = self.tokens(height, width) - 2 * (height // 16) * (width // 16)
        width_ = self.pipe.transformer.config.joint_attention_dim
        return {
            "states": torch.zeros(1, count, width_, device=self.device),
            "mask": torch.ones(1, count, dtype=torch.bool, device=self.device),
        }

    def tokens(self, height: int, width: int) -> int:
        """About: a token a 28 x 28 cell of the image, an instruction, then target and reference."""
        return height * width // CELL**2 + 32 + 2 * (height // 16) * (width // 16)

    def flops(self, height: int, width: int) -> float:
        """See `Editor.flops`."""
        own = self.pipe.transformer.config
        width_ = own.num_attention_heads * own.attention_head_dim
        return transformer_flops(width_, own.num_layers, self.tokens(height, width))
