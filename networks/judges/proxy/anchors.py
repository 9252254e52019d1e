"""proxy-judge/v0: each degradation by a few measures between a clean and an extreme value."""

from collections.abc import Mapping

from catalog.degradations import Degradation

VERSION = "v0"

ANCHORS: dict[Degradation, dict[str, tuple[float, float]]] = {
    Degradation.BLUR: {"crete_coarse": (0.33, 0.7), "band01_coarse": (-0.05, -0.8)},
    Degradation.COMPRESSION: {
        "band01_fine": (-0.4, -1.2),
        "crete_fine": (0.4, 0.75),
        "grid_relative": (0.1, 0.6),
    },
    Degradation.MOIRE: {"chroma_p50_4": (-5.6, -3.9), "chroma_p50_3": (-6.0, -4.3)},
    Degradation.LOW_LIGHT: {
        "luma_mean": (0.36, 0.08),
        "luma_p50": (0.33, 0.04),
        "dark_share": (0.25, 0.9),
    },
    Degradation.NOISE: {"noise_fine_p10": (0.6, 2.8), "noise_coarse_p10": (0.6, 2.6)},
    Degradation.FLARE: {
        "warm_share": (0.05, 0.4),
        "glare_fall": (0.5, 0.95),
        "local_contrast_p50": (0.25, 0.05),
    },
    Degradation.REFLECTION: {"gradient_weak": (2.2, 1.0), "dark_channel_p50": (0.2, 0.5)},
    Degradation.HAZE: {
        "dark_channel_p50": (0.25, 0.65),
        "veil_p25": (0.2, 0.7),
        "local_contrast_p50": (0.15, 0.03),
    },
    Degradation.RAIN: {
        "specks_density": (2.9, 4.2),
        "crossing_weak": (0.4, 0.65),
        "skew_s2": (0.8, 2.0),
    },
}
"""Measure to (value of a clean photo, value of an extreme case)."""


def severity(degradation: Degradation, measures: Mapping[str, float]) -> float:
    """1 (extreme) .. 5 (none)."""
    shares = [
        min(max((measures[name] - clean) / (extreme - clean), 0.0), 1.0)
        for name, (clean, extreme) in ANCHORS[degradation].items()
    ]
    return 5.0 - 4.0 * sum(shares) / len(shares)
