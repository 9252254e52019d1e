"""Settings of the model and its two training stages."""

from typing import Literal, Self

from pydantic import Field, model_validator

from catalog.settings.base import Settings


class Architecture(Settings):
    """A small FLUX-like diffusion transformer on pixels; the content of a model's config.json."""

    width: int = Field(default=256, ge=16, description="Channels of a token.")
    heads: int = Field(
        default=8, ge=1, description="Attention heads; width / heads is a multiple of 8."
    )
    double_blocks: int = Field(
        default=1, ge=0, description="Blocks with own weights for the instruction."
    )
    single_blocks: int = Field(default=8, ge=1, description="Blocks with shared weights.")
    mlp_ratio: float = Field(default=4.0, gt=0, description="Hidden width of the MLP over `width`.")
    patch: int = Field(default=8, ge=1, description="Side of a space-to-depth patch, pixels.")
    instruction_tokens: int = Field(default=4, ge=1, description="Learned tokens an instruction.")
    reference: Literal["in-context", "channels"] = Field(
        default="channels",
        description="The degraded image as tokens of its own (as in Step1X-Edit), or "
        "concatenated by channel.",
    )
    prediction: Literal["velocity", "residual"] = Field(
        default="residual",
        description="What the network puts out: eps - x0, or the clean image minus the degraded.",
    )
    refiner: int = Field(
        default=16,
        ge=0,
        description="Channels of the convolutions at full resolution around the transformer, "
        "which carry what patches of few channels lose; 0: pixels from patches alone.",
    )
    sampling_steps: int = Field(
        default=1, ge=1, le=1000, description="Euler steps of a restoration."
    )
    tile: int = Field(
        default=256, ge=32, description="Larger images are restored in tiles, pixels."
    )
    overlap: int = Field(default=32, ge=0, description="Overlap of neighbouring tiles, pixels.")

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.width % self.heads or (self.width // self.heads) % 8:
            raise ValueError(
                f"width {self.width} over heads {self.heads} must be a multiple of 8 (three RoPE "
                "axes of even width)"
            )
        if self.tile % self.patch:
            raise ValueError(f"tile {self.tile} must be a multiple of patch {self.patch}")
        if 2 * self.overlap > self.tile:
            raise ValueError(f"overlap {self.overlap} must be at most half of tile {self.tile}")
        return self


class Student(Architecture):
    """The architecture that is trained, and where its first weights come from."""

    init: Literal["scratch", "starter"] = Field(
        default="scratch",
        description="Random weights, or the starter in the package (which fixes the architecture).",
    )


class Stage(Settings):
    """One training stage: transfer or finetune."""

    seed: int = Field(
        default=0, ge=0, description="Of initialisation, data order, noise, augmentation."
    )
    steps: int = Field(default=500, ge=1, description="Optimizer steps.")
    batch: int = Field(
        default=18, ge=1, description="Samples an optimizer step, over all processes."
    )
    crop: int = Field(default=128, ge=16, description="Side of a training crop, pixels.")
    learning_rate: float = Field(default=1e-3, gt=0, description="After warm-up.")
    schedule: Literal["constant", "cosine"] = Field(
        default="constant", description="After warm-up: constant, or cosine to 0 at the last step."
    )
    warmup: int = Field(default=100, ge=0, description="Steps of linear warm-up.")
    betas: tuple[float, float] = Field(default=(0.9, 0.95), description="AdamW.")
    eps: float = Field(default=1e-8, gt=0, description="AdamW.")
    weight_decay: float = Field(
        default=0.0, ge=0, description="AdamW, on matrices and vectors alike."
    )
    clip: float = Field(default=1.0, gt=0, description="Largest norm of the gradient.")
    freeze: tuple[str, ...] = Field(
        default=(),
        description="Parameters that do not learn, patterns of names (`single_blocks.0.*`).",
    )
    synthetic: int = Field(default=1, ge=0, description="Synthetic part of synthetic : real.")
    real: int = Field(default=0, ge=0, description="Real part of synthetic : real.")
    missing_task: Literal["report", "error"] = Field(
        default="report",
        description="When the dataset has no pair for one of the nine degradations.",
    )
    loss: Literal["velocity", "psnr"] = Field(
        default="velocity",
        description="Squared error of eps - x0 (rectified flow), or log squared error of the "
        "clean image (PSNR loss of NAFNet, arXiv 2204.04676).",
    )
    timesteps: Literal["uniform", "logit-normal", "shifted"] = Field(
        default="uniform",
        description="Density of t; shifted: t = s u / (1 + (s - 1) u), u uniform.",
    )
    shift: float = Field(default=3.0, gt=0, description="s of the shifted density.")
    instruction_dropout: float = Field(
        default=0.0, ge=0, le=1, description="Share of samples trained without their instruction."
    )
    web_style: float = Field(
        default=0.0, ge=0, le=1, description="Share of samples with web-style degradation on top."
    )
    web_style_strength: float = Field(
        default=1.0, gt=0, le=1, description="Of its blur, down-scaling, noise and loss of quality."
    )
    flip: bool = Field(default=True, description="Horizontal flips, of both sides of a pair.")
    ema: float = Field(
        default=0.0,
        ge=0,
        lt=1,
        description="Decay of averaged weights, which are then what is kept.",
    )
    precision: Literal["auto", "fp32", "bf16"] = Field(
        default="auto", description="auto: bf16 products on a GPU, fp32 on a CPU."
    )
    micro_batch: int = Field(
        default=0,
        ge=0,
        description="Samples of a process at a time, gradients being summed; 0: all of them.",
    )
    activation_checkpointing: Literal["none", "full"] = Field(
        default="none", description="full: blocks run again in the backward pass, to save memory."
    )
    compile: bool = Field(default=False, description="torch.compile, block by block.")
    validate_every: int = Field(default=100, ge=1, description="Steps between validations.")
    validation_pairs: int = Field(
        default=4, ge=1, description="Validation pairs a degradation, at most."
    )
    patience: int = Field(
        default=0,
        ge=0,
        description="Stop after so many validations without a better score; 0: never.",
    )
    checkpoint_every: int = Field(default=100, ge=1, description="Steps between checkpoints.")
    workers: int = Field(
        default=1, ge=0, description="Threads that prepare batches ahead; 0: none."
    )
    cache_mib: int = Field(default=1024, ge=0, description="Memory for decoded images, MiB.")

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.synthetic + self.real == 0:
            raise ValueError("synthetic and real cannot both be 0")
        return self
