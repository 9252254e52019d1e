"""Degradations by code that is not ours: albumentations, for `train_gain --by albumentations`.

    python -m pip install --no-deps --target FOLDER albumentations==2.0.8 albucore==0.0.24 \\
        stringzilla simsimd

and PYTHONPATH=FOLDER. It has nothing like moire and reflections.
"""

import numpy as np

from catalog.degradations import Degradation
from catalog.images import Rgb


def transforms(size: int) -> dict[Degradation, list[object]]:
    """What each task's photos go through in turn; `size` is their side, px."""
    import albumentations as A

    return {
        Degradation.BLUR: [
            A.MotionBlur(blur_limit=(7, 15), p=1),
            A.Defocus(radius=(2, 4), p=1),
            A.GaussianBlur(blur_limit=0, sigma_limit=(1.0, 2.5), p=1),
        ],
        Degradation.COMPRESSION: [
            A.ImageCompression(compression_type="jpeg", quality_range=(8, 30), p=1),
            A.ImageCompression(compression_type="webp", quality_range=(3, 15), p=1),
        ],
        Degradation.LOW_LIGHT: [
            A.RandomGamma(gamma_limit=(220, 400), p=1),
            A.RandomBrightnessContrast((-0.6, -0.4), (-0.2, 0.0), p=1),
        ],
        Degradation.NOISE: [
            A.GaussNoise(std_range=(0.06, 0.18), p=1),
            A.ISONoise(color_shift=(0.02, 0.06), intensity=(0.4, 0.9), p=1),
            A.ShotNoise(scale_range=(0.1, 0.4), p=1),
        ],
        Degradation.FLARE: [
            A.RandomSunFlare(src_radius=size // 3, method="physics_based", p=1),
            A.RandomSunFlare(src_radius=size // 3, p=1),
        ],
        Degradation.HAZE: [A.RandomFog(fog_coef_range=(0.3, 0.7), p=1)],
        Degradation.RAIN: [
            A.RandomRain(rain_type="default", p=1),
            A.RandomRain(rain_type="heavy", p=1),
        ],
    }


def degraded(clean: list[Rgb], task: Degradation) -> list[Rgb] | None:
    """Each photo once, the transforms in turn, seeded; None where albumentations has none."""
    chosen = transforms(clean[0].shape[0]).get(task)
    if chosen is None:
        return None
    found = []
    for number, image in enumerate(clean):
        transform = chosen[number % len(chosen)]
        transform.set_random_seed(number)  # type: ignore[attr-defined]
        found.append(np.ascontiguousarray(transform(image=image)["image"]))  # type: ignore[operator]
    return found
