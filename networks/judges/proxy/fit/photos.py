"""The photos that the heads are trained from, found in unpacked packages."""

import hashlib
import json
import sysconfig
from dataclasses import dataclass
from pathlib import Path

from catalog.errors import UserError
from catalog.images import Rgb, decode

LIST = Path(__file__).with_name("photos.json")
HELD_OUT_EVERY = 4
"""Every fourth photo of the list is only measured on, never trained on."""


@dataclass(frozen=True)
class Photo:
    """One entry of the list."""

    package: str
    path: str
    sha256: str

    @property
    def name(self) -> str:
        """Short name for tables."""
        return f"{self.package}/{Path(self.path).parts[-4:][0]}-{Path(self.path).name}"

    def load(self, folder: Path) -> Rgb:
        """Pixels, from `folder`/package/path or, for PyPI packages, from where Python has them.

        Raises `UserError` when the file is missing or is another one.
        """
        installed = Path(sysconfig.get_paths()["purelib"]) / self.path
        file = installed if installed.is_file() else folder / self.package / self.path
        if not file.is_file():
            raise UserError(
                f"The photo {file} is missing.",
                f"For each package: apt-get download {self.package}; dpkg-deb -x "
                f"{self.package}_*.deb {folder / self.package}.",
            )
        data = file.read_bytes()
        if hashlib.sha256(data).hexdigest() != self.sha256:
            raise UserError(
                f"The photo {file} is not the one that the list names.",
                "Take the package's version of Debian 12, or list the photo anew.",
            )
        return decode(data)


def all_photos() -> list[Photo]:
    """The list, in order."""
    return [Photo(**entry) for entry in json.loads(LIST.read_text("utf-8"))]


def is_held_out(index: int) -> bool:
    """Whether the photo at `index` of the list is kept from training."""
    return index % HELD_OUT_EVERY == 1
