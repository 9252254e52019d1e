"""How far a restored image moved from its input, by name."""

from networks.interfaces import Consistency
from networks.names import unknown

NAMES = ("ms-ssim", "gmsd", "lpips:FILE")


def load_consistency(name: str) -> Consistency:
    """Load the measure called `name`.

    "ms-ssim" and "gmsd" are computed. "lpips:FILE" is LPIPS with AlexNet, FILE the torchvision
    backbone alexnet-owt-7be5be79.pth, which must have the published SHA-256;
    "lpips:FILE@SHA256" takes other weights of that hash, and is then not called LPIPS.
    Raises `UserError` for another name and for a file with another hash.
    """
    if name == "ms-ssim":
        from networks.consistency.ms_ssim import MsSsim

        return MsSsim()
    if name == "gmsd":
        from networks.consistency.gmsd import Gmsd

        return Gmsd()
    kind, _, place = name.partition(":")
    if kind == "lpips" and place:
        return _lpips(place)
    raise unknown("consistency measure", name, NAMES)


def _lpips(place: str) -> Consistency:
    import re
    from pathlib import Path

    from networks.consistency.lpips import Lpips

    file, digest = place, None
    if found := re.fullmatch(r"(.+)@([0-9a-fA-F]{64})", place):
        file, digest = found.group(1), found.group(2)
    return Lpips(Path(file).expanduser(), digest)
