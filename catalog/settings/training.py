"""Settings of the model and its two training stages."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from catalog.settings.base import Settings

SMALLEST_CROP = 16
"""Pixels a side."""

Decay = Annotated[float, Field(ge=0, lt=1)]
"""Of a moving average."""


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
        default=24,
        ge=0,
        description="Channels, at half the size, of the pyramid of convolutions around the "
        "transformer, which carries what patches of few channels lose; 0: pixels from patches "
        "alone.",
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
        if self.refiner and (self.patch < 4 or self.patch & (self.patch - 1)):
            raise ValueError(f"with a refiner, patch {self.patch} must be 4, 8, 16 or so on")
        if 2 * self.overlap > self.tile:
            raise ValueError(f"overlap {self.overlap} must be at most half of tile {self.tile}")
        return self


class Student(Architecture):
    """The architecture that is trained, and where its first weights come from."""

    init: Literal["scratch", "starter"] = Field(
        default="scratch",
        description="Random weights, or the starter in the package (which fixes the architecture).",
    )


class Network(Settings):
    """Which network is trained: the small student, or a large editing model."""

    family: Literal["student", "step1x", "flux-kontext", "qwen-image-edit"] = Field(
        default="student", description="The small model of section `student`, or an editing model."
    )
    folder: str | None = Field(
        default=None, description="Of the editing model's first weights, as it was downloaded."
    )
    weights: Literal["keep", "fp32", "bf16"] = Field(
        default="keep",
        description="Type of an editing model's weights while they are trained: that of their "
        "file, fp32 (master weights under bf16 products), or bf16.",
    )
    offload: bool = Field(
        default=False,
        description="Autoencoder and text encoders wait in the host's memory between uses.",
    )

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.folder and self.family == "student":
            raise ValueError("folder is of an editing model; name its family too")
        return self


class Stage(Settings):
    """One training stage: transfer or finetune."""

    seed: int = Field(
        default=0, ge=0, description="Of initialisation, data order, noise, augmentation."
    )
    steps: int = Field(default=500, ge=1, description="Optimizer steps.")
    batch: int = Field(
        default=18, ge=1, description="Samples an optimizer step, over all processes."
    )
    crop: int = Field(
        default=128,
        ge=SMALLEST_CROP,
        description="Side of a training crop, pixels; a multiple of the student's patch, or of 16 "
        "for an editing model.",
    )
    shapes: Literal["crop", "square", "buckets"] = Field(
        default="crop",
        description="A random square of `crop` pixels as it is; the whole image resized to cover "
        "that square; or resized to the bucket of that area with the nearest aspect ratio.",
    )
    learning_rate: float = Field(default=1e-3, gt=0, description="After warm-up.")
    schedule: Literal["constant", "cosine"] = Field(
        default="constant", description="After warm-up: constant, or cosine to 0 at the last step."
    )
    warmup: int = Field(default=100, ge=0, description="Steps of linear warm-up.")
    betas: tuple[Decay, Decay] = Field(default=(0.9, 0.95), description="AdamW.")
    eps: float = Field(default=1e-8, gt=0, description="AdamW.")
    weight_decay: float = Field(
        default=0.0, ge=0, description="AdamW, on matrices and vectors alike."
    )
    clip: float = Field(default=1.0, gt=0, description="Largest norm of the gradient.")
    optimizer: Literal["adamw", "adamw-8bit"] = Field(
        default="adamw",
        description="States in the weights' own type (fp32 for fp32), or in 8 bits (torchao); "
        "bf16 weights are rounded stochastically in both.",
    )
    free_gradients: Literal["no", "lagged", "exact"] = Field(
        default="no",
        description="Whether each gradient is used and dropped within the backward pass. lagged: "
        "clipped by the norm of the step before; exact: a first pass finds the norm.",
    )
    lora_rank: int = Field(default=0, ge=0, description="Of adapters; 0: the weights learn.")
    lora_alpha: float = Field(default=64.0, gt=0, description="Adapters count alpha / rank.")
    lora_targets: tuple[str, ...] = Field(
        default=(), description="Ends of the names of adapted layers; none: attention and MLP."
    )
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
        description="Squared error of eps - x0 (rectified flow; with prediction residual that of "
        "the clean image over max(t, 0.05)), or log squared error of the clean image (PSNR loss of "
        "NAFNet, arXiv 2204.04676).",
    )
    timesteps: Literal["uniform", "logit-normal", "shifted", "one"] = Field(
        default="uniform",
        description="Density of t; shifted: t = s u / (1 + (s - 1) u), u uniform; one: always 1, "
        "all that a model of a single sampling step ever sees. Validations measure losses at 1 "
        "alone too, else at 0.2, 0.5 and 0.8.",
    )
    shift: float = Field(default=3.0, gt=0, description="s of the shifted density.")
    instruction_dropout: float = Field(
        default=0.0, ge=0, le=1, description="Share of samples trained without their instruction."
    )
    fresh: float = Field(
        default=0.0,
        ge=0,
        le=1,
        description="Share of synthetic samples whose clean side is degraded anew, whole, each "
        "time it is drawn, in place of the stored degraded side.",
    )
    fresh_severity: tuple[float, float] = Field(
        default=(1.0, 4.5), description="Severities of `fresh`, drawn evenly; 1 is extreme."
    )
    web_style: float = Field(
        default=0.0, ge=0, le=1, description="Share of samples with web-style degradation on top."
    )
    web_style_strength: float = Field(
        default=1.0, gt=0, le=1, description="Of its blur, down-scaling, noise and loss of quality."
    )
    degrade_device: str | None = Field(
        default=None,
        description="Where `web_style` and `fresh` compute pixels: null for NumPy and OpenCV, or a "
        "device of torch such as cuda:0 or cpu.",
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
    activation_checkpointing: Literal["none", "selective", "full", "auto"] = Field(
        default="none",
        description="What is computed again in the backward pass, to save memory: nothing; all but "
        "products and attention; whole blocks; or as many whole blocks as must be.",
    )
    compile: bool = Field(default=False, description="torch.compile, block by block.")
    attention: Literal["flash", "efficient", "cudnn", "any"] = Field(
        default="flash",
        description="Kernel of attention on a GPU: FlashAttention, the memory-efficient one, "
        "cuDNN's, or whatever PyTorch takes. cuDNN's failed at 8,832 tokens on an H100.",
    )
    validate_every: int = Field(default=100, ge=1, description="Steps between validations.")
    validation_pairs: int = Field(
        default=4, ge=1, description="Validation pairs a degradation, at most."
    )
    validation_steps: int = Field(
        default=0, ge=0, description="Sampling steps of a validation; 0: the model's own."
    )
    select_by: Literal["gain", "score"] = Field(
        default="gain",
        description="What makes a checkpoint the best: the PSNR gain on the validation pairs, or "
        "the benchmark's score on `score_images`.",
    )
    score_images: int = Field(
        default=0,
        ge=0,
        description="Real degraded images a degradation, of the validation split, that are "
        "restored and judged at every validation; 0: none.",
    )
    score_judge: str = Field(default="proxy", description="Name given to load_judge.")
    score_consistency: str = Field(
        default="ms-ssim", description="Name given to load_consistency, as in `evaluate`."
    )
    patience: int = Field(
        default=0,
        ge=0,
        description="Stop after so many validations without a better one by `select_by`; 0: never.",
    )
    checkpoint_every: int = Field(default=100, ge=1, description="Steps between checkpoints.")
    keep_checkpoints: int = Field(default=1, ge=1, description="The newest ones that are kept.")
    encoded_cache_mib: int = Field(
        default=0,
        ge=0,
        description="Disk for latents and text states of samples that augmentation leaves alone.",
    )
    workers: int = Field(
        default=1, ge=0, description="Threads that prepare batches ahead; 0: none."
    )
    cache_mib: int = Field(default=1024, ge=0, description="Memory for decoded images, MiB.")

    @model_validator(mode="after")
    def _fits(self) -> Self:
        low, high = self.fresh_severity
        if not 1 <= low <= high <= 5:
            raise ValueError(f"fresh_severity {low} to {high} is not a range within 1 to 5")
        if self.select_by == "score" and not self.score_images:
            raise ValueError("select_by: score needs score_images, at least 1 a degradation")
        if self.synthetic + self.real == 0:
            raise ValueError("synthetic and real cannot both be 0")
        if self.shapes == "buckets" and self.micro_batch != 1:
            raise ValueError("buckets differ in shape, so micro_batch must be 1")
        if self.free_gradients != "no" and self.micro_batch and self.micro_batch < self.batch:
            raise ValueError(
                "free_gradients drops what several micro-batches would sum: set micro_batch to 0"
            )
        return self
