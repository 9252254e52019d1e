"""Settings of the stages that make pairs: teach, pair, synthesize, assemble."""

from typing import Literal, Self, TypeVar

from pydantic import Field, field_validator, model_validator

from catalog.degradations import Degradation
from catalog.settings.base import Settings
from catalog.settings.degraders import DegraderRanges

T = TypeVar("T")

PATTERNED = frozenset({Degradation.FLARE, Degradation.HAZE, Degradation.RAIN})
"""The degradations that photographed patterns can be blended into."""


class ImageApi(Settings):
    """How teachers named openai:MODEL@URL are asked; the key is in MENDLINE_IMAGE_API_KEY."""

    max_side: int = Field(
        default=1024, ge=64, description="Images are scaled down to this side, px."
    )
    concurrency: int = Field(default=8, ge=1, le=256, description="Requests under way at once.")
    cost_per_image: float = Field(
        default=0.0, ge=0, description="Price of one request, any currency."
    )
    cost_per_refusal: float = Field(
        default=0.0,
        ge=0,
        description="Price of a request that the server turns away (4xx); most charge none. What "
        "moderation blocks, and a server's own failures (5xx), count in full.",
    )
    max_cost: float | None = Field(
        default=None,
        ge=0,
        description="The stage stops before its servers together cost more, by cost_per_image; "
        "null for no cap.",
    )
    attempts: int = Field(
        default=4, ge=1, le=20, description="Requests for an image before it fails."
    )
    timeout_s: float = Field(default=180.0, gt=0, description="Seconds for one request.")
    first_wait_s: float = Field(
        default=1.0,
        ge=0,
        description="Seconds before the second attempt; doubled for each further one.",
    )

    @model_validator(mode="after")
    def _priced(self) -> Self:
        if self.max_cost is not None and not self.cost_per_image:
            raise ValueError("max_cost caps nothing while cost_per_image is 0: give the price")
        if self.cost_per_refusal > self.cost_per_image:
            raise ValueError("cost_per_refusal is above cost_per_image")
        return self


class Teach(Settings):
    """Which teachers make clean targets."""

    teachers: dict[str, list[str]] = Field(
        default={"default": ["classical"]},
        description="Teachers by degradation, by name; `default` is "
        "for those not named. Names as for networks.restorers.load_restorer, models:/NAME@ALIAS "
        "for a model of the registry, or openai:MODEL@URL for an OpenAI-compatible image-edit API.",
    )
    order: Literal["score", "listed"] = Field(
        default="score",
        description="Whether teachers are asked by what they score on the degradation (measured, "
        "else published), or as they are listed.",
    )
    candidates: int = Field(
        default=3,
        ge=1,
        le=8,
        description="Most teachers that are asked for a target of an image; the pair stage keeps "
        "the first that is sound.",
    )
    until_sound: bool = Field(
        default=True,
        description="Whether asking ends at the first target that the pair stage would keep; "
        "otherwise all `candidates` are asked.",
    )
    batch: int = Field(
        default=1, ge=1, le=256, description="Images given to a network at once, on each device."
    )
    devices: list[str] = Field(
        default=[], description="Devices of the networks, such as cuda:0; empty for all GPUs."
    )
    api: ImageApi = Field(default=ImageApi(), description="Teachers behind an API.")
    secondary: bool = Field(
        default=False,
        description="Whether an image is restored of its further degradations too, one pair each.",
    )
    max_side: int = Field(
        default=4096,
        ge=64,
        description="Images with a longer side (px) are left out: outcome too-large.",
    )

    @field_validator("teachers")
    @classmethod
    def _known_tasks(cls, value: dict[str, list[str]]) -> dict[str, list[str]]:
        return _known_degradations(value, "default")


class Pair(Settings):
    """Which pairs are sound."""

    judge: str = Field(default="proxy", description="Name given to networks.judges.load_judge.")
    consistency: str = Field(
        default="ms-ssim", description="Name given to networks.consistency.load_consistency."
    )
    min_difference: dict[str, float] = Field(
        default={
            "default": 0.3,
            "blur": 0.0,
            "compression": 0.05,
            "moire": 0.15,
            "flare": 0.1,
            "reflection": 0.0,
            "haze": 0.15,
        },
        description="By how much the judge must find the target better, by degradation "
        "(severity 1..5). The proxy sees little of some; a judge in whole steps needs 0.5.",
    )
    min_clean_severity: float = Field(
        default=2.5,
        ge=1,
        le=5,
        description="What the judge must give the target at least (5 is clean).",
    )
    min_distance: float = Field(
        default=0.005,
        ge=0,
        le=1,
        description="Consistency distance below which nothing was changed.",
    )
    max_distance: dict[str, float] = Field(
        default={"default": 0.55, "low-light": 0.85, "noise": 0.8, "haze": 0.8},
        description="Consistency distance above which the content is another, by degradation.",
    )
    max_shift: float = Field(
        default=0.75,
        ge=0,
        description="Greatest movement of the content that training can bear: root mean square in "
        "px of an image whose longer side is 512.",
    )
    min_gain: dict[str, float] = Field(
        default={"default": 0.03, "blur": 0.1},
        description="Share of the missing correlation that undoing the movement must win back for "
        "it to count, by degradation: a crooked motion blur looks like a movement itself.",
    )
    min_correlation: float = Field(
        default=0.15,
        ge=-1,
        le=1,
        description="Correlation of the structures below which nothing agrees.",
    )
    max_warp: dict[str, float] = Field(
        default={"default": 0.15, "blur": 0.45, "compression": 0.4},
        description="Most of the missing correlation that moving one part of the image may win "
        "back, by degradation.",
    )
    max_changed: dict[str, float] = Field(
        default={
            "default": 0.5,
            "blur": 0.65,
            "compression": 0.75,
            "moire": 0.99,
            "low-light": 0.97,
            "noise": 0.8,
            "flare": 0.92,
            "reflection": 0.62,
            "haze": 0.5,
            "rain": 0.35,
        },
        description="Probability from which content counts as added or removed, by degradation.",
    )
    max_colour_drift: dict[str, float] = Field(
        default={
            "default": 54.0,
            "blur": 5.9,
            "compression": 14.4,
            "moire": 10.6,
            "low-light": 54.0,
            "noise": 7.4,
            "flare": 40.6,
            "reflection": 33.0,
            "haze": 54.0,
            "rain": 37.4,
        },
        description="Most that the image's colour may change as a whole: median over blocks, "
        "distance of (a, b) in CIELAB.",
    )
    max_exposure_drift: dict[str, float] = Field(
        default={
            "default": 93.6,
            "blur": 12.0,
            "compression": 7.8,
            "moire": 14.4,
            "low-light": 93.6,
            "noise": 6.2,
            "flare": 55.2,
            "reflection": 21.6,
            "haze": 69.6,
            "rain": 25.2,
        },
        description="Most that its lightness may change as a whole, L of CIELAB.",
    )
    visible_distance: float = Field(
        default=0.02,
        ge=0,
        le=1,
        description="Distance from which a synthetic degradation counts as visible, whatever the "
        "judge says: what was drawn is known, and judges are weak on some degradations.",
    )

    @field_validator(
        "min_difference",
        "max_distance",
        "min_gain",
        "max_warp",
        "max_changed",
        "max_colour_drift",
        "max_exposure_drift",
    )
    @classmethod
    def _known_tasks(cls, value: dict[str, float]) -> dict[str, float]:
        return _known_degradations(value, "default")


class Synthesize(Settings):
    """How synthetic pairs are made."""

    seed: int = Field(default=0, description="Base of the seed of every pair.")
    degradations: list[Degradation] = Field(
        default=list(Degradation), min_length=1, description="Which degradations are synthesised."
    )
    variants: int = Field(default=1, ge=1, description="Pairs of each photo and degradation.")
    severity: tuple[float, float] = Field(
        (1.2, 4.0), description="Severities drawn evenly between: 1 extreme .. 5 barely visible."
    )
    max_side: int = Field(
        default=320, ge=64, description="Photos are scaled down to this longer side, px."
    )
    min_side: int = Field(
        default=64, ge=32, description="Photos whose shorter side is less are left out."
    )
    max_photos: int | None = Field(
        default=None, ge=1, description="Most photos that are used, by image id; null for all."
    )
    layers: int = Field(
        default=32,
        ge=0,
        description="Photos that reflections may show; 0 for generated scenes only.",
    )
    patterns: dict[str, str] = Field(
        default={},
        description="Folders of photographed patterns, by degradation: flare and rain on black, "
        "haze. Best below data/sources, which DVC watches.",
    )
    depth: str = Field(
        default="embedded",
        description="What estimates depth for haze and rain: embedded, or transformers:FOLDER.",
    )
    segments: str = Field(
        default="embedded",
        description="What finds segments for noise: embedded, or transformers:FOLDER.",
    )
    device: str | None = Field(
        default=None,
        description="Where pixels are computed: null for NumPy and OpenCV, or a device of torch "
        "such as cuda:0 or cpu.",
    )
    clips: str | None = Field(
        default=None,
        description="A folder of clips (videos, folders of frames) that are averaged to motion "
        "blur; null for none. Best below data/sources, which DVC watches.",
    )
    clip_windows: int = Field(default=4, ge=1, description="Pairs of each clip.")
    clip_frames: tuple[int, int] = Field(
        default=(5, 21), description="Frames that are averaged: least and most."
    )
    ranges: DegraderRanges = Field(
        default=DegraderRanges(), description="Ranges of the parameters of every degradation."
    )

    @field_validator("patterns")
    @classmethod
    def _patterned(cls, value: dict[str, str]) -> dict[str, str]:
        if unknown := value.keys() - PATTERNED:
            raise ValueError(f"no patterns are blended for {', '.join(sorted(unknown))}")
        return value

    @field_validator("clip_frames")
    @classmethod
    def _counted(cls, value: tuple[int, int]) -> tuple[int, int]:
        if not 3 <= value[0] <= value[1]:
            raise ValueError("give two numbers from 3 on, the lower first")
        return value

    @field_validator("severity")
    @classmethod
    def _severities(cls, value: tuple[float, float]) -> tuple[float, float]:
        if not 1 <= value[0] <= value[1] <= 5:
            raise ValueError("give two numbers between 1 and 5, the lower first")
        return value


class Assemble(Settings):
    """What the dataset holds."""

    seed: int = Field(default=0, description="Seed of the splits.")
    validation_share: float = Field(
        default=0.1, ge=0, lt=1, description="Share of the groups whose pairs are for validation."
    )
    held_out_share: float = Field(
        default=0.25,
        ge=0,
        lt=1,
        description="Share of the groups with real degraded images that training never sees: the "
        "benchmark where data/benchmark has none.",
    )
    held_out_per_degradation: int = Field(
        default=50, ge=0, description="Most held-out images of each degradation."
    )
    max_per_degradation: dict[str, int] = Field(
        default={"default": 100000}, description="Most pairs of each degradation and origin."
    )
    max_per_group: int = Field(
        default=40, ge=1, description="Most pairs of one photo and its near-duplicates."
    )
    max_per_source: int | None = Field(
        default=None,
        ge=1,
        description="Most pairs whose photo is from one source class; null for all.",
    )
    max_synthetic_per_real: float | None = Field(
        default=None,
        gt=0,
        description="Most synthetic pairs for each real one, by degradation that has real ones; "
        "null for all (the training mix is set in the training stages).",
    )
    unreviewed: Literal["keep", "drop"] = Field(
        default="keep", description="What happens to real pairs that no person has decided on."
    )
    unsure: Literal["keep", "drop"] = Field(
        default="drop", description="What happens to real pairs whose reviewers were unsure."
    )
    block_hamming: int = Field(
        default=24,
        ge=0,
        le=64,
        description="Bits of 256 to a taken-down perceptual hash that still match.",
    )

    @field_validator("max_per_degradation")
    @classmethod
    def _known_tasks(cls, value: dict[str, int]) -> dict[str, int]:
        return _known_degradations(value, "default")


def _known_degradations(value: dict[str, T], *also: str) -> dict[str, T]:
    known = [*Degradation, *also]
    for key in value:
        if key not in known:
            raise ValueError(f"{key} is none of {', '.join(known)}")
    if "default" not in value:
        raise ValueError("the key `default` is missing")
    return value
