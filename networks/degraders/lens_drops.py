"""Drops on the lens or a pane: each a small upside-down view of the scene, out of focus."""

from dataclasses import dataclass

import cv2
import numpy as np

from networks.degraders.imaging import gaussian

FOCUS = 0.002
"""Blur of the drops and of what is seen in them, as a share of the short side (sigma)."""

_RIM = 1.3
"""A drop's view goes on this far (in radii), for its soft edge."""

_COLUMNS = 1024


@dataclass(frozen=True)
class LensDrops:
    """For each pixel that a drop covers, which place of the scene it shows."""

    at: np.ndarray
    """(n,) int64: place in the flattened image, each once."""
    x: np.ndarray
    """(n,) float32: what is seen there, px."""
    y: np.ndarray
    shade: np.ndarray
    """(n,) float32 gain."""
    edge: np.ndarray
    """(n,) float32 opacity 0..1, before it is softened."""


def draw_lens_drops(height: int, width: int, count: int, rng: np.random.Generator) -> LensDrops:
    """`count` drops, many small ones, few large ones; the later ones lie on top."""
    radii = np.maximum(1.5, min(height, width) * 0.011 * np.exp(rng.normal(0, 0.55, count)))
    tall = rng.uniform(1.0, 1.4, count)
    cx, cy = rng.uniform(0, width, count), rng.uniform(0, height, count)
    reach = np.ceil(radii * tall * _RIM).astype(int) + 1
    # All pixels of all drops' squares in one list: a loop over drops would take most of the time.
    sides = 2 * reach + 1
    drop = np.repeat(np.arange(count), sides**2)
    within = np.arange(drop.size) - np.repeat(np.cumsum(sides**2) - sides**2, sides**2)
    left, top = cx.astype(int) - reach, cy.astype(int) - reach
    px, py = within % sides[drop] + left[drop], within // sides[drop] + top[drop]
    single = np.float32
    dx = (px - cx[drop]).astype(single) * (1 / radii).astype(single)[drop]
    dy = (py - cy[drop]).astype(single) * (1 / (radii * tall)).astype(single)[drop]
    distance = np.hypot(dx, dy)
    kept = np.flatnonzero((distance < _RIM) & (px >= 0) & (px < width) & (py >= 0) & (py < height))
    # A rim yields to the inside of any drop, an earlier drop to a later one.
    kept = kept[np.lexsort((drop[kept], distance[kept] < 1))]
    owners = np.full(height * width, -1, np.int32)
    owners[py[kept] * width + px[kept]] = kept  # the last of several stays
    at = np.flatnonzero(owners >= 0)
    owner = owners[at]
    # A ball lens shows about six radii of the scene, turned over.
    turned = radii[drop[owner]] * 3 * (1 + 2.5 * distance[owner] ** 2)
    # Brighter above (the sky comes from below), darker at the rim.
    shade = 1.05 + 0.25 * dy[owner] - 0.45 * distance[owner] ** 4
    return LensDrops(
        at,
        (cx[drop[owner]] - dx[owner] * turned).astype(np.float32),
        (cy[drop[owner]] - dy[owner] * turned).astype(np.float32),
        shade.astype(np.float32),
        np.clip((1 - distance[owner]) / 0.25, 0, 1).astype(np.float32),
    )


def seen_through(linear: np.ndarray, drops: LensDrops) -> np.ndarray:
    """The scene, (h, w, 3) linear light, with the drops before it, in place."""
    height, width = linear.shape[:2]
    count = drops.at.size
    if not count:
        return linear
    blur = min(height, width) * FOCUS
    # Out of focus, half the resolution shows all there is.
    half = cv2.resize(linear, (-(-width // 2), -(-height // 2)), interpolation=cv2.INTER_AREA)
    half = gaussian(half, blur)
    # OpenCV remaps to images of less than 32,768 columns, so the list is folded.
    rows = -(-count // _COLUMNS)
    maps = np.zeros((2, rows * _COLUMNS), np.float32)
    maps[0, :count], maps[1, :count] = (drops.x - 0.5) / 2, (drops.y - 0.5) / 2
    x, y = maps.reshape(2, rows, _COLUMNS)
    view = cv2.remap(half, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101)
    view = view.reshape(-1, 3)[:count] * drops.shade[:, None]
    alpha = np.zeros((height, width), np.float32)
    alpha.reshape(-1)[drops.at] = drops.edge
    soft = gaussian(alpha, blur).reshape(-1)[drops.at]
    pixels = linear.reshape(-1, 3)
    behind = pixels[drops.at]
    pixels[drops.at] = behind + (view - behind) * soft[:, None]
    return linear
