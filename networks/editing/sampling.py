"""Euler steps from noise to a restored image, with guidance, for any editing model."""

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor

from networks.editing.base import Editor


@torch.no_grad()
def restore(
    editor: Editor,
    pixels: Tensor,
    instructions: Sequence[str],
    noise: Tensor,
    steps: int | None = None,
    guidance: float | None = None,
) -> Tensor:
    """Restored images (batch, 3, h, w) in about -1..1, float32.

    pixels: degraded, (batch, 3, h, w) in -1..1, sides multiples of `editor.multiple`. noise:
    packed, standard normal. A guidance of 1 or less takes no unconditional pass.
    """
    steps, scale = steps or editor.steps, editor.guidance if guidance is None else guidance
    size = (pixels.shape[-2], pixels.shape[-1])
    pixels = pixels.to(editor.device)
    reference = editor.encode(pixels)
    given = editor.condition(pixels, instructions)
    if scale > 1:
        empty = editor.condition(pixels, [""] * len(instructions))
        given = both(given, empty)
        reference = torch.cat([reference, reference])
    latents = noise.to(editor.device, torch.float32)
    times = editor.times(steps, latents.shape[1])
    for now, after in pairwise(times.tolist()):
        noisy = torch.cat([latents, latents]) if scale > 1 else latents
        t = torch.full((len(noisy),), now, device=editor.device)
        velocity = editor.velocity(noisy, reference, size, t, given).float()
        if scale > 1:
            conditional, unconditional = velocity.chunk(2)
            velocity = editor.guide(conditional, unconditional, now, scale)
        latents = latents + (after - now) * velocity
    return editor.decode(latents, *size)


def both(first: dict[str, Tensor], second: dict[str, Tensor]) -> dict[str, Tensor]:
    """Two conditions as one batch; rows that differ in length are filled with zeros."""
    joined = {}
    for name, a in first.items():
        b = second[name]
        if a.dim() > 1 and a.shape[1] != b.shape[1]:
            longest = max(a.shape[1], b.shape[1])
            a, b = (
                torch.cat([x, x.new_zeros(len(x), longest - x.shape[1], *x.shape[2:])], dim=1)
                for x in (a, b)
            )
        joined[name] = torch.cat([a, b])
    return joined
