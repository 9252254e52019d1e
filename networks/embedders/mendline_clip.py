"""The embedder in the package: a small CLIP of ours, built by open_clip from our own config."""

from pathlib import Path

import open_clip
import torch

from networks.embedders.open_clip import OpenClipEmbedder, weights_digest
from networks.interfaces import Identity

CONFIG = Path(__file__).with_name("mendline-clip.json")
WEIGHTS = Path(__file__).with_name("mendline-clip.safetensors")
"""Made by networks.embedders.fit; without the file the weights are random."""

SEED = 20260326
VERSION = "1"

PREPROCESSING = {"resize_mode": "squash", "interpolation": "bicubic"}
"""The whole image is seen whatever its aspect ratio: a centre crop would hide a border."""


def build_model(seed: int = SEED) -> torch.nn.Module:
    """The architecture with random weights, the same for one `seed` and release of torch."""
    open_clip.add_model_config(CONFIG)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return open_clip.create_model(CONFIG.stem, force_preprocess_cfg=PREPROCESSING)


def load_mendline_clip() -> OpenClipEmbedder:
    """Load it with the weights beside this file; without them `identity.trained` is False."""
    model = build_model()
    trained = WEIGHTS.is_file()
    if trained:
        from safetensors.torch import load_file

        model.load_state_dict({name: w.float() for name, w in load_file(WEIGHTS).items()})
    identity = Identity(CONFIG.stem, VERSION, weights_digest(model), trained=trained)
    return OpenClipEmbedder(model, open_clip.get_tokenizer(CONFIG.stem), identity)
