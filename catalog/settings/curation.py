"""Settings of the curation stages."""

from typing import Literal

from pydantic import Field

from catalog.settings.base import Settings
from catalog.settings.collect import Collect as Collect
from catalog.settings.pairs import Assemble as Assemble
from catalog.settings.pairs import Pair as Pair
from catalog.settings.pairs import Synthesize as Synthesize
from catalog.settings.pairs import Teach as Teach
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
        default=0.8,
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
    local_features_up_to: int = Field(
        default=2000,
        ge=0,
        description="Most images among which crops from anywhere are looked for by local features, "
        "about 50 ms an image. Against the benchmark they are always used.",
    )
    keep_variants: bool = Field(
        default=True,
        description="Whether versions of a photo that differ clearly in kind or severity of "
        "degradation stay beside their keeper; false: they go as its copies do.",
    )
    keep_first: list[str] = Field(
        default=["cc0", "publicdomain", "pdm", "by", "by-sa"],
        description="Licences in order of preference, by the start of their name, for the choice "
        "between equals; others come after them.",
    )
    benchmarks: list[str] = Field(
        default=[],
        description="Further benchmarks no collected image may be in: folders of images, Hugging "
        "Face datasets saved on disk, or their names (OWNER/NAME). data/benchmark always counts.",
    )
    contamination_overlap: float = Field(
        default=0.3,
        ge=0.0,
        le=1.0,
        description="Share of the smaller image that lies in the larger one from which a collected "
        "image counts as a benchmark image.",
    )
