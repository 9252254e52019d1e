"""A backbone for LPIPS made on the spot: AlexNet's convolutions with random weights."""

import hashlib
from pathlib import Path

import torch

PUBLISHED = "alexnet-owt-7be5be79.pth"


def random_backbone(home: Path, seed: int = 0) -> Path:
    """Write it where torch.hub, with `home` as TORCH_HOME, and so the package `lpips`, looks.

    The classifier, which LPIPS does not use, is one zero repeated, so that the file is small.
    """
    from torchvision.models import alexnet

    with torch.device("meta"):
        shapes = alexnet(weights=None).state_dict()
    random = torch.Generator().manual_seed(seed)
    state = {
        name: torch.randn(shape.shape, generator=random) * 0.05
        if name.startswith("features.")
        else torch.zeros(1).expand(shape.shape)
        for name, shape in shapes.items()
    }
    path = home / "hub/checkpoints" / PUBLISHED
    path.parent.mkdir(parents=True)
    torch.save(state, path)
    return path


def digest(path: Path) -> str:
    """SHA-256 of a file."""
    return hashlib.sha256(path.read_bytes()).hexdigest()
