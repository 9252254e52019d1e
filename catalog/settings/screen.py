"""Settings of screening."""

from typing import Literal

from pydantic import Field, model_validator

from catalog.degradations import Degradation
from catalog.settings.base import Settings


class Screen(Settings):
    """Which image carries which degradation, and which is a clean source for synthesis."""

    decided_by: Literal["judge", "prompts"] = Field(
        "judge",
        description="Which decides: severities of the judge, or the margins of text prompts by "
        "`embedder`, after which the judge is asked about what they name only.",
    )
    embedder: str = Field(
        "mendline-clip",
        description="Name given to networks.embedders.load_embedder; used where prompts decide.",
    )
    prompt_margin: float = Field(
        0.02,
        ge=-2.0,
        le=2.0,
        description="Cosine by which an image must be nearer to a degradation's prompts than to "
        "those of a clean photo for the degradation to be present.",
    )
    prompt_margin_by: dict[Degradation, float] = Field(
        {}, description="The same for single degradations, where it differs from prompt_margin."
    )
    clean_margin: float = Field(
        0.0, ge=-2.0, le=2.0, description="A clean source has no margin above this."
    )

    judge: str = Field(
        "proxy", description="Name given to networks.judges.load_judge: who says how severe."
    )
    degraded_at: float = Field(
        3.2,
        ge=1.0,
        le=5.0,
        description="Presence (1 extreme .. 5 none) at or below which a degradation is present.",
    )
    degraded_at_by: dict[Degradation, float] = Field(
        {Degradation.LOW_LIGHT: 3.4},
        description="The same for single degradations, where it differs from degraded_at.",
    )
    clean_at: float = Field(
        3.5,
        ge=1.0,
        le=5.0,
        description="A clean source has no presence below this. What lies between is dropped as "
        "unsure.",
    )
    clean_severity: float = Field(
        3.8,
        ge=1.0,
        le=5.0,
        description="A clean source has no severity below this, whatever the presence: what the "
        "judge finds traces of is dropped. 1 asks for none.",
    )
    min_confidence: float = Field(
        0.0, ge=0.0, le=1.0, description="Less sure answers do not make an image degraded."
    )
    max_watermark: float = Field(
        0.6, ge=0.0, le=1.0, description="Images with a higher probability of a mark are dropped."
    )
    max_watermark_naming_owner: float = Field(
        0.3,
        ge=0.0,
        le=1.0,
        description="The same for marks whose writing names an owner or an address, or says what "
        "agencies write over previews; max_watermark where that is lower. Above it marks are read.",
    )
    max_border: float = Field(
        0.7,
        ge=0.0,
        le=1.0,
        description="Share of the line inside a plain border that may differ from it.",
    )
    max_collage: float = Field(
        0.7,
        ge=0.0,
        le=1.0,
        description="Share of a line from edge to edge along which the picture may be cut.",
    )
    max_screenshot: float = Field(
        0.5, ge=0.0, le=1.0, description="Images likelier to be a screenshot are dropped."
    )
    max_drawing: float = Field(
        0.8, ge=0.0, le=1.0, description="Images likelier to be a drawing are dropped."
    )
    content_model: str | None = Field(
        None,
        description="Folder of a transformers image classifier for content that is not wanted; "
        "null for none, which the dataset card then says.",
    )
    content_labels: list[str] = Field(
        ["nsfw"], description="The labels of that classifier that are not wanted."
    )
    max_content: float = Field(
        0.5, ge=0.0, le=1.0, description="Images with a higher sum over these labels are dropped."
    )
    min_side: int = Field(
        96, ge=32, description="Images with a shorter side, in pixels, are dropped."
    )
    min_relief: float = Field(
        5.0,
        ge=0.0,
        le=255.0,
        description="Images whose colours depart less, in levels, from one that is even or changes "
        "evenly are dropped as blank.",
    )
    clean_min_side: int = Field(
        160, ge=32, description="Shorter side that a clean source for synthesis must have, pixels."
    )
    clean_max_noise: float = Field(
        6.0, gt=0.0, description="Noise that a clean source may have, grey levels."
    )
    clean_max_softness: float = Field(
        1.6, gt=0.0, description="Width of the sharper edges that it may have, pixels."
    )
    clean_max_blockiness: float = Field(
        0.2, ge=0.0, description="How much steps at block borders may exceed those inside."
    )
    batch_size: int = Field(16, ge=1, le=1024, description="Images in one call of the judge.")
    executor: Literal["local", "ray"] = Field(
        "local", description="Processes of this machine, or a task a shard on a Ray cluster."
    )

    @model_validator(mode="after")
    def _ordered(self) -> "Screen":
        worst = max([self.degraded_at, *self.degraded_at_by.values()])
        if self.clean_at < worst:
            raise ValueError(
                f"clean_at ({self.clean_at}) must not be below degraded_at ({worst}), or an image "
                "would be clean and degraded at once"
            )
        if any(not 1 <= value <= 5 for value in self.degraded_at_by.values()):
            raise ValueError("every severity of degraded_at_by must lie in 1 .. 5")
        if any(not -2 <= value <= 2 for value in self.prompt_margin_by.values()):
            raise ValueError("every margin of prompt_margin_by must lie in -2 .. 2")
        if self.clean_margin > min([self.prompt_margin, *self.prompt_margin_by.values()]):
            raise ValueError(
                f"clean_margin ({self.clean_margin}) must not be above prompt_margin, or an image "
                "would be clean and degraded at once"
            )
        return self

    def margin(self, degradation: Degradation) -> float:
        """Margin over a clean photo from which `degradation` is present by its prompts."""
        return self.prompt_margin_by.get(degradation, self.prompt_margin)

    def mark_limit(self, names_owner: bool) -> float:
        """Probability of a mark above which an image is dropped."""
        if not names_owner:
            return self.max_watermark
        return min(self.max_watermark, self.max_watermark_naming_owner)

    def threshold(self, degradation: Degradation) -> float:
        """Severity at or below which `degradation` is present."""
        return self.degraded_at_by.get(degradation, self.degraded_at)
