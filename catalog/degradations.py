"""The nine real-world degradations and the words that name them.

Prompts and instructions are those of RealRestorer (arXiv 2603.25502, table 4 and the released
inference code). The paper gives no CLIP prompt for compression, moire and noise, which it does not
collect from the web; the prompts for these three are ours.
"""

from dataclasses import dataclass
from enum import StrEnum


class Degradation(StrEnum):
    """One of the nine degradations; the value is the name used in tables, files and commands."""

    BLUR = "blur"
    COMPRESSION = "compression"
    MOIRE = "moire"
    LOW_LIGHT = "low-light"
    NOISE = "noise"
    FLARE = "flare"
    REFLECTION = "reflection"
    HAZE = "haze"
    RAIN = "rain"


@dataclass(frozen=True)
class Wording:
    """How a degradation is described to a CLIP model and to an editing model."""

    clip_prompt: str
    instruction_en: str
    instruction_zh: str
    collected: bool
    """Whether the paper collects real pairs of it (six of nine)."""


CLEAN_PROMPT = "a clean photo"

WORDING: dict[Degradation, Wording] = {
    Degradation.BLUR: Wording(
        "a blurry photo with motion blur or out-of-focus regions",
        "Please deblur the image and make it sharper",
        "请将图像去模糊，变得更清晰。",
        True,
    ),
    Degradation.COMPRESSION: Wording(
        "a heavily compressed photo with blocking and ringing artifacts",
        "Please restore the image clarity and artifacts.",
        "请修复图像清晰度和伪影。",
        False,
    ),
    Degradation.MOIRE: Wording(
        "a photo of a screen with moiré patterns and colored stripes",
        "Please remove the moiré patterns from the image",
        "请将图像中的摩尔条纹去除",
        False,
    ),
    Degradation.LOW_LIGHT: Wording(
        "a dark photo, underexposed, low illumination",
        "Please restore this low-quality image, recovering its normal brightness and clarity.",
        "请修复这张低质量图像，恢复其正常的亮度和清晰度。",
        True,
    ),
    Degradation.NOISE: Wording(
        "a noisy photo with heavy grain and sensor noise",
        "Please remove noise from the image.",
        "请去除图像中的噪声。",
        False,
    ),
    Degradation.FLARE: Wording(
        "a photo with lens flare, bright streaks of light",
        "Please remove the lens flare and glare from the image.",
        "请去除图像中的光晕和炫光。",
        True,
    ),
    Degradation.REFLECTION: Wording(
        "a photo with glass or mirror-like reflection artifacts",
        "Please remove the reflection from the image.",
        "请移除图像中的反光",
        True,
    ),
    Degradation.HAZE: Wording(
        "a hazy photo, foggy atmosphere, low contrast",
        "Please dehaze the image",
        "请将图像去雾。",
        True,
    ),
    Degradation.RAIN: Wording(
        "a rainy photo with rain streaks or raindrops",
        "Please remove the rain from the image and restore its clarity.",
        "请去除图像中的雨水并恢复图像清晰度",
        True,
    ),
}
