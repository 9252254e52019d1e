"""Degraders against a straightforward SciPy and Pillow version of the same steps, one thread.

    OMP_NUM_THREADS=1 python benchmarks/degrade_throughput.py [--seeds 6] [--only rain]
    python benchmarks/degrade_throughput.py --device cuda [--batch 8] [--threads 8]

The reference does what a first version would: float64 arrays, scipy.ndimage and scipy.signal,
numpy.random's legacy generator, Pillow's resize and JPEG. It is our own stand-in: the released
RealRestorer pipeline is not on this machine.

With --device, the tensor path is timed instead, by the clock: batches that lie on the device
already and stay there, their plans drawn by --threads.
"""

import argparse
import io
import time
from collections.abc import Callable
from functools import partial

import cv2
import numpy as np
from PIL import Image, ImageDraw
from scipy import ndimage, signal
from skimage import data

from catalog.degradations import Degradation
from catalog.images import Rgb
from networks.degraders import load_degrader
from networks.degraders.blur import path_kernel, shake_path
from networks.degraders.web_style import web_style
from networks.interfaces import Degrader


def _jpeg(image: np.ndarray, quality: int) -> Image.Image:
    buffer = io.BytesIO()
    Image.fromarray(np.clip(image, 0, 255).astype(np.uint8)).save(buffer, "JPEG", quality=quality)
    return Image.open(buffer).convert("RGB")


def reference_web_style(image: Rgb, rng: np.random.Generator) -> Rgb:
    """Two rounds of blur, down-scaling, noise and JPEG."""
    current, size = image.astype(np.float64), image.shape[1::-1]
    for factor in (3, 4):
        current = ndimage.gaussian_filter(current, (3, 3, 0))
        small = Image.fromarray(current.astype(np.uint8)).resize(
            (max(16, current.shape[1] // factor), max(16, current.shape[0] // factor)),
            Image.Resampling.BICUBIC,
        )
        noisy = np.asarray(small, np.float64)
        noisy = noisy + np.random.normal(0, 12, noisy.shape)  # noqa: NPY002
        current = np.asarray(_jpeg(noisy, 50), np.float64)
    shown = Image.fromarray(current.astype(np.uint8))
    return np.asarray(shown.resize(size, Image.Resampling.BICUBIC))


def reference_blur(image: Rgb, rng: np.random.Generator) -> Rgb:
    """A motion kernel by FFT convolution in linear light."""
    kernel = path_kernel(shake_path(30.0, rng)).astype(np.float64)
    linear = (image / 255.0) ** 2.2
    blurred = np.stack(
        [signal.fftconvolve(linear[:, :, c], kernel, mode="same") for c in range(3)], axis=2
    )
    return (np.clip(blurred, 0, 1) ** (1 / 2.2) * 255).astype(np.uint8)


def reference_noise(image: Rgb, rng: np.random.Generator) -> Rgb:
    """Poisson and Gaussian noise, then JPEG."""
    scaled = image / 255.0
    noisy = np.random.poisson(scaled * 60) / 60.0  # noqa: NPY002
    noisy = noisy + np.random.normal(0, 0.05, scaled.shape)  # noqa: NPY002
    return np.asarray(_jpeg(noisy * 255, 85))


def reference_rain(image: Rgb, rng: np.random.Generator) -> Rgb:
    """Streaks of three lengths drawn one by one with Pillow, blurred, and a veil by depth."""
    height, width = image.shape[:2]
    linear = (image / 255.0) ** 2.2
    total = np.zeros((height, width))
    for count, length, sigma in ((4000, 8, 0.4), (1800, 20, 0.9), (600, 45, 1.4)):
        layer = Image.new("L", (width, height))
        pen = ImageDraw.Draw(layer)
        for _ in range(count):
            x, y = rng.uniform(0, width), rng.uniform(0, height)
            angle = np.radians(rng.uniform(75, 105))
            end = (x + length * np.cos(angle), y + length * np.sin(angle))
            pen.line([(x, y), end], fill=int(rng.uniform(90, 255)), width=1)
        total = np.maximum(total, ndimage.gaussian_filter(np.asarray(layer) / 255.0, sigma))
    depth = np.linspace(1, 0, height)[:, None]
    through = np.exp(-0.4 * depth)[:, :, None]
    wet = linear * through + 0.6 * (1 - through)
    wet = wet * (1 - 0.4 * total[:, :, None]) + 0.7 * 0.4 * total[:, :, None]
    return (np.clip(wet, 0, 1) ** (1 / 2.2) * 255).astype(np.uint8)


def _time(run: Callable[[np.random.Generator], object], seeds: int, repeats: int) -> float:
    """CPU milliseconds, the mean over what `seeds` draw; of each the best of `repeats`."""
    run(np.random.default_rng(0))
    total = 0.0
    for seed in range(seeds):
        best = float("inf")
        for _ in range(repeats):
            rng = np.random.default_rng(seed)
            started = time.process_time()  # CPU time: other work on the machine does not count
            run(rng)
            best = min(best, time.process_time() - started)
        total += best
    return total * 1000 / seeds


def _degrade(degrader: Degrader, image: Rgb, rng: np.random.Generator) -> Rgb:
    return degrader.degrade(image, 2.5, rng)


def time_device(image: Rgb, names: list[str], options: argparse.Namespace) -> None:
    """Print milliseconds an image on a device: all of it, and of that the plans alone."""
    import torch

    from networks.degraders.tensors import TensorDegrader, TensorWebStyle, device_named
    from networks.degraders.tensors.operators import upload
    from networks.degraders.web_style import WebStyle

    device = device_named(options.device)
    count = options.batch
    batch = (upload(image, device) / 255).expand(count, -1, -1, -1).contiguous()

    def done() -> float:
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        return time.perf_counter()

    for name in names:
        best, plans = float("inf"), float("nan")
        for turn in range(options.repeats + 1):  # the first one warms up
            generators = [np.random.default_rng(seed) for seed in range(count)]
            started = done()
            if name == "web-style":
                TensorWebStyle(WebStyle(), device).augment_batch(batch, generators)
            else:
                tensors = TensorDegrader(load_degrader(name), device)
                tensors.degrade_batch(batch, [2.5] * count, generators, options.threads)
            if turn:
                best = min(best, done() - started)
        if name != "web-style":
            degrader = load_degrader(name)
            started = time.perf_counter()
            for seed in range(count):
                degrader.plan(image, 2.5, np.random.default_rng(seed))
            plans = (time.perf_counter() - started) * 1000 / count
        print(f"| {name} | {best * 1000 / count:.1f} | {plans:.1f} |", flush=True)


def main() -> None:
    """Print CPU milliseconds an image and ratios."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--side", type=int, default=1024)
    parser.add_argument("--seeds", type=int, default=6)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--only", nargs="*", help="Names; all when left out.")
    parser.add_argument("--device", help="Time the tensor path there, such as cuda.")
    parser.add_argument("--batch", type=int, default=8, help="Images a batch, with --device.")
    parser.add_argument("--threads", type=int, default=4, help="That draw plans, with --device.")
    options = parser.parse_args()
    cv2.setNumThreads(1)
    image = cv2.resize(data.astronaut(), (options.side, options.side))
    references: dict[str, Callable[[Rgb, np.random.Generator], Rgb]] = {
        "blur": reference_blur,
        "noise": reference_noise,
        "rain": reference_rain,
        "web-style": reference_web_style,
    }
    names = [*(task.value for task in Degradation), "web-style"]
    names = [name for name in names if not options.only or name in options.only]
    if options.device:
        time_device(image, names, options)
        return
    for name in names:
        make: Callable[[Rgb, np.random.Generator], Rgb] = web_style
        if name != "web-style":
            make = partial(_degrade, load_degrader(name))
        own = _time(partial(make, image), options.seeds, options.repeats)
        line = f"| {name} | {own:.0f} |"
        if name in references:
            other = _time(partial(references[name], image), options.seeds, options.repeats)
            line += f" {other:.0f} | {other / own:.1f} |"
        else:
            line += "  |  |"
        print(line, flush=True)


if __name__ == "__main__":
    main()
