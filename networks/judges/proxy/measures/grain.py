"""Measures of noise and of thin bright things: grain, specks, streaks, drops."""

import cv2
import numpy as np

from networks.judges.proxy.views import Views

_LAPLACE = np.array([[1, -2, 1], [-2, 4, -2], [1, -2, 1]], np.float32) / 6
"""Immerkaer 1996: blind to constant and linear patches; noise of sigma s gives sigma s."""
BLOCK = 16


def measure(views: Views) -> dict[str, float]:
    """Noise by quantile over blocks at two scales, and the skew and shape of the high-pass."""
    found: dict[str, float] = {}
    half = cv2.resize(views.fine, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
    for name, image in (("fine", views.fine), ("half", half), ("coarse", views.coarse)):
        found |= _noise(name, image)
    return (
        found | _streaks(views.coarse_luma) | _lines(views.coarse_luma) | _lean(views.coarse_luma)
    )


def _noise(name: str, image: np.ndarray) -> dict[str, float]:
    ycc = cv2.cvtColor(image, cv2.COLOR_RGB2YCrCb)
    residual = np.abs(cv2.filter2D(ycc, cv2.CV_32F, _LAPLACE)) * np.float32(np.sqrt(np.pi / 2))
    height, width = (side // BLOCK for side in residual.shape[:2])
    small = (width, height)
    # Area averaging over whole blocks: the mean residual of each.
    crop = np.s_[: height * BLOCK, : width * BLOCK]
    blocks = cv2.resize(residual[crop], small, interpolation=cv2.INTER_AREA).reshape(-1, 3)
    level = cv2.resize(ycc[crop][:, :, 0], small, interpolation=cv2.INTER_AREA).ravel()
    exposed = blocks[(level > 0.03) & (level < 0.97)]
    if len(exposed) < 4:
        exposed = blocks
    p10, p30, p50, p80 = np.percentile(exposed[:, 0], (10, 30, 50, 80)) * 255
    chroma = np.percentile(exposed[:, 1:].mean(axis=1), 30) * 255
    return {
        f"noise_{name}_p10": float(np.log(p10 + 0.1)),
        f"noise_{name}_p30": float(np.log(p30 + 0.1)),
        f"noise_{name}_p50": float(np.log(p50 + 0.1)),
        f"noise_{name}_p80": float(np.log(p80 + 0.1)),
        f"noise_{name}_chroma": float(np.log(chroma + 0.1)),
    }


def _streaks(grey: np.ndarray) -> dict[str, float]:
    found: dict[str, float] = {}
    fine = cv2.GaussianBlur(grey, (0, 0), 0.7)
    for name, sigma in (("s2", 2.0), ("s5", 5.0)):
        high = fine - cv2.GaussianBlur(grey, (0, 0), sigma)
        spread = float(high.std()) + 1e-4
        high /= spread
        square = high * high
        found[f"skew_{name}"] = float(np.mean(square * high))
        found[f"tail_{name}"] = float(np.log(np.mean(square * square) + 0.1))
        p01, p99 = np.percentile(high, (1, 99))
        found[f"bright_{name}"] = float(p99 + p01) * spread
    found |= _specks(fine)
    dx, dy = cv2.Sobel(fine, cv2.CV_32F, 1, 0), cv2.Sobel(fine, cv2.CV_32F, 0, 1)
    power = dx * dx + dy * dy
    total = float(power.sum()) + 1e-6
    xx, yy, xy = (float((a).sum()) / total for a in (dx * dx, dy * dy, dx * dy))
    found["direction_strength"] = float(np.hypot(xx - yy, 2 * xy))
    found["direction_upright"] = xx - yy
    return found


def _lines(grey: np.ndarray) -> dict[str, float]:
    """Thin bright upright lines against lying ones: rain falls, most else does not."""
    found = []
    for values in (grey, grey.T):
        if min(values.shape) < 16:
            found.append((0.0, 0.0))
            continue
        along = cv2.blur(values, (1, 11))
        across = along[:, 2:-2] - (along[:, :-4] + along[:, 4:]) / 2
        high, low = np.percentile(across, (99, 1))
        found.append((float(np.log(max(high, 0) + 1e-3)), float(np.log(max(-low, 0) + 1e-3))))
    (up, up_dark), (lying, _) = found
    return {
        "lines_up": up,
        "lines_bright": up - up_dark,
        "lines_upright": up - lying,
    }


def _lean(grey: np.ndarray) -> dict[str, float]:
    """The directions of fine detail where there is little else: the streaks of a shower agree.

    Of the histogram over edge directions, weighted by contrast: its peak within 15 degrees of
    upright, against its median and against the peak elsewhere, log ratios.
    """
    fine = grey - cv2.GaussianBlur(grey, (0, 0), 2.5)
    wide = cv2.blur(np.abs(fine), (15, 15))
    calm = wide <= np.median(wide)
    found = {}
    for name, where in (("calm", calm), ("all", np.ones_like(calm))):
        dx = cv2.Sobel(fine, cv2.CV_32F, 1, 0)[where]
        dy = cv2.Sobel(fine, cv2.CV_32F, 0, 1)[where]
        size = np.sqrt(dx * dx + dy * dy)
        limit = float(size.mean()) * 4 + 1e-6
        # The direction of the edge, 0 .. 36 in steps of 5 degrees; 18 is upright.
        angle = (np.arctan2(dx, -dy) % np.pi) * (36 / np.pi)
        angle = (angle + 0.5).astype(np.int32) % 36
        weight = np.minimum(size, limit)
        counts = np.bincount(angle, weight, 36) / (float(weight.sum()) + 1e-6) + 1e-3
        smooth = (counts + np.roll(counts, 1) + np.roll(counts, -1)) / 3
        upright = smooth[15:22]
        rest = np.delete(smooth, np.r_[0:1, 14:23, 35:36])
        found[f"lean_{name}"] = float(np.log(upright.max() / np.median(smooth)))
        found[f"lean_{name}_excess"] = float(np.log(upright.max() / rest.max()))
    return found


def _specks(grey: np.ndarray) -> dict[str, float]:
    """Bright things thinner than 9 pixels, by top-hat, and how many and how long they are."""
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (9, 9))
    bright = cv2.morphologyEx(grey, cv2.MORPH_TOPHAT, kernel)
    dark = cv2.morphologyEx(grey, cv2.MORPH_BLACKHAT, kernel)
    level = max(float(bright.mean() + 2 * bright.std()), 0.06)
    _, _, stats, _ = cv2.connectedComponentsWithStats((bright > level).astype(np.uint8))
    stats = stats[1:]
    area = stats[:, cv2.CC_STAT_AREA]
    tall = stats[:, cv2.CC_STAT_HEIGHT] / np.maximum(stats[:, cv2.CC_STAT_WIDTH], 1)
    sized = (area >= 3) & (area <= 150)
    # Share of each component in its box: drops and streaks are compact, edges of things are not.
    fill = area / np.maximum(stats[:, cv2.CC_STAT_WIDTH] * stats[:, cv2.CC_STAT_HEIGHT], 1)
    number = int(sized.sum())
    return {
        "specks_density": float(np.log1p(number / grey.size * 1e4)),
        "specks_tall": float(np.mean(tall[sized] > 2)) if number else 0.0,
        "specks_fill": float(np.mean(fill[sized])) if number else 0.0,
        "specks_excess": float(np.log((bright.mean() + 1e-3) / (dark.mean() + 1e-3))),
        "specks_mean": float(bright.mean()),
        "specks_p99": float(np.percentile(bright, 99)),
    }
