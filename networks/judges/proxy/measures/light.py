"""Measures of light and veil: low-light, haze, flare."""

import cv2
import numpy as np

from networks.judges.proxy.views import Views, largest, smallest

PATCH = 15
"""Side of the dark channel's patch at the coarse size (He, Sun, Tang 2009)."""


def measure(views: Views) -> dict[str, float]:
    """Luminance percentiles, dark channel, saturation, contrast, and the shape of bright light."""
    image, grey = views.coarse, views.coarse_luma
    brightest, least = largest(image), smallest(image)
    p01, p05, p25, p50, p75, p95, p99 = np.percentile(grey, (1, 5, 25, 50, 75, 95, 99))
    found = {
        "luma_mean": float(grey.mean()),
        "luma_p01": float(p01),
        "luma_p05": float(p05),
        "luma_p25": float(p25),
        "luma_p50": float(p50),
        "luma_p75": float(p75),
        "luma_p95": float(p95),
        "luma_p99": float(p99),
        "dark_share": float((brightest < 0.2).mean()),
        "contrast": float(grey.std()),
    }
    saturation = (brightest - least) / np.maximum(brightest, 0.05)
    found["saturation_mean"] = float(saturation.mean())
    found["saturation_p90"] = float(np.percentile(saturation, 90))
    found |= _illumination(grey, brightest)
    return found | _veil(image, least) | _glare(image, grey, brightest, saturation)


def _illumination(grey: np.ndarray, brightest: np.ndarray) -> dict[str, float]:
    """The light that falls on the scene, as the smoothed brightest channel (Guo 2016, LIME).

    Its low quantiles and the area in deep shadow see what is dark under a bright sky, which the
    mean of the picture does not. The log-average is Reinhard's key of the scene.
    """
    light = cv2.GaussianBlur(brightest, (0, 0), max(grey.shape) / 40)
    p05, p10, p25 = np.percentile(light, (5, 10, 25))
    below = light[grey.shape[0] * 2 // 5 :]
    return {
        "light_p05": float(p05),
        "light_p10": float(p10),
        "light_p25": float(p25),
        "light_lower": float(np.log(below + 0.02).mean()),
        "shadow_deep": float(np.log((light < 0.1).mean() + 0.01)),
        "shadow": float(np.log((light < 0.15).mean() + 0.01)),
        "key": float(np.log(np.maximum(grey, 0) ** 2.2 + 1e-3).mean()),
    }


def _veil(image: np.ndarray, least: np.ndarray) -> dict[str, float]:
    side = min(PATCH, min(least.shape) | 1)
    kernel = cv2.getStructuringElement(cv2.MORPH_RECT, (side, side))
    dark = cv2.erode(least, kernel)
    count = max(1, dark.size // 1000)
    haziest = np.argpartition(dark.ravel(), -count)[-count:]
    airlight = np.maximum(image.reshape(-1, 3)[haziest].mean(axis=0), 0.1).astype(np.float32)
    veil = cv2.erode(smallest(image / airlight), kernel)
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    mean = cv2.blur(grey, (31, 31))
    local = np.sqrt(np.maximum(cv2.blur(grey * grey, (31, 31)) - mean * mean, 0))
    ratio = local / np.maximum(mean, 0.05)
    return {
        "dark_channel_mean": float(dark.mean()),
        "dark_channel_p10": float(np.percentile(dark, 10)),
        "dark_channel_p50": float(np.percentile(dark, 50)),
        "veil_mean": float(veil.mean()),
        "veil_p25": float(np.percentile(veil, 25)),
        "airlight": float(airlight.mean()),
        "airlight_colour": float(airlight.max() - airlight.min()),
        "local_contrast_p50": float(np.percentile(ratio, 50)),
        "local_contrast_p90": float(np.percentile(ratio, 90)),
    }


def _glare(
    image: np.ndarray, grey: np.ndarray, brightest: np.ndarray, saturation: np.ndarray
) -> dict[str, float]:
    """Light that falls off smoothly around a source, coloured ghosts, blown-out parts."""
    longer = max(grey.shape)
    wide = cv2.GaussianBlur(brightest, (0, 0), longer / 32)
    y, x = np.unravel_index(int(wide.argmax()), wide.shape)
    rows, columns = np.indices(grey.shape, dtype=np.float32)
    distance = np.hypot(rows - y, columns - x) / longer
    near, far = distance < 0.12, distance > 0.45
    # The darkest parts near a source are lifted by glare; elsewhere they stay dark.
    lift = np.percentile(grey[near], 10) - (np.percentile(grey[far], 10) if far.any() else 0)
    fall = -float(np.corrcoef(distance.ravel(), wide.ravel())[0, 1]) if wide.std() > 1e-4 else 0.0
    hue = cv2.cvtColor(image, cv2.COLOR_RGB2HSV)[:, :, 0]
    warm = (hue < 65) & (saturation > 0.35) & (brightest > 0.6)
    band = cv2.GaussianBlur(saturation * brightest, (0, 0), longer / 128) - cv2.GaussianBlur(
        saturation * brightest, (0, 0), longer / 40
    )
    smooth = cv2.magnitude(cv2.Sobel(wide, cv2.CV_32F, 1, 0), cv2.Sobel(wide, cv2.CV_32F, 0, 1))
    detail = cv2.magnitude(cv2.Sobel(grey, cv2.CV_32F, 1, 0), cv2.Sobel(grey, cv2.CV_32F, 0, 1))
    return {
        "glare_peak": float(wide.max()),
        "glare_lift": float(lift),
        "glare_fall": fall,
        "glare_smooth": float(np.log((smooth.mean() + 1e-4) / (detail.mean() + 1e-4))),
        "glare_near_detail": float(np.log(detail[near].mean() + 1e-3)),
        "blown_share": float((grey > 0.97).mean()),
        "warm_share": float(warm.mean()),
        "ghost_p99": float(np.percentile(band, 99.5)),
        "bright_range": float(wide.max() - np.percentile(wide, 10)),
    }
