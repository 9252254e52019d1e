"""The degraders' rendering half on torch tensors, on any device.

What is drawn (parameters, kernels, streaks, drops, depth) is drawn by the same code and generator
as for NumPy arrays, on the CPU; the work on every pixel is done here. The same generator gives the
same parameters on both paths, and images that agree as tests/networks/degraders/test_tensors.py
states; noise is another matter, see `normals.Normals`.
"""

import importlib
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import torch
from torch import Tensor

from catalog.errors import UserError
from catalog.images import Rgb
from networks.degraders.base import Drawn, ParametricDegrader
from networks.degraders.tensors.normals import Normals
from networks.degraders.tensors.operators import upload
from networks.degraders.web_style import WebStyle
from networks.interfaces import Identity

Render = Callable[[Tensor, Any, Normals], Tensor]


def device_named(name: str) -> torch.device:
    """A device such as cpu or cuda:0. Raises `UserError` where torch has none."""
    try:
        device = torch.device(name)
        torch.zeros(1, device=device)
    except (RuntimeError, AssertionError) as error:
        raise UserError(
            f"torch has no device {name} here: {str(error).splitlines()[0]}",
            "Set device to null for the NumPy path, or to cpu.",
        ) from error
    return device


def _render_of(name: str) -> Render:
    module = importlib.import_module(f"networks.degraders.tensors.{name.replace('-', '_')}")
    render: Render = module.render
    return render


def _identity(inner: Identity, device: torch.device, shared: bool) -> Identity:
    # Devices round differently and have their own generators, so the kind is part of what is made.
    how = f"{inner.prompt}\ntensors/2 {device.type} {shared}"
    return Identity(f"{inner.name}-tensors", inner.version, prompt=how)


@torch.inference_mode()
def _rendered(render: Render, image: Tensor, plan: Any, normals: Normals) -> Tensor:
    """`image` as 256 levels, rendered in float32 also where a training step is in autocast."""
    levels = (image.to(normals.device, torch.float32).clamp(0, 1) * 255).round() / 255
    with torch.autocast(normals.device.type, enabled=False):
        return render(levels, plan, normals)


def to_levels(image: Tensor) -> Rgb:
    """(3, h, w) in 0..1 to (h, w, 3) uint8 in the host's memory."""
    levels = (image.clamp(0, 1) * 255).round().byte().permute(1, 2, 0)
    return np.ascontiguousarray(levels.cpu().numpy())


class TensorDegrader:
    """A degrader whose pixels are computed on `device`.

    `shared_noise` takes noise from NumPy's generator instead of the device's.
    """

    def __init__(
        self,
        degrader: ParametricDegrader[Any, Any],
        device: torch.device | str = "cpu",
        shared_noise: bool = False,
    ) -> None:
        self.degrader, self.degradation = degrader, degrader.degradation
        self.device = device_named(str(device))
        self._normals = Normals(self.device, shared_noise)
        self._render = _render_of(degrader.degradation)
        self.identity = _identity(degrader.identity, self.device, shared_noise)

    def degrade_batch(
        self,
        images: Tensor,
        severities: Sequence[float],
        generators: Sequence[np.random.Generator],
        threads: int = 1,
    ) -> tuple[Tensor, list[Drawn]]:
        """(b, 3, h, w) float 0..1 on the device, a severity and a generator each, to the same shape
        and what was drawn. Values are taken as, and come back as, 256 levels.

        Each image has its own kernels, so they are rendered one by one; `threads` draw the plans of
        the next ones meanwhile. Raises as `ParametricDegrader.degrade_with_parameters`.
        """
        host = [to_levels(image) for image in images]
        with ThreadPoolExecutor(threads) as pool:
            plans = pool.map(self.degrader.plan, host, severities, generators)
            made, drawn = [], []
            for image, (plan, parameters) in zip(images, plans, strict=True):
                made.append(self._on_device(image, plan))
                drawn.append(parameters)
        return torch.stack(made), drawn

    def _on_device(self, image: Tensor, plan: Any) -> Tensor:
        return _rendered(self._render, image, plan, self._normals)

    def degrade(self, image: Rgb, severity: float, rng: np.random.Generator) -> Rgb:
        """As `ParametricDegrader.degrade`, through the device and back."""
        return self.degrade_with_parameters(image, severity, rng)[0]

    def degrade_with_parameters(
        self, image: Rgb, severity: float, rng: np.random.Generator
    ) -> tuple[Rgb, Drawn]:
        """As `ParametricDegrader.degrade_with_parameters`, through the device and back."""
        plan, drawn = self.degrader.plan(image, severity, rng)
        return to_levels(self._on_device(upload(image, self.device) / 255, plan)), drawn


class TensorWebStyle:
    """The web-style chain whose pixels are computed on `device`."""

    def __init__(
        self, chain: WebStyle, device: torch.device | str = "cpu", shared_noise: bool = False
    ) -> None:
        self.chain = chain
        self.device = device_named(str(device))
        self._normals = Normals(self.device, shared_noise)
        self._render = _render_of("web_style")
        self.identity = _identity(chain.identity, self.device, shared_noise)

    def augment(self, image: Rgb, rng: np.random.Generator) -> Rgb:
        """(h, w, 3) uint8 -> the same size, through the device and back."""
        rounds, _ = self.chain.plan(image.shape[0], image.shape[1], rng)
        levels = upload(image, self.device) / 255
        return to_levels(_rendered(self._render, levels, rounds, self._normals))

    def augment_batch(
        self, images: Tensor, generators: Sequence[np.random.Generator]
    ) -> tuple[Tensor, list[Drawn]]:
        """(b, 3, h, w) float 0..1 on the device to the same shape, and what was drawn."""
        made, drawn = [], []
        for image, rng in zip(images, generators, strict=True):
            rounds, parameters = self.chain.plan(image.shape[1], image.shape[2], rng)
            made.append(_rendered(self._render, image, rounds, self._normals))
            drawn.append(parameters)
        # Copies: tensors of inference mode themselves are refused by a network that learns.
        return torch.stack(made), drawn
