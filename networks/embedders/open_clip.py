"""Any model of open_clip as an Embedder."""

import difflib
import hashlib
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import open_clip
import torch
from open_clip.transform import PreprocessCfg, image_transform_v2
from PIL import Image
from safetensors import SafetensorError
from torchvision.transforms import Compose

from catalog.errors import UserError
from catalog.images import Rgb, middle
from networks.interfaces import Identity

VERSION = "2"
"""Of the preprocessing and of this code; part of the identity."""


LONGEST_ASPECT = 8
"""Longer side over shorter of what is scaled: beyond, a crop to the middle comes first, since the
whole of a line of pixels scaled to the model's height would fill the memory. The centre square,
which the model sees, is the same."""


GPU_BATCH = 32
"""Images in every call of the network on a GPU: fewer are filled up, more are taken in turns.

A GPU's library chooses another kernel, which sums in another order, for another number of images;
with one number an image has the same vector whatever stands beside it.
"""


def weights_digest(model: torch.nn.Module) -> str:
    """SHA-256 over the names and bytes of all weights, in the order of their names."""
    digest = hashlib.sha256()
    for name, value in sorted(model.state_dict().items()):
        digest.update(name.encode())
        digest.update(value.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


_FLAGS = threading.Lock()
"""Held while cuDNN's flags, which all threads of a process share, are not as they were."""


@contextmanager
def _full_precision() -> Iterator[None]:
    """Products of float32 in float32 on a GPU, where cuDNN takes TF32 unless it is told not to."""
    with _FLAGS:
        before = torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32
        torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = False
        try:
            yield
        finally:
            torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32 = before


class Preparation:
    """An image to the square that a model of open_clip sees; processes may send it to others."""

    def __init__(self, preprocessing: PreprocessCfg) -> None:
        # Its last two steps, to numbers and their normalisation, are taken for a batch at once.
        self._scaled = Compose(image_transform_v2(preprocessing, is_train=False).transforms[:-2])
        self._crops = preprocessing.resize_mode == "shortest"

    def __call__(self, image: Rgb) -> Rgb:
        """(side, side, 3) uint8, scaled and cut as the model asks."""
        if self._crops:
            image = middle(image, LONGEST_ASPECT)
        return np.asarray(self._scaled(Image.fromarray(image)))


class OpenClipEmbedder:
    """An open_clip model with its own preprocessing and tokenizer, on a GPU when there is one.

    Vectors are float32 of length 1 in the model's joint space.
    """

    def __init__(self, model: Any, tokenizer: Any, identity: Identity) -> None:
        self.identity = identity
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        # Convolutions take a third less time with channels last.
        self.model = (
            model.eval().requires_grad_(False).to(self.device, memory_format=torch.channels_last)
        )
        self.tokenizer = tokenizer
        preprocessing = PreprocessCfg(**model.visual.preprocess_cfg)
        self.transform = image_transform_v2(preprocessing, is_train=False)
        self.prepare = Preparation(preprocessing)
        self.on_gpu = self.device.type == "cuda"
        self._fixed = GPU_BATCH if self.on_gpu else None
        self._dtype = next(model.visual.parameters()).dtype
        self._white = torch.tensor(255.0, device=self.device)
        self._mean, self._std = (
            torch.tensor(values, device=self.device).view(3, 1, 1)
            for values in (preprocessing.mean, preprocessing.std)
        )
        self.width = self.embed_texts(["a photo"]).shape[1]

    def embed_images(self, images: Sequence[Rgb]) -> np.ndarray:
        """(n, width) float32, each row of length 1; no images give (0, width)."""
        return self.embed_prepared([self.prepare(image) for image in images])

    @torch.inference_mode()
    def embed_prepared(self, prepared: Sequence[Rgb]) -> np.ndarray:
        """(n, width) float32, each row of length 1, of what `prepare` made."""
        if not prepared:
            return np.zeros((0, self.width), np.float32)
        size = self._fixed or len(prepared)
        parts = [
            self._encode(prepared[start : start + size]) for start in range(0, len(prepared), size)
        ]
        return torch.cat(parts).cpu().numpy()

    def _encode(self, prepared: Sequence[Rgb]) -> torch.Tensor:
        """(n, width) float32 on the device, in one call of the network."""
        count = len(prepared)
        batch = np.zeros((self._fixed or count, *prepared[0].shape), np.uint8)
        np.stack(prepared, out=batch[:count])
        # As bytes to the device, a quarter of what float32 takes; channels are last already. A
        # tensor as divisor, since by a number a GPU would multiply with its inverse.
        data = torch.from_numpy(batch).to(self.device).permute(0, 3, 1, 2).float()
        data = data.div_(self._white).sub_(self._mean).div_(self._std).to(self._dtype)
        return self._asked(self.model.encode_image, data)[:count]

    def _asked(self, encode: Any, given: torch.Tensor) -> torch.Tensor:
        """(n, width) float32 on the device, each row of length 1."""
        with _full_precision() if self.on_gpu else nullcontext():
            return encode(given, normalize=True).float()

    @torch.inference_mode()
    def embed_texts(self, texts: Sequence[str]) -> np.ndarray:
        """(n, width) float32, each row of length 1; texts beyond the context are cut."""
        if not texts:
            return np.zeros((0, self.width), np.float32)
        tokens = self.tokenizer(list(texts)).to(self.device)
        return self._asked(self.model.encode_text, tokens).cpu().numpy()


def _near(what: str, given: str, valid: Sequence[str]) -> UserError:
    near = difflib.get_close_matches(given, valid, n=3) or list(valid)[:8]
    return UserError(
        f"open_clip has no {what} named {given!r}.", f"Near or valid are: {', '.join(near)}."
    )


def _weights(model_name: str, source: str) -> str:
    """The safetensors file or pretrained tag that `source` names, checked."""
    if "/" in source or source.endswith((".safetensors", ".pt", ".bin", ".pth")):
        path = Path(source)
        if path.suffix != ".safetensors":
            raise UserError(
                f"The weights {source} are not a safetensors file.",
                "Only safetensors are loaded, since other formats can run code; convert the file "
                "with safetensors.torch.save_file.",
            )
        if not path.is_file():
            raise UserError(f"There are no weights at {source}.", "Name a file that exists.")
        return source
    tags = open_clip.list_pretrained_tags_by_model(model_name)
    if source not in tags:
        raise _near(f"pretrained tag of {model_name}", source, tags)
    return source


def load_open_clip(name: str) -> OpenClipEmbedder:
    """Load `open_clip:MODEL:TAG`, TAG a pretrained tag or the path of a safetensors file.

    A tag's weights run with the activation they were trained with (OpenAI's with QuickGELU); for
    those in a file MODEL says it, such as ViT-L-14-quickgelu.
    Raises `UserError` for an unknown model or tag, a file that is missing or does not fit, and
    weights that cannot be downloaded.
    """
    parts = name.split(":", 2)
    if len(parts) != 3 or not parts[1] or not parts[2]:
        raise UserError(
            f"The embedder {name!r} names no model and weights.",
            "Write open_clip:MODEL:TAG, such as open_clip:ViT-L-14:openai.",
        )
    _, model_name, source = parts
    if model_name not in open_clip.list_models():
        raise _near("model", model_name, open_clip.list_models())
    weights = _weights(model_name, source)
    # open_clip only warns where the model's activation is not that of the weights.
    quick = bool(open_clip.get_pretrained_cfg(model_name, weights).get("quick_gelu"))
    try:
        model = open_clip.create_model(
            model_name, pretrained=weights, force_quick_gelu=quick, require_pretrained=True
        )
    except (RuntimeError, OSError, SafetensorError) as error:
        raise UserError(
            f"The weights of {name} cannot be loaded: {error}.",
            "Check the file and the model's name, or the network (and HF_HUB_OFFLINE) for a tag.",
        ) from error
    label = source if weights in open_clip.list_pretrained_tags_by_model(model_name) else "file"
    identity = Identity(f"open_clip:{model_name}:{label}", VERSION, weights_digest(model))
    return OpenClipEmbedder(model, open_clip.get_tokenizer(model_name), identity)
