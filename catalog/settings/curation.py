"""Settings of the curation stages."""

from catalog.settings.base import Settings


class Collect(Settings):
    """How images are fetched."""

    user_agent: str = "mendline/0.1 (+https://github.com/mendline/mendline)"


class Hash(Settings):
    """Perceptual hashes."""


class Embed(Settings):
    """Which Embedder makes the vectors."""

    embedder: str = "mendline-clip"


class Deduplicate(Settings):
    """When two images are one."""


class Screen(Settings):
    """Which image carries which degradation."""

    judge: str = "proxy"


class Teach(Settings):
    """Which teachers make clean targets."""


class Pair(Settings):
    """Which pairs are sound."""

    judge: str = "proxy"
    consistency: str = "ms-ssim"


class Synthesize(Settings):
    """How synthetic pairs are made."""

    seed: int = 0


class Assemble(Settings):
    """What the dataset holds."""

    seed: int = 0
