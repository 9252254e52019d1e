"""Settings of the curation stages."""

from typing import Literal, TypeVar

from pydantic import Field, field_validator

from catalog.degradations import Degradation
from catalog.settings.base import Settings
from catalog.settings.collect import Collect as Collect
from catalog.settings.degraders import DegraderRanges

T = TypeVar("T")
from catalog.settings.screen import Screen as Screen


class Hash(Settings):
    """Perceptual hashes and the thumbnails that verify what they find."""

    thumbnail_side: int = Field(
        default=256, ge=64, le=1024, description="Longer side of the stored thumbnails, pixels."
    )
    executor: Literal["local", "ray"] = Field(
        default="local",
        description="Processes of this machine, or a task a shard on a Ray cluster.",
    )


class Embed(Settings):
    """Which Embedder makes the vectors."""

    embedder: str = Field(
        default="mendline-clip",
        description="Name given to networks.embedders.load_embedder: mendline-clip, or "
        "open_clip:MODEL:TAG with a pretrained tag or the path of a safetensors file.",
    )
    batch_size: int = Field(32, ge=1, le=4096, description="Images in one call of the network.")
    executor: Literal["local", "ray"] = Field(
        default="local", description="This process, or a task a shard on a Ray cluster."
    )


class Deduplicate(Settings):
    """When two images are one."""

    max_hamming: int = Field(
        default=72,
        ge=0,
        le=96,
        description="Bits of 256 by which two pHashes or two PDQ hashes may differ for the pair "
        "to be a candidate. Candidates are verified by aligning their thumbnails.",
    )
    min_layout: float = Field(
        default=0.6,
        ge=0.3,
        le=1.0,
        description="Cosine of two layouts (of the image, its mirror, crops and rotations) from "
        "which a pair is a candidate.",
    )
    use_embeddings: bool | None = Field(
        default=None,
        description="Whether near embeddings are candidates too; null means when the embedder is "
        "trained.",
    )
    min_cosine: float = Field(
        default=0.9,
        ge=0.0,
        le=1.0,
        description="Cosine of two embeddings from which a pair is one.",
    )
    min_correlation: float = Field(
        default=0.85,
        ge=0.0,
        le=1.0,
        description="Correlation of the aligned thumbnails from which a candidate is confirmed.",
    )
    min_overlap: float = Field(
        default=0.52,
        ge=0.0,
        le=1.0,
        description="Share of their union that two images must have in common (intersection over "
        "union of the aligned frames).",
    )
    max_neighbours: int = Field(
        default=32, ge=1, description="Most candidates by layout or embedding of one image."
    )
    keep_first: list[str] = Field(
        default=["cc0", "publicdomain", "pdm", "by", "by-sa"],
        description="Licences in order of preference, by the start of their name, for the choice "
        "between equals; others come after them.",
    )
    benchmarks: list[str] = Field(
        default=[],
        description="Further benchmarks no collected image may be in: folders, or Hugging Face "
        "datasets saved on disk. data/benchmark always counts.",
    )
    contamination_overlap: float = Field(
        default=0.3,
        ge=0.0,
        le=1.0,
        description="Share of the smaller image that lies in the larger one from which a collected "
        "image counts as a benchmark image.",
    )


class Teach(Settings):
    """Which teachers make clean targets."""

    teachers: dict[str, list[str]] = Field(
        {"default": ["classical"]},
        description="Teachers by degradation, in the order in which they are tried; `default` is "
        "for those not named. Names as for networks.restorers.load_restorer.",
    )
    candidates: int = Field(
        1,
        ge=1,
        le=8,
        description="How many teachers of the list make a target of each image; the pair stage "
        "keeps the first that is sound.",
    )
    secondary: bool = Field(
        False,
        description="Whether an image is restored of its further degradations too, one pair each.",
    )
    max_side: int = Field(
        4096, ge=64, description="Images with a longer side (px) are left out: outcome too-large."
    )

    @field_validator("teachers")
    @classmethod
    def _known_tasks(cls, value: dict[str, list[str]]) -> dict[str, list[str]]:
        return _known_degradations(value, "default")


class Pair(Settings):
    """Which pairs are sound."""

    judge: str = Field("proxy", description="Name given to networks.judges.load_judge.")
    consistency: str = Field(
        "ms-ssim", description="Name given to networks.consistency.load_consistency."
    )
    min_difference: dict[str, float] = Field(
        {"default": 0.3},
        description="By how much the judge must find the target better, by degradation "
        "(severity 1..5).",
    )
    min_clean_severity: float = Field(
        2.5, ge=1, le=5, description="What the judge must give the target at least (5 is clean)."
    )
    min_distance: float = Field(
        0.005, ge=0, le=1, description="Consistency distance below which nothing was changed."
    )
    max_distance: dict[str, float] = Field(
        {"default": 0.5, "low-light": 0.8, "haze": 0.7},
        description="Consistency distance above which the content is another, by degradation.",
    )
    max_shift: float = Field(
        1.0, ge=0, description="Greatest movement of the content, px, that training can bear."
    )
    visible_distance: float = Field(
        0.02,
        ge=0,
        le=1,
        description="Distance from which a synthetic degradation counts as visible, whatever the "
        "judge says: what was drawn is known, and judges are weak on some degradations.",
    )

    @field_validator("min_difference", "max_distance")
    @classmethod
    def _known_tasks(cls, value: dict[str, float]) -> dict[str, float]:
        return _known_degradations(value, "default")


class Synthesize(Settings):
    """How synthetic pairs are made."""

    seed: int = Field(0, description="Base of the seed of every pair.")
    degradations: list[Degradation] = Field(
        list(Degradation), min_length=1, description="Which degradations are synthesised."
    )
    variants: int = Field(1, ge=1, description="Pairs of each photo and degradation.")
    severity: tuple[float, float] = Field(
        (1.2, 4.0), description="Severities drawn evenly between: 1 extreme .. 5 barely visible."
    )
    max_side: int = Field(320, ge=64, description="Photos are scaled down to this longer side, px.")
    min_side: int = Field(64, ge=32, description="Photos whose shorter side is less are left out.")
    max_photos: int | None = Field(
        None, ge=1, description="Most photos that are used, by image id; null for all."
    )
    layers: int = Field(
        32, ge=0, description="Photos that reflections may show; 0 for generated scenes only."
    )
    ranges: DegraderRanges = Field(
        DegraderRanges(), description="Ranges of the parameters of every degradation."
    )

    @field_validator("severity")
    @classmethod
    def _severities(cls, value: tuple[float, float]) -> tuple[float, float]:
        if not 1 <= value[0] <= value[1] <= 5:
            raise ValueError("give two numbers between 1 and 5, the lower first")
        return value


class Assemble(Settings):
    """What the dataset holds."""

    seed: int = Field(0, description="Seed of the splits.")
    validation_share: float = Field(
        0.1, ge=0, lt=1, description="Share of the groups whose pairs are for validation."
    )
    held_out_share: float = Field(
        0.25,
        ge=0,
        lt=1,
        description="Share of the groups with real degraded images that training never sees: the "
        "benchmark where data/benchmark has none.",
    )
    held_out_per_degradation: int = Field(
        50, ge=0, description="Most held-out images of each degradation."
    )
    max_per_degradation: dict[str, int] = Field(
        {"default": 100000}, description="Most pairs of each degradation and origin."
    )
    max_per_group: int = Field(
        40, ge=1, description="Most pairs of one photo and its near-duplicates."
    )
    max_per_source: int | None = Field(
        None, ge=1, description="Most pairs whose photo is from one source class; null for all."
    )
    max_synthetic_per_real: float | None = Field(
        None,
        gt=0,
        description="Most synthetic pairs for each real one, by degradation that has real ones; "
        "null for all (the training mix is set in the training stages).",
    )
    unreviewed: Literal["keep", "drop"] = Field(
        "keep", description="What happens to real pairs that no person has decided on."
    )
    unsure: Literal["keep", "drop"] = Field(
        "drop", description="What happens to real pairs whose reviewers were unsure."
    )
    block_hamming: int = Field(
        24, ge=0, le=64, description="Bits of 256 to a taken-down perceptual hash that still match."
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
