"""Which measures speak for which degradation, and how often a clean photo may be taken for one."""

from catalog.degradations import Degradation

EVIDENCE: dict[Degradation, dict[str, float]] = {
    Degradation.BLUR: {
        "crete_coarse": 1.5, "edge_p50_coarse": 1.0, "edge_p10_coarse": 1.0,
        "edge_p90_coarse": 0.3, "band01_coarse": -1.2, "band12_coarse": -1.0,
        "noise_coarse_p30": -0.5,
    },
    Degradation.COMPRESSION: {
        "band01_fine": -2.0, "crete_fine": 0.6, "crete_coarse": -0.5, "grid_least": 1.0,
        "grid_relative": 0.3, "band12_coarse": 0.5, "ringing": 0.3, "chroma_high": -0.5,
        "noise_fine_p30": -1.0,
    },
    Degradation.MOIRE: {
        "chroma_p50_3": 1.5, "chroma_p50_4": 1.5, "chroma_p50_5": 0.8, "chroma_ratio4": 0.8,
        "peak_fine": 0.6, "peak_coarse_outer": 0.3, "noise_coarse_p10": 0.7,
        "saturation_p90": -1.0,
    },
    Degradation.LOW_LIGHT: {
        "light_p05": -0.7, "light_p10": -1.5, "light_p25": -1.5, "shadow_deep": 2.0,
        "shadow": 1.0, "light_lower": -0.7, "luma_p50": -0.5,
    },
    Degradation.NOISE: {
        "noise_fine_relative": 0.8, "noise_half_relative": 1.0, "noise_coarse_relative": 0.6,
        "noise_fine_p10": 0.7, "noise_half_p10": 1.0, "noise_coarse_p10": 0.6,
        "noise_half_chroma": 0.8, "noise_fine_chroma": 0.6, "noise_coarse_chroma": 0.5,
        "band01_fine": 0.5, "skew_s5": 0.3,
    },
    Degradation.FLARE: {
        "luma_p01": 0.5, "dark_channel_p10": 0.5, "glare_fall": 1.0, "warm_share": 1.3,
        "glare_smooth": 0.8, "ghost_p99": 0.6, "bright_range": 0.8, "blown_share": 0.3,
        "local_contrast_p50": -0.8, "noise_coarse_p50": -0.5, "saturation_p90": 0.3,
    },
    Degradation.REFLECTION: {
        "gradient_weak": -0.6, "gradient_spread": -0.6, "double_peak": 0.3,
        "dark_channel_p50": 0.6, "dark_channel_p10": 0.3, "luma_p05": 0.6,
        "noise_coarse_p10": 0.5,
    },
    Degradation.HAZE: {
        "veil_mean": 1.0, "veil_p25": 1.0, "dark_channel_p10": 1.0, "dark_channel_p50": 1.3,
        "local_contrast_p50": -1.0, "local_contrast_p90": -1.0, "contrast": -1.0,
        "saturation_mean": -0.4, "blown_share": -0.6, "luma_p99": -0.5,
    },
    Degradation.RAIN: {
        "specks_tall": 1.0, "specks_density": 1.5, "skew_s2": 1.0, "specks_fill": 0.8,
        "crossing_weak": 1.0, "bright_s2": 0.5, "specks_excess": 0.5, "chroma_p50_3": -0.5,
    },
}  # fmt: skip
"""Measure to its prior weight; the sign says which way it speaks and is never turned by fitting.

A free head learned more from the synthesis, and less that held on real images: an ensemble of
small networks over all measures ranked held-out synthesis as well, but named 4 or 5 of the 18
real degradations and put the restored side above the degraded one in 14 or 15 pairs, against 18
with these.
"""

FROM_LADDER = (Degradation.LOW_LIGHT,)
"""Heads that are fitted to the ladder; the others are fitted to the samples."""

PULL: dict[Degradation, float] = {Degradation.LOW_LIGHT: 1.0}
"""Strength of the pull of the weights towards their prior, where it is not `heads.PULL`.

The ladder has no backlit scenes, which real low light mostly is: left free, the fit would turn to
the mean of the picture, which is not dark there.
"""

CLEAN_AT_THRESHOLD: dict[Degradation, float] = {
    Degradation.BLUR: 0.08,
    Degradation.COMPRESSION: 0.045,
    Degradation.MOIRE: 0.03,
    Degradation.LOW_LIGHT: 0.02,
    Degradation.NOISE: 0.012,
    Degradation.FLARE: 0.05,
    Degradation.REFLECTION: 0.07,
    Degradation.HAZE: 0.06,
    Degradation.RAIN: 0.004,
}
"""Share of the clean training crops that get severity 3.3 or less.

The training photos are wallpapers, softer and darker than photos are on the whole, so the shares
differ: they were chosen so that each degradation is named about as rarely on the clean photos of
../shared/data, which serve as validation. They are the only thing chosen there.
"""

_LIGHT = ("luma_", "dark_share", "contrast", "saturation_", "light_", "shadow", "key")
_VEIL = ("dark_channel_", "veil_", "airlight", "local_contrast_")
_LAYERS = ("gradient_", "crossing", "double_")

WITHIN: dict[Degradation, tuple[str, ...]] = {
    Degradation.BLUR: (),
    Degradation.COMPRESSION: (),
    Degradation.MOIRE: (),
    Degradation.LOW_LIGHT: (*_LIGHT, "dark_channel_", "airlight"),
    Degradation.NOISE: (),
    Degradation.FLARE: (
        *_LIGHT, *_VEIL, "glare_", "blown_", "warm_", "ghost_", "bright_range", "chroma_band",
    ),
    Degradation.REFLECTION: (*_LAYERS, *_LIGHT, *_VEIL, "band", "tile1"),
    Degradation.HAZE: (),
    Degradation.RAIN: (
        "skew_", "tail_", "bright_s", "specks_", "direction_", "lines_", "lean_", "noise_",
        *_LAYERS, *_VEIL, "band",
    ),
}  # fmt: skip
"""Beginnings of the names of the measures that a kernel looks at; all where there are none."""

SIGHTED = (
    Degradation.BLUR,
    Degradation.COMPRESSION,
    Degradation.MOIRE,
    Degradation.NOISE,
    Degradation.HAZE,
    Degradation.RAIN,
)
"""Whose kernels look at the components of a `Sight` too.

Those of flares and reflections ranked photos that were not trained on worse with them. That of
low light ranked them better, but gave 2.5 at the least to a photo that is dark without the noise of
the synthesis, however dark.
"""

SHARES: dict[Degradation, float] = {
    Degradation.BLUR: 12.0,
    Degradation.COMPRESSION: 6.0,
    Degradation.MOIRE: 6.0,
    Degradation.LOW_LIGHT: 3.0,
    Degradation.NOISE: 6.0,
    Degradation.FLARE: 0.5,
    Degradation.REFLECTION: 5.0,
    Degradation.HAZE: 3.0,
    Degradation.RAIN: 12.0,
}
"""What a severity within counts in the score, in units of the evidence."""

LISTENED: dict[Degradation, float] = {
    Degradation.BLUR: 0.25,
    Degradation.COMPRESSION: 0.5,
    Degradation.MOIRE: 0.5,
    Degradation.LOW_LIGHT: 0.25,
    Degradation.NOISE: 0.5,
    Degradation.FLARE: 0.25,
    Degradation.REFLECTION: 1.0,
    Degradation.HAZE: 0.75,
    Degradation.RAIN: 0.5,
}
"""What the network counts in a mean of it and the kernel, the severity within; of reflections the
mean of both networks.

Chosen on photos kept from it, on photos of ../shared/data and on photos of 1,200 px or more; those
of blur, compression and moire on 69 and 57 of these, with kernels fitted to a third of the crops.
What the severity within of a flare counts beside the evidence (`SHARES`) is as much as leaves the
real pairs told apart: of one the network alone says the opposite. Of low
light it is as much as lets the evidence decide on real dark photos, which kernel and network find
milder than the synthesis.
"""

BEYOND: dict[Degradation, float] = {Degradation.LOW_LIGHT: 4.0}
"""How far above the threshold of presence evidence still counts; 0 for the others.

Of real dark photos the kernel sees little: they are backlit, and mostly without the noise of the
synthesis, which it is therefore not shown.
"""

FIRST: dict[Degradation, int] = {Degradation.FLARE: 124}
"""Sources, of `ladder.first`, that a kernel is fitted to; all where none is named.

With all of them, a real photo whose flare was taken out is found to have more of it than before.
"""
