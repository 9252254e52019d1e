"""What degraders take from outside the photo: other photos, patterns, depth, segments."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from catalog.degradations import Degradation
from catalog.images import Rgb
from networks.degraders.patterns import PatternFolder
from networks.degraders.scene import DepthEstimator, Segmenter


@dataclass(frozen=True)
class Sources:
    """Where layers, patterns, depth and segments come from; the defaults need no files."""

    layers: Sequence[Rgb] = ()
    """Photos that the glass of a reflection may mirror; without any, a scene is generated."""

    patterns: Mapping[Degradation, Sequence[Rgb]] = field(default_factory=dict)
    """Photographed flares and rain on black, and fog, by degradation."""

    depth: DepthEstimator | None = None
    """None for the priors of networks.degraders.scene."""

    segments: Segmenter | None = None
    """None for Felzenszwalb and Huttenlocher's segments."""

    names: tuple[str, ...] = ()
    """What of this the identities of the degraders shall name, as KIND=CONTENT."""

    def named(self, *kinds: str) -> tuple[str, ...]:
        """Those of `names` that are of these kinds."""
        return tuple(name for name in self.names if name.split("=")[0] in kinds)


def load_sources(
    layers: Sequence[Rgb] = (),
    patterns: Mapping[str, str | Path] | None = None,
    depth: str = "embedded",
    segments: str = "embedded",
    device: str | None = None,
) -> Sources:
    """Sources by setting: folders of patterns by degradation, and the names of the estimators.

    `depth` and `segments` are "embedded", or "transformers:FOLDER" for a model's local files.
    Raises `UserError` for what is not there or cannot be used.
    """
    names: list[str] = []
    folders: dict[Degradation, Sequence[Rgb]] = {}
    for key, folder in sorted((patterns or {}).items()):
        found = PatternFolder(Path(folder))
        folders[Degradation(key)] = found
        names.append(f"patterns-{key}={found.digest}")
    depths: DepthEstimator | None = None
    segmenter: Segmenter | None = None
    if depth != "embedded":
        from networks.degraders.estimators import TransformersDepth, local_folder

        depths = TransformersDepth(local_folder(depth, "depth"), device)
        names.append(f"depth={depths.digest}")
    if segments != "embedded":
        from networks.degraders.estimators import TransformersSegments, local_folder

        segmenter = TransformersSegments(local_folder(segments, "segments"), device)
        names.append(f"segments={segmenter.digest}")
    return Sources(layers, folders, depths, segmenter, tuple(names))
