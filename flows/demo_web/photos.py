"""The photos: where installed packages keep them, who made them, on which terms."""

from dataclasses import dataclass
from importlib import resources

import numpy as np

from catalog.images import Rgb, decode


@dataclass(frozen=True)
class Photo:
    """One photo of an installed package."""

    name: str
    package: str
    path: str
    license: str
    creator: str
    held_out: bool = False
    """Never on the demo web: degraded versions of it are the benchmark."""

    scenes: int = 6
    """Tiles of it that are used at most: one texture's tiles look alike."""

    def load(self) -> Rgb:
        """(height, width, 3) uint8 sRGB."""
        data = (resources.files(self.package) / self.path).read_bytes()
        if not self.path.endswith(".npz"):
            return decode(data)
        import io

        with np.load(io.BytesIO(data)) as file:  # allow_pickle is False by default
            grey = file[file.files[0]].astype(np.uint8)
        return np.repeat(grey[:, :, None], 3, axis=2)


_CC0 = "CC0-1.0"
_PUBLIC = "public domain"

# Terms as stated in skimage/data/_fetchers.py, sklearn/datasets/images/README.txt and
# pywt/data/_readers.py; Middlebury's page grants use and publication of its stereo images.
PHOTOS = (
    Photo("astronaut", "skimage", "data/astronaut.png", _PUBLIC, "NASA"),
    Photo("brick", "skimage", "data/brick.png", _CC0, "CC0 Textures", scenes=2),
    Photo("camera", "skimage", "data/camera.png", _CC0, "Lav Varshney"),
    Photo("coins", "skimage", "data/coins.png", _PUBLIC, "Brooklyn Museum"),
    Photo("grass", "skimage", "data/grass.png", _CC0, "linolafett", scenes=2),
    Photo("gravel", "skimage", "data/gravel.png", _CC0, "CC0 Textures", scenes=2),
    Photo("hubble", "skimage", "data/hubble_deep_field.jpg", _PUBLIC, "NASA, ESA", scenes=2),
    Photo(
        "motorcycle",
        "skimage",
        "data/motorcycle_left.png",
        "free to use and publish",
        "D. Scharstein et al., Middlebury College",
    ),
    Photo("china", "sklearn", "datasets/images/china.jpg", "CC-BY-2.0", "danielbuechele"),
    Photo("flower", "sklearn", "datasets/images/flower.jpg", "CC-BY-2.0", "vultilion"),
    Photo("ascent", "pywt", "data/ascent.npz", _PUBLIC, "public-domain-image.com"),
    Photo("chelsea", "skimage", "data/chelsea.png", _CC0, "Stefan van der Walt", True),
    Photo("coffee", "skimage", "data/coffee.png", _CC0, "Rachel Michetti", True),
    Photo("rocket", "skimage", "data/rocket.jpg", _PUBLIC, "SpaceX", True),
    Photo(
        "hopper",
        "matplotlib",
        "mpl-data/sample_data/grace_hopper.jpg",
        _PUBLIC,
        "James S. Davis, US Navy",
        True,
    ),
)


def tiles(image: Rgb, side: int) -> list[Rgb]:
    """Cut into a grid of equal tiles of at least `side` pixels that do not overlap."""
    height, width = image.shape[:2]
    rows, columns = max(1, height // side), max(1, width // side)
    tall, wide = height // rows, width // columns
    return [
        image[r * tall : (r + 1) * tall, c * wide : (c + 1) * wide]
        for r in range(rows)
        for c in range(columns)
    ]
