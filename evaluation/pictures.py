"""Pictures of bounded size that the report shows."""

from pathlib import Path

from catalog.degradations import Degradation
from catalog.images import Rgb
from evaluation.benchmark import Item, limit

QUALITY = 85


def picture_path(degradation: Degradation, image_id: str, side: str) -> str:
    """Path inside an evaluation folder; `side` is "degraded" or "restored"."""
    return f"pictures/{degradation}-{image_id[:24]}-{side}.jpg"


def save_picture(folder: Path, item: Item, side: str, image: Rgb, longest: int) -> None:
    """Write a JPEG without metadata, at most `longest` pixels on its longer side."""
    from PIL import Image

    path = folder / picture_path(item.degradation, item.image_id, side)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(limit(image, longest)).save(path, "JPEG", quality=QUALITY, optimize=True)
