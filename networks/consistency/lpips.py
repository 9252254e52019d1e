"""LPIPS with AlexNet, version 0.1 (Zhang, Isola, Efros, Shechtman, Wang 2018), by its authors'
package.

The package brings the small linear heads; the backbone is torchvision's AlexNet, 233 MB, which no
package ships. It is read from a file that the user names and is checked by SHA-256 first:

    https://download.pytorch.org/models/alexnet-owt-7be5be79.pth

Both files are pickles, so nothing of them is read before their hash is right, and then only
tensors are (`weights_only`).
"""

import pickle
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch

from catalog.digests import read_digest
from catalog.errors import UserError
from catalog.images import Rgb
from networks.consistency.published import (
    BACKBONE_SHA256,
    HEADS_SHA256,
    LPIPS_IDENTITY,
    weights_of,
)
from networks.consistency.sizes import mirrored, same_size
from networks.interfaces import Identity

SMALLEST_SIDE = 31
"""AlexNet's strides leave nothing of a smaller image."""


class Lpips:
    """Full size, on the CPU in float32: 0 for equal images, mostly below 1.

    `sha256` is the backbone's, the published one where it is not given. With any other weights
    this is not LPIPS, and the identity says so: `alexnet-distance`, not trained.
    """

    def __init__(self, backbone: Path, sha256: str | None = None) -> None:
        wanted = (sha256 or BACKBONE_SHA256).lower()
        trunk = _checked(backbone, wanted)
        heads = _checked(_heads(), HEADS_SHA256)
        self._network = _network(trunk, heads)
        self.identity = (
            LPIPS_IDENTITY
            if wanted == BACKBONE_SHA256
            else Identity(
                "alexnet-distance", "0.1", weights_of(wanted, HEADS_SHA256), trained=False
            )
        )

    def distance(self, first: Rgb, second: Rgb) -> float:
        """Raises `UserError` when the sizes differ. Below 31 pixels a side both are mirrored."""
        same_size("LPIPS", first, second)
        if np.array_equal(first, second):
            return 0.0
        with torch.inference_mode():
            return float(self._network(_tensor(first), _tensor(second)))


def _tensor(image: Rgb) -> torch.Tensor:
    """(1, 3, height, width) float32, -1 .. 1, as lpips.im2tensor makes it."""
    image = mirrored(image, SMALLEST_SIDE)
    return torch.from_numpy(image.transpose(2, 0, 1).astype(np.float32) / 127.5 - 1.0)[None]


def _heads() -> Path:
    """The linear heads inside the installed package, found without importing it."""
    found = find_spec("lpips")
    if found is None or found.origin is None:
        raise UserError("LPIPS needs the package `lpips`.", "Install it with `pip install lpips`.")
    return Path(found.origin).parent / "weights/v0.1/alex.pth"


def _checked(path: Path, wanted: str) -> Mapping[str, torch.Tensor]:
    """The tensors of a file whose SHA-256 is `wanted`; nothing is read of another file."""
    if not path.is_file():
        raise UserError(
            f"There is no weights file {path} for LPIPS.",
            "Download https://download.pytorch.org/models/alexnet-owt-7be5be79.pth once and name "
            "it as lpips:FILE; without it, use ms-ssim.",
        )
    found = read_digest(path)
    if found != wanted:
        raise UserError(
            f"{path} has the SHA-256 {found}, not {wanted}: these are not the weights of LPIPS.",
            "Download alexnet-owt-7be5be79.pth again; for other weights of your own write "
            f"lpips:FILE@{found}, which is then not called LPIPS.",
        )
    try:
        tensors: Mapping[str, torch.Tensor] = torch.load(
            path, map_location="cpu", weights_only=True
        )
    except (pickle.UnpicklingError, RuntimeError, EOFError, ValueError) as error:
        raise UserError(
            f"{path} cannot be read as tensors and nothing else: {type(error).__name__}.",
            "Name a state dict, such as alexnet-owt-7be5be79.pth of torchvision.",
        ) from error
    return tensors


def _network(
    trunk: Mapping[str, torch.Tensor], heads: Mapping[str, torch.Tensor]
) -> torch.nn.Module:
    import lpips

    network: torch.nn.Module = lpips.LPIPS(
        net="alex", version="0.1", pretrained=False, pnet_rand=True, verbose=False
    )
    # The package cuts torchvision's features into slices that keep the layers' numbers.
    state = network.state_dict()
    places = {
        name: name.replace(f"net.{slice_}.", "features.")
        for name in state
        if (slice_ := name.split(".")[1]).startswith("slice")
    }
    loaded = {name: trunk[source] for name, source in places.items() if source in trunk} | dict(
        heads
    )
    buffers = {"scaling_layer.shift", "scaling_layer.scale"}
    missing = [name for name in state if name not in loaded and name not in buffers]
    # `lins.N` are the same modules as `linN` under a second name.
    missing = [name for name in missing if not name.startswith("lins.")]
    if missing:
        raise UserError(
            f"The LPIPS weights lack {', '.join(missing[:4])}.",
            "The backbone is torchvision's AlexNet, a state dict with features.0.weight and on.",
        )
    try:
        network.load_state_dict(loaded, strict=False)
    except RuntimeError as error:
        raise UserError(
            f"The LPIPS weights do not fit AlexNet: {error}.",
            "The backbone is torchvision's AlexNet.",
        ) from error
    return network.eval().requires_grad_(False)
