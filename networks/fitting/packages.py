"""Debian packages whose pictures and fonts the small networks learn from."""

import hashlib
import json
import subprocess
from pathlib import Path

from catalog.errors import UserError
from catalog.files import atomic_folder
from catalog.progress import track


def unpack(debs: Path, folder: Path, packages: Path) -> None:
    """Unpack into `folder`/NAME, once, the Debian packages in `debs` that `packages` lists.

    The list is JSON: objects with "package", "version" and "sha256". Raises `UserError` for a
    package that is missing or is another one.
    """
    for entry in track(json.loads(packages.read_text("utf-8")), "packages"):
        target = folder / entry["package"]
        if target.exists():
            continue
        found = sorted(debs.glob(f"{entry['package']}_*.deb"))
        digest = hashlib.sha256(found[0].read_bytes()).hexdigest() if found else "no file"
        if digest != entry["sha256"]:
            raise UserError(
                f"{debs} lacks {entry['package']} {entry['version']} (SHA-256 found: {digest}).",
                f"In that folder: apt-get download {entry['package']}={entry['version']}",
            )
        with atomic_folder(target) as temporary:
            subprocess.run(["dpkg-deb", "-x", found[0], temporary], check=True)
