"""Settings of the evaluation and of the gate."""

from typing import Literal

from pydantic import Field

from catalog.settings.base import Settings


class Evaluate(Settings):
    """How a model is scored on the benchmark."""

    judge: str = Field(default="proxy", description="Name given to networks.judges.load_judge.")
    consistency: str = Field(
        default="ms-ssim",
        description="Name given to load_consistency: ms-ssim, gmsd, or lpips:FILE with the "
        "published AlexNet weights; only the last makes scores that may be called FS.",
    )
    extras: tuple[str, ...] = Field(
        default=(),
        description="Further measures, reported and without a say in the gate: a second distance "
        "(gmsd) or no-reference ones (pyiqa:piqe, with the extra `iqa`).",
    )
    batch_size: int = Field(
        default=8, ge=1, le=1024, description="Images in one call of a network."
    )
    workers: int = Field(
        default=1,
        ge=0,
        le=64,
        description="Processes that restore and judge, each on the next GPU where there are any; "
        "0 is one a GPU, 1 none besides the stage itself. The scores are the same.",
    )
    max_side: int | None = Field(
        default=None,
        ge=64,
        description="Images with a longer side are scaled down to it before anything else; "
        "null scores them at full size, as the paper does. Part of the benchmark's digest.",
    )
    repeat_images: int = Field(
        default=60,
        ge=0,
        description="Images judged a second time, shuffled and in another batch size.",
    )
    picture_side: int = Field(
        default=640, ge=64, le=2048, description="Longer side of the pictures kept for the report."
    )
    seed: int = Field(
        default=0, ge=0, description="Of the choice and order of the repeated images."
    )


class Gate(Settings):
    """When a candidate may become champion. The defaults are for a benchmark of the paper's size.

    A profile with smaller numbers is marked as such in the report, since its verdict is weaker.
    """

    model_name: str = Field(
        default="mendline", min_length=1, description="Name of the registered model."
    )
    reading: Literal["signed", "released"] = Field(
        default="signed",
        description="Per-image score that is compared. `released` clamps RS at 0 as the authors' "
        "evaluator does, so a noisy judge or a harmful model gains by it; `signed` does not.",
    )
    confidence: float = Field(
        default=0.95,
        gt=0.5,
        lt=1.0,
        description="Of the one-sided lower bound that must be above 0.",
    )
    confidence_for: Literal["champion", "candidate"] = Field(
        default="champion",
        description="What `confidence` holds for. `champion`: for all candidates together that are "
        "compared with one champion, however many, also on a benchmark that grows; the k-th may "
        "use 1 / (k (k + 1)) of 1 - confidence, so that its bound is at 97.5, 99.2, 99.6 ... %. "
        "`candidate`: for each by itself; of twenty useless ones, some then pass by chance.",
    )
    min_difference: float = Field(
        default=0.005, ge=0.0, description="Least difference of the mean score worth a promotion."
    )
    veto_alpha: float = Field(
        default=0.05, gt=0.0, lt=1.0, description="A task worse at this level after Holm vetoes."
    )
    veto_difference: float = Field(
        default=0.08, gt=0.0, description="A task worse by this much in its point estimate vetoes."
    )
    veto_min_images: int = Field(
        default=10,
        ge=1,
        description="Fewer images of a task than this veto by point estimate only where all of "
        "their interval is worse.",
    )
    strict: bool = Field(
        default=False, description="Ask for non-inferiority on every task, at `strict_margin`."
    )
    strict_margin: float = Field(
        default=0.08, gt=0.0, description="Margin of that non-inferiority."
    )
    max_judge_failures: float = Field(
        default=0.01, ge=0.0, le=1.0, description="Share of images the judge may fail on."
    )
    min_images: int = Field(
        default=400, ge=1, description="Least images that both sides are scored on."
    )
    min_images_per_task: int = Field(default=30, ge=1, description="Least of them in each task.")
    min_tasks: int = Field(default=9, ge=1, le=9, description="Least tasks with scored images.")
    repeat_agreement: float = Field(
        default=0.95,
        ge=0.0,
        le=1.0,
        description="Least share of repeated judgements that are the same.",
    )
    repeat_kappa: float = Field(
        default=0.9,
        ge=-1.0,
        le=1.0,
        description="Least quadratic kappa of the repeated judgements.",
    )
    min_repeated: int = Field(default=60, ge=0, description="Least images in the repeat test.")
    rescore_champion: bool = Field(
        default=True,
        description="Score the champion again where its scores are of another judge or benchmark.",
    )
    takedown_bits: int = Field(
        default=10,
        ge=0,
        le=64,
        description="Hamming distance of 256 within which a hash is taken down.",
    )
    bootstrap: int = Field(default=10_000, ge=100, le=1_000_000, description="Bootstrap resamples.")
    permutations: int = Field(
        default=10_000, ge=100, le=1_000_000, description="Sign flips, as a check."
    )
    seed: int = Field(default=0, ge=0, description="Of both.")
