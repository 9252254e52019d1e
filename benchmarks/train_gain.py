"""PSNR and SSIM of restored against clean images minus those of the degraded ones, by task.

    python -m benchmarks.train_gain MODEL [MODEL ...] [--photos 20] [--by albumentations]

MODEL is a model folder. The photos are those of ../shared/data/clean, cut to 256 x 256, degraded by
networks.degraders with seeds and severities that no training uses; they never enter training.
With --by albumentations by that package instead (benchmarks/other_degradations.py), seven tasks.
"""

import argparse
import hashlib
import json
import time
from pathlib import Path

import numpy as np
from PIL import Image
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from benchmarks import other_degradations
from catalog.degradations import Degradation
from catalog.images import Rgb
from networks.degraders import load_degrader
from networks.student import load_student

SHARED = Path(__file__).parents[1] / "../shared/data/clean"
SIDE = 256
SEVERITIES = (1.5, 2.25, 3.0, 3.75)


def photos(count: int) -> list[Rgb]:
    """The middle squares of `count` photos spread over the folder."""
    paths = sorted(path for path in SHARED.iterdir() if path.suffix.lower() in (".jpg", ".png"))
    chosen = paths[:: max(1, len(paths) // count)][:count]
    squares = []
    for path in chosen:
        image = np.asarray(Image.open(path).convert("RGB"))
        top, left = (image.shape[0] - SIDE) // 2, (image.shape[1] - SIDE) // 2
        squares.append(image[top : top + SIDE, left : left + SIDE])
    return squares


def degraded(clean: list[Rgb], task: Degradation) -> list[Rgb]:
    """Each photo once, severities in turn."""
    layers = clean[::-1] if task is Degradation.REFLECTION else ()
    degrader = load_degrader(task, layers=layers)
    seed = int.from_bytes(hashlib.sha256(f"measure {task}".encode()).digest()[:8])
    return [
        degrader.degrade(image, SEVERITIES[i % 4], np.random.default_rng((seed, i)))
        for i, image in enumerate(clean)
    ]


def measure(clean: Rgb, other: Rgb) -> tuple[float, float]:
    """(PSNR in dB, SSIM)."""
    if np.array_equal(clean, other):
        return 60.0, 1.0
    return (
        min(60.0, peak_signal_noise_ratio(clean, other, data_range=255)),
        structural_similarity(clean, other, channel_axis=2, data_range=255),
    )


def main() -> None:
    """Print a table and a JSON line a model."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("models", type=Path, nargs="+")
    parser.add_argument("--photos", type=int, default=20)
    parser.add_argument("--by", choices=("mendline", "albumentations"), default="mendline")
    parser.add_argument("--steps", type=int, help="sampling steps in place of the model's")
    parser.add_argument("--tile", type=int, help="tile in place of the model's")
    arguments = parser.parse_args()
    clean = photos(arguments.photos)
    degrade = degraded if arguments.by == "mendline" else other_degradations.degraded
    made = {task: degrade(clean, task) for task in Degradation}
    inputs = {task: images for task, images in made.items() if images is not None}
    before = {
        task: [measure(*pair) for pair in zip(clean, images, strict=True)]
        for task, images in inputs.items()
    }
    for folder in arguments.models:
        restorer = load_student(folder)
        changes = {
            key: value
            for key, value in (("sampling_steps", arguments.steps), ("tile", arguments.tile))
            if value
        }
        restorer.model.architecture = restorer.model.architecture.model_copy(update=changes)
        started = time.perf_counter()
        rows = {}
        for task, images in inputs.items():
            restored = restorer.restore(images, task)
            after = [measure(*pair) for pair in zip(clean, restored, strict=True)]
            gain = np.array(after) - np.array(before[task])
            rows[str(task)] = [round(float(x), 3) for x in gain.mean(axis=0)] + [
                round(float(np.mean([psnr for psnr, _ in before[task]])), 2)
            ]
        mean = np.mean([row[:2] for row in rows.values()], axis=0)
        seconds = (time.perf_counter() - started) / len(clean) / len(rows)
        print(f"{folder}: gain {mean[0]:+.2f} dB, {mean[1]:+.4f} SSIM, {seconds:.2f} s an image")
        for task, (psnr, ssim, base) in rows.items():
            print(f"  {task:12s} {psnr:+6.2f} dB  {ssim:+.4f} SSIM   (input {base:.2f} dB)")
        print(json.dumps({"model": str(folder), "gain": rows}))


if __name__ == "__main__":
    main()
