"""The embedder in the package: a small CLIP of ours, built by open_clip from our own config."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import open_clip
import torch

from networks.embedders.open_clip import OpenClipEmbedder, weights_digest
from networks.interfaces import Identity
from networks.weights import read_pinned

CONFIG = Path(__file__).with_name("mendline-clip.json")
WEIGHTS = Path(__file__).with_name("mendline-clip.safetensors")
"""Made by networks.embedders.fit; without the file the weights are random."""
SHA256 = "965b8ae102a47af41a7bb01a73054f7d596ba83f0653184033fcb74b3b61152f"

SEED = 20260326
VERSION = "1"

PREPROCESSING = {"resize_mode": "squash", "interpolation": "bicubic"}
"""The whole image is seen whatever its aspect ratio: a centre crop would hide a border."""


def build_model(seed: int = SEED) -> torch.nn.Module:
    """The architecture with random weights, the same for one `seed` and release of torch."""
    open_clip.add_model_config(CONFIG)
    with _quiet(), torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return open_clip.create_model(CONFIG.stem, force_preprocess_cfg=PREPROCESSING)


@contextmanager
def _quiet() -> Iterator[None]:
    """Without open_clip's warning that the weights are random: ours are read afterwards."""

    def keep(record: logging.LogRecord) -> bool:
        return "initialized randomly" not in record.getMessage()

    root = logging.getLogger()
    root.addFilter(keep)
    try:
        yield
    finally:
        root.removeFilter(keep)


def load_mendline_clip(place: Path = WEIGHTS, sha256: str = SHA256) -> OpenClipEmbedder:
    """Load it with the weights at `place`; without them `identity.trained` is False.

    Raises `UserError` for a file of another hash.
    """
    model = build_model()
    trained = place.is_file()
    if trained:
        from safetensors.torch import load

        data = read_pinned(place, sha256, "the embedder")
        model.load_state_dict({name: w.float() for name, w in load(data).items()})
    identity = Identity(CONFIG.stem, VERSION, weights_digest(model), trained=trained)
    return OpenClipEmbedder(model, open_clip.get_tokenizer(CONFIG.stem), identity)
