"""Measures of sharpness and of coding: blur, blocks, lost resolution."""

import cv2
import numpy as np

from networks.judges.proxy.views import Views

TILE = 32
"""Side of a tile of `_tiles`, px."""
PERIODS = (7.5, 22.0)
"""Of a grid of blocks that was scaled up by up to 2.75, px."""
_DCT = cv2.dct(np.eye(8, dtype=np.float32), flags=cv2.DCT_ROWS).T
"""Orthonormal DCT-II of 8 samples: rows are frequencies."""


def measure(views: Views) -> dict[str, float]:
    """Crete's blur, edge widths, band energies at two scales, JPEG's grid, empty blocks."""
    found: dict[str, float] = {}
    for name, grey in (("coarse", views.coarse_luma), ("fine", views.fine_luma)):
        found[f"crete_{name}"] = _crete(grey)
        found |= {f"{key}_{name}": value for key, value in _bands(grey).items()}
        found |= {f"{key}_{name}": value for key, value in _edges(grey).items()}
        found |= {f"{key}_{name}": value for key, value in _directions(grey).items()}
    found["scale"] = float(np.log(views.scale))
    return found | _tiles(views.coarse_luma) | _blocks(views.fine) | _period(views.fine_luma)


def _crete(grey: np.ndarray) -> float:
    """Crete-Roffet et al. 2007: share of variation that a 9-tap blur leaves, 0 sharp .. 1 blurred.

    The worse of the two directions.
    """
    result = 0.0
    for axis, size in ((0, (1, 9)), (1, (9, 1))):
        sharp = np.abs(np.diff(grey, axis=axis))
        soft = np.abs(np.diff(cv2.blur(grey, size), axis=axis))
        total = float(sharp.sum())
        lost = float(np.maximum(sharp - soft, 0).sum())
        result = max(result, 1 - lost / total) if total > 1e-6 else max(result, 1.0)
    return result


def _bands(grey: np.ndarray) -> dict[str, float]:
    """Log energy ratios of neighbouring octaves of a Laplacian pyramid."""
    energies: list[float] = []
    power: np.ndarray = np.zeros(1)
    current = grey
    for level in range(5):
        if min(current.shape) < 8:
            energies.append(energies[-1])
            continue
        low = cv2.pyrDown(current)
        high = current - cv2.pyrUp(low, dstsize=current.shape[::-1])
        energies.append(float(np.log(high.std() + 3e-4)))
        if level == 0:
            height, width = high.shape
            count = (max(width // 32, 1), max(height // 32, 1))
            power = cv2.resize(high * high, count, interpolation=cv2.INTER_AREA).ravel()
        current = low
    tiles = np.log(np.sqrt(np.maximum(power, 0)) + 3e-4)
    return {
        "band0": energies[0],
        "band01": energies[0] - energies[1],
        "band12": energies[1] - energies[2],
        "band23": energies[2] - energies[3],
        "band34": energies[3] - energies[4],
        "tile_p95": float(np.percentile(tiles, 95)),
        "tile_p50": float(np.percentile(tiles, 50)),
    }


def _tiles(grey: np.ndarray) -> dict[str, float]:
    """Sharpness by tile: log ratio of the energies of neighbouring octaves, as quantiles.

    A photo has something sharp somewhere; a blurred one has not, however much of it is plain.
    """
    energies: list[np.ndarray] = []
    low = grey
    height, width = grey.shape
    count = (max(width // TILE, 1), max(height // TILE, 1))
    for _ in range(4):
        if min(low.shape) < 8:
            energies.append(energies[-1] if energies else np.zeros(count[::-1], np.float32))
            continue
        down = cv2.pyrDown(low)
        high = low - cv2.pyrUp(down, dstsize=low.shape[::-1])
        energies.append(cv2.resize(high * high, count, interpolation=cv2.INTER_AREA))
        low = down
    found: dict[str, float] = {}
    for level in range(3):
        fine, coarse = energies[level], energies[level + 1]
        ratio = np.log((fine + 1e-6) / (coarse + 1e-6)) / 2
        # Tiles with something in them: the upper half by the coarser octave.
        ratio = ratio[coarse >= np.median(coarse)]
        p10, p50, p90 = np.percentile(ratio, (10, 50, 90))
        found |= {
            f"tile{level}_p10": float(p10),
            f"tile{level}_p50": float(p50),
            f"tile{level}_p90": float(p90),
        }
    return found


def _edges(grey: np.ndarray) -> dict[str, float]:
    """Blur in pixels of the stronger edges by re-blurring (Zhuo and Sim 2011), as quantiles."""
    smooth = cv2.GaussianBlur(grey, (0, 0), 0.6)
    first = _gradient(smooth)
    second = _gradient(cv2.GaussianBlur(smooth, (0, 0), 1.5))
    strong = first > max(float(np.percentile(first, 92)), 0.02)
    if int(strong.sum()) < 32:
        return {"edge_p10": 5.0, "edge_p50": 5.0, "edge_p90": 5.0}
    ratio = first[strong] / np.maximum(second[strong], 1e-5)
    sigma = 1.5 / np.sqrt(np.maximum(ratio**2 - 1, 0.09))
    p10, p50, p90 = np.percentile(sigma, (10, 50, 90))
    return {"edge_p10": float(p10), "edge_p50": float(p50), "edge_p90": float(p90)}


def _directions(grey: np.ndarray) -> dict[str, float]:
    """Fine against coarse second differences along four directions, log ratio.

    Motion blurs one direction only: the least of the four is low, and far from the greatest.
    """
    ratios = []
    for down, right in ((0, 1), (1, 0), (1, 1), (1, -1)):
        amounts = [_second(grey, down * step, right * step) for step in (1, 4)]
        ratios.append(float(np.log((amounts[0] + 2e-4) / (amounts[1] + 2e-4))))
    return {"way_least": min(ratios), "way_spread": max(ratios) - min(ratios)}


def _second(grey: np.ndarray, down: int, right: int) -> float:
    """Mean absolute second difference over a step, 0 where the image is too small for it."""
    height, width = grey.shape
    tall, wide = height - 2 * abs(down), width - 2 * abs(right)
    if tall < 1 or wide < 1:
        return 0.0
    left = 2 * abs(right) if right < 0 else 0
    parts = [
        grey[down * i : down * i + tall, left + right * i : left + right * i + wide]
        for i in range(3)
    ]
    return float(np.abs(parts[0] - 2 * parts[1] + parts[2]).mean())


def _gradient(grey: np.ndarray) -> np.ndarray:
    return cv2.magnitude(cv2.Sobel(grey, cv2.CV_32F, 1, 0), cv2.Sobel(grey, cv2.CV_32F, 0, 1))


def _blocks(image: np.ndarray) -> dict[str, float]:
    """How much steps at one phase of 8 exceed the others, and how much of the blocks is empty."""
    ycc = cv2.cvtColor(image, cv2.COLOR_RGB2YCrCb)
    grey = ycc[:, :, 0] * 255
    grids = []
    for values in (grey, grey.T):
        step = np.abs(np.diff(values, axis=1))
        # A block border is a step that its neighbours do not continue.
        alone = step[:, 1:-1] - (step[:, :-2] + step[:, 2:]) / 2
        profile = np.minimum(alone, 20).mean(axis=0)
        profile = profile[: len(profile) // 8 * 8].reshape(-1, 8).mean(axis=0)
        best = int(profile.argmax())
        rest = np.delete(profile, best)
        grids.append((profile[best] - np.median(rest), float(np.abs(step).mean()), best))
    height, width = (side // 8 * 8 for side in grey.shape)
    tiles = grey[:height, :width].reshape(height // 8, 8, width // 8, 8)
    flat = np.abs(np.diff(tiles, axis=1)).mean(axis=(1, 3))
    chroma = ycc[:, :, 1:] * 255
    chroma_high = float(np.abs(cv2.Laplacian(chroma, cv2.CV_32F)).mean())
    grid = (grids[0][0] + grids[1][0]) / 2
    return {
        "grid": float(grid),
        "grid_relative": float(grid / ((grids[0][1] + grids[1][1]) / 2 + 0.5)),
        "grid_least": float(min(grids[0][0], grids[1][0])),
        "flat_share": float((flat < 0.35).mean()),
        "chroma_high": float(np.log(chroma_high + 0.05)),
        "ringing": _ringing(grey),
        "still": float(np.log((np.abs(np.diff(grey, axis=1)) < 0.4).mean() + 0.01)),
        "sparse": _sparse(grey),
        "sparse_low": _sparse(grey, low=True),
    }


def _period(grey: np.ndarray) -> dict[str, float]:
    """A grid of blocks of any period: scaled up after coding it is no longer 8.

    The excess of steps over their neighbours, summed along each column and row, has a comb of
    that period; its spectrum a peak, here in e-folds above the median.
    """
    peaks, places = [], []
    for values in (grey, grey.T):
        if min(values.shape) < 64:
            continue
        step = np.abs(np.diff(values * 255, axis=1))
        alone = step[:, 1:-1] - (step[:, :-2] + step[:, 2:]) / 2
        profile = np.clip(alone, -8, 8).mean(axis=0)
        profile = (profile - cv2.blur(profile[None], (31, 1))[0]) * np.hanning(len(profile))
        spectrum = np.abs(np.fft.rfft(profile, 1024))
        first, last = (round(1024 / period) for period in PERIODS[::-1])
        # A comb has its second harmonic too, a texture seldom.
        both = np.sqrt(spectrum[first:last] * spectrum[2 * first : 2 * last : 2])
        best = int(both.argmax())
        peaks.append(float(np.log((both[best] + 0.01) / (np.median(spectrum) + 0.01))))
        places.append(1024 / (first + best) / 8)
    if not peaks:
        return {"comb": 0.0, "comb_least": 0.0, "comb_scale": 0.0}
    agree = abs(np.log(places[0] / places[-1])) < 0.06
    return {
        "comb": max(peaks),
        "comb_least": min(peaks),
        "comb_scale": float(np.log(places[0])) if agree else 0.0,
    }


def _sparse(grey: np.ndarray, low: bool = False) -> float:
    """Share of the AC coefficients of 8 x 8 blocks below half a grey level, log.

    Quantisation empties them, most at the phase at which the blocks were coded; strong
    quantisation the nine of the lowest frequencies (`low`) too.
    """
    best = 0.0
    for phase in (0, 4):
        tall, wide = ((side - phase) // 8 * 8 for side in grey.shape)
        if tall < 8 or wide < 8:
            continue
        part = grey[phase : phase + tall, phase : phase + wide]
        blocks = part.reshape(tall // 8, 8, wide // 8, 8).transpose(0, 2, 1, 3)
        levels = np.abs(_DCT @ blocks @ _DCT.T)
        if low:
            levels = levels[:, :, :4, :4].reshape(-1, 16)[:, [1, 2, 3, 4, 5, 6, 8, 9, 12]]
        best = max(best, float((levels < 0.5).mean()))
    return float(np.log(best + 0.01))


def _ringing(grey: np.ndarray) -> float:
    """Weak oscillation beside strong edges against that elsewhere, log ratio."""
    gradient = _gradient(grey)
    strong = gradient > max(float(np.percentile(gradient, 95)), 40.0)
    if int(strong.sum()) < 64:
        return 0.0
    near = cv2.dilate(strong.astype(np.uint8), np.ones((15, 15), np.uint8)) > 0
    edge = cv2.dilate(strong.astype(np.uint8), np.ones((5, 5), np.uint8)) > 0
    high = np.abs(cv2.filter2D(grey, cv2.CV_32F, np.array([[1, -2, 1]], np.float32)))
    ring, away = near & ~edge, ~near
    if not ring.any() or not away.any():
        return 0.0
    return float(np.log((np.median(high[ring]) + 0.3) / (np.median(high[away]) + 0.3)))
