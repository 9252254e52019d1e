"""Settings of screening."""

from typing import Literal

from pydantic import Field, model_validator

from catalog.degradations import Degradation
from catalog.settings.base import Settings


class Screen(Settings):
    """Which image carries which degradation, and which is a clean source for synthesis."""

    judge: str = Field(
        "proxy", description="Name given to networks.judges.load_judge: who says how severe."
    )
    degraded_at: float = Field(
        3.2,
        ge=1.0,
        le=5.0,
        description="Severity (1 extreme .. 5 none) at or below which a degradation is present.",
    )
    degraded_at_by: dict[Degradation, float] = Field(
        {},
        description="The same for single degradations, where it differs from degraded_at.",
    )
    clean_at: float = Field(
        3.5,
        ge=1.0,
        le=5.0,
        description="A clean source has no severity below this. What lies between is dropped as "
        "unsure.",
    )
    min_confidence: float = Field(
        0.0, ge=0.0, le=1.0, description="Less sure answers do not make an image degraded."
    )
    max_watermark: float = Field(
        0.9, ge=0.0, le=1.0, description="Images with a higher watermark probability are dropped."
    )
    min_side: int = Field(
        96, ge=32, description="Images with a shorter side, in pixels, are dropped."
    )
    clean_min_side: int = Field(
        160, ge=32, description="Shorter side that a clean source for synthesis must have, pixels."
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
        return self

    def threshold(self, degradation: Degradation) -> float:
        """Severity at or below which `degradation` is present."""
        return self.degraded_at_by.get(degradation, self.degraded_at)
