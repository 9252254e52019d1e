"""Where the parts of a Step1X-Edit or RealRestorer download lie, in either published layout.

The bundle: transformer/, vae/, text_encoder/, processor/, scheduler/ and model_index.json.
The single files: step1x-edit*.safetensors (or realrestorer*), vae.safetensors or ae.safetensors,
and a folder of Qwen2.5-VL.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from catalog.errors import UserError

if TYPE_CHECKING:  # it imports diffusers, which takes seconds where a folder is only looked at
    from networks.step1x.checkpoint import Layout

INDEX = "model_index.json"
TRANSFORMERS = (
    "step1x-edit*.safetensors",
    "realrestorer*.safetensors",
    "RealRestorer*.safetensors",
)
AUTOENCODERS = ("vae.safetensors", "ae.safetensors")
TEXT_ENCODERS = ("Qwen2.5-VL-7B-Instruct", "qwen25vl-7b-instruct", "text_encoder")
PICKLES = (".pt", ".pth", ".bin", ".ckpt")


@dataclass(frozen=True)
class Places:
    """Paths of the parts."""

    root: Path
    layout: "Layout"
    transformer: tuple[Path, ...]
    autoencoder: Path
    text_encoder: Path
    processor: Path


def is_step1x(root: Path) -> bool:
    """Whether a folder looks like one of the two layouts."""
    return (root / INDEX).is_file() or any(list(root.glob(pattern)) for pattern in TRANSFORMERS)


def find_places(root: Path) -> Places:
    """The parts below `root`. Raises `UserError` that names what is missing."""
    if (root / INDEX).is_file():
        files = tuple(sorted((root / "transformer").glob("*.safetensors")))
        places = Places(
            root,
            "nested",
            files,
            root / "vae" / "diffusion_pytorch_model.safetensors",
            root / "text_encoder",
            root / "processor",
        )
    else:
        found = [path for pattern in TRANSFORMERS for path in sorted(root.glob(pattern))]
        if len(found) > 1:
            raise UserError(
                f"{root} holds several transformers: {', '.join(path.name for path in found)}.",
                "Keep one of them in the folder.",
            )
        folder = _first(root, TEXT_ENCODERS)
        places = Places(
            root, "single-file", tuple(found), _first(root, AUTOENCODERS), folder, folder
        )
    missing = []
    if not places.transformer:
        where = root / "transformer" if places.layout == "nested" else root
        pickles = [path.name for path in where.glob("*") if path.suffix in PICKLES]
        if pickles:
            raise UserError(
                f"{pickles[0]} in {where} is a pickle, which can run code when it is loaded.",
                "Convert it where you trust it: safetensors.torch.save_file(torch.load(FILE, "
                "weights_only=True), 'step1x-edit.safetensors').",
            )
        missing.append("the transformer's *.safetensors")
    missing += [
        f"{what} ({path.relative_to(root)})"
        for what, path in (
            ("the autoencoder", places.autoencoder),
            ("the text encoder", places.text_encoder),
            ("the processor", places.processor),
        )
        if not path.exists()
    ]
    if missing:
        raise UserError(
            f"{root} is no complete Step1X-Edit or RealRestorer: {', '.join(missing)} missing.",
            "Download the whole repository, or put the missing parts there.",
        )
    return places


def _first(root: Path, names: tuple[str, ...]) -> Path:
    return next((root / name for name in names if (root / name).exists()), root / names[0])
