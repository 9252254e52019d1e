"""How far a restored image moved from its input, by name."""

from networks.interfaces import Consistency
from networks.names import unknown

NAMES = ("ms-ssim",)


def load_consistency(name: str) -> Consistency:
    """Load the measure called `name`, one of `NAMES`. Raises `UserError` for another name."""
    if name == "ms-ssim":
        from networks.consistency.ms_ssim import MsSsim

        return MsSsim()
    raise unknown("consistency measure", name, NAMES)
