"""The paper's published FS by task (RealRestorer, arXiv 2603.25502, table 2), in percent points
of its own judge. Shown for orientation; comparable only under the same judge and LPIPS.
"""

from catalog.degradations import Degradation as D

_ORDER = (
    D.RAIN,
    D.BLUR,
    D.LOW_LIGHT,
    D.HAZE,
    D.REFLECTION,
    D.FLARE,
    D.MOIRE,
    D.NOISE,
    D.COMPRESSION,
)


def _row(overall: float, *values: float) -> dict[str, float]:
    tasks = {task.value: value for task, value in zip(_ORDER, values, strict=True)}
    return {**tasks, "overall": overall}


PUBLISHED: dict[str, dict[str, float]] = {
    "RealRestorer": _row(0.146, 0.135, 0.159, 0.110, 0.090, 0.230, 0.247, 0.142, 0.090, 0.097),
    "Nano Banana Pro": _row(0.153, 0.236, 0.144, 0.077, 0.195, 0.176, 0.192, 0.137, 0.087, 0.116),
    "Qwen-Image-Edit-2511": _row(
        0.127, 0.196, 0.040, 0.014, 0.008, 0.243, 0.258, 0.135, 0.094, 0.046
    ),
    "LongCat-Image-Edit": _row(
        0.097, 0.161, 0.000, 0.020, 0.000, 0.158, 0.261, 0.139, 0.061, 0.014
    ),
    "FLUX.1-Kontext-dev": _row(
        0.056, 0.102, 0.019, 0.029, 0.004, 0.024, 0.049, 0.070, 0.072, 0.072
    ),
    "Step1X-Edit": _row(0.036, 0.003, 0.123, 0.047, 0.031, 0.012, 0.000, 0.028, 0.012, 0.050),
}
