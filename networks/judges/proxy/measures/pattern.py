"""Measures of things laid over a photo: moire and reflection."""

import cv2
import numpy as np

from networks.judges.proxy.views import Views


def measure(views: Views) -> dict[str, float]:
    """Spectral peaks, chroma that luma does not explain, doubled edges, crossing weak edges."""
    return (
        _chroma(views.coarse)
        | _peaks("coarse", views.coarse_luma)
        | _peaks("fine", views.fine_luma)
        | _double(views.coarse_luma)
        | _layers(views.coarse_luma)
    )


def _chroma(image: np.ndarray) -> dict[str, float]:
    """Colour bands by octave against luma, and their correlation with luma."""
    ycc = cv2.cvtColor(image, cv2.COLOR_RGB2YCrCb)
    found: dict[str, float] = {}
    low = ycc
    for level in range(1, 6):
        if min(low.shape[:2]) >= 8:
            down = cv2.pyrDown(low)
            high = low - cv2.pyrUp(down, dstsize=low.shape[1::-1])
            low = down
        luma, chroma = high[:, :, 0], high[:, :, 1:]
        amount = float(np.sqrt((chroma**2).mean()))
        found[f"chroma_band{level}"] = float(np.log(amount + 5e-4))
        found[f"chroma_ratio{level}"] = float(np.log((amount + 5e-4) / (float(luma.std()) + 2e-3)))
        # Where luma is calm, colour should be calm too; moire's fringes are not.
        energy = cv2.max(*cv2.split(np.abs(chroma)))
        found[f"chroma_p50_{level}"] = float(np.log(np.percentile(energy, 50) + 3e-4))
    return found


def _spectrum(grey: np.ndarray, side: int) -> np.ndarray:
    """Log magnitude of the windowed spectrum of the centre, (side, side), zero in the middle."""
    height, width = grey.shape
    down, right = max((height - side) // 2, 0), max((width - side) // 2, 0)
    crop = grey[down : down + side, right : right + side]
    window = np.outer(np.hanning(crop.shape[0]), np.hanning(crop.shape[1])).astype(np.float32)
    spectrum = np.fft.fftshift(np.abs(np.fft.fft2((crop - crop.mean()) * window, (side, side))))
    return np.log(spectrum.astype(np.float32) + 1e-2)


def _peaks(name: str, grey: np.ndarray) -> dict[str, float]:
    """Peaks of the spectrum above its surroundings, in e-folds, off the axes."""
    side = 256
    spectrum = cv2.GaussianBlur(_spectrum(grey, side), (0, 0), 0.8)
    ground = cv2.GaussianBlur(cv2.medianBlur(spectrum, 5), (0, 0), 8)
    peak = spectrum - ground
    rows, columns = np.indices(peak.shape) - side // 2
    radius = np.hypot(rows, columns)
    free = (radius > 12) & (np.abs(rows) > 3) & (np.abs(columns) > 3)
    values = peak[free & (radius < side // 2)]
    outer = peak[free & (radius > 50)]
    return {
        f"peak_{name}": float(values.max()),
        f"peak_{name}_p999": float(np.percentile(values, 99.9)),
        f"peak_{name}_outer": float(outer.max()),
        f"peak_{name}_tail": float(np.mean(values > 1.2) * 100),
    }


def _double(grey: np.ndarray) -> dict[str, float]:
    """Peaks of the gradient's autocorrelation away from the origin: ghosts of a second surface."""
    small = grey if max(grey.shape) <= 320 else cv2.resize(grey, None, fx=0.5, fy=0.5)
    dx, dy = cv2.Sobel(small, cv2.CV_32F, 1, 0), cv2.Sobel(small, cv2.CV_32F, 0, 1)
    result = 0.0
    signed = []
    for gradient in (dx, dy):
        limited = np.clip(gradient, -0.2, 0.2)
        power = np.abs(np.fft.rfft2(limited, (512, 512))) ** 2
        auto = np.fft.fftshift(np.fft.irfft2(power))[256 - 24 : 257 + 24, 256 - 24 : 257 + 24]
        auto = auto / max(float(auto[24, 24]), 1e-6)
        signed.append(auto)
    auto = ((signed[0] + signed[1]) / 2).astype(np.float32)
    ground = cv2.GaussianBlur(auto, (0, 0), 5)
    peak = auto - ground
    rows, columns = np.indices(peak.shape) - 24
    outside = np.hypot(rows, columns) > 4
    result = float(peak[outside].max())
    return {"double_peak": result, "double_least": float(-auto[outside].min())}


def _layers(grey: np.ndarray) -> dict[str, float]:
    """How gradients are spread: two layers give many weak edges that cross at all angles."""
    smooth = cv2.GaussianBlur(grey, (0, 0), 1.0)
    dx, dy = cv2.Sobel(smooth, cv2.CV_32F, 1, 0), cv2.Sobel(smooth, cv2.CV_32F, 0, 1)
    size = cv2.magnitude(dx, dy)
    p50, p75, p90, p99 = (float(v) + 1e-3 for v in np.percentile(size, (50, 75, 90, 99)))
    xx, yy, xy = (cv2.GaussianBlur(a, (0, 0), 3) for a in (dx * dx, dy * dy, dx * dy))
    root = np.sqrt((xx - yy) ** 2 + 4 * xy * xy)
    coherence = root / (xx + yy + 1e-6)
    busy = size > p75
    weak = busy & (size < p90)
    return {
        "gradient_p50": float(np.log(p50)),
        "gradient_p99": float(np.log(p99)),
        "gradient_weak": float(np.log(p90 / p50)),
        "gradient_spread": float(np.log(p99 / p75)),
        "crossing": float(1 - coherence[busy].mean()) if busy.any() else 0.0,
        "crossing_weak": float(1 - coherence[weak].mean()) if weak.any() else 0.0,
    }
