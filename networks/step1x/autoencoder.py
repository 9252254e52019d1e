"""The FLUX autoencoder by diffusers, read from and written to its published names."""

from typing import Any

import torch
from torch import Tensor, nn

from catalog.errors import UserError
from networks.step1x import vae_keys
from networks.step1x.latents import denormalise, normalise


class Autoencoder(nn.Module):
    """Pixels to normalised latents and back; float32 always, as released."""

    def __init__(self, published: dict[str, Tensor]) -> None:
        """`published`: weights under the published names. Raises `UserError`."""
        super().__init__()
        from diffusers import AutoencoderKL

        try:
            sizes = vae_keys.sizes(published)
            kind: Any = AutoencoderKL
            # Its config is unused beyond the shapes: scale and shift are in latents.py.
            self.vae: Any = kind(norm_num_groups=32, **sizes)
            self.names = vae_keys.published_names(
                vae_keys.levels(published), sizes["layers_per_block"], sizes["block_out_channels"]
            )
            missing = sorted(set(self.names) - set(published))
            extra = sorted(set(published) - set(self.names))
            if missing or extra:
                raise KeyError((missing or extra)[0])
            self.vae.load_state_dict(vae_keys.to_diffusers(published))
        except (KeyError, ValueError, RuntimeError) as error:
            raise UserError(
                f"The autoencoder does not have the FLUX autoencoder's weights: {error}.",
                "Take ae.safetensors of FLUX.1 or vae.safetensors of Step1X-Edit.",
            ) from error
        self.dtypes = {name: value.dtype for name, value in published.items()}
        self.vae.float().requires_grad_(False).eval()

    @property
    def channels(self) -> int:
        """Of the latents."""
        return int(self.vae.config.latent_channels)

    @torch.no_grad()
    def encode(self, pixels: Tensor) -> Tensor:
        """(batch, 3, h, w) in -1..1 to normalised latents (batch, 16, h/8, w/8).

        The posterior's mean: the released code draws from it, which would make a restoration
        differ from run to run by the autoencoder's (small) spread.
        """
        with torch.autocast(pixels.device.type, enabled=False):
            return normalise(self.vae.encode(pixels.float()).latent_dist.mode())

    @torch.no_grad()
    def decode(self, latents: Tensor) -> Tensor:
        """The inverse, (batch, 3, h, w) in about -1..1."""
        with torch.autocast(latents.device.type, enabled=False):
            return self.vae.decode(denormalise(latents.float())).sample

    def published(self) -> dict[str, Tensor]:
        """Its weights under the published names, in the types they were read in."""
        state = vae_keys.from_diffusers(self.vae.state_dict(), self.names)
        return {name: value.to(self.dtypes[name]) for name, value in state.items()}
