"""Puts what a work tree needs beside the packages into the wheel (see flows/template.py)."""

import shutil
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

ROOT = Path(__file__).parent


class BuildWithTemplate(build_py):
    """Copies the graph, the profiles and the ignore files to `flows/template`."""

    def run(self) -> None:
        """Build the packages, then add the template; an editable install reads the clone."""
        super().run()
        if self.editable_mode:
            return
        target = Path(self.build_lib) / "flows/template"
        names = [*_template_files(), *(f"profiles/{p.name}" for p in _profiles())]
        for name in names:
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / name, target / name)


def _profiles() -> list[Path]:
    return sorted((ROOT / "profiles").glob("*.yaml"))


def _template_files() -> tuple[str, ...]:
    # flows/template.py imports the catalog, which a build environment cannot: read one name.
    source = (ROOT / "flows/template.py").read_text("utf-8")
    start = source.index("FILES = (")
    scope: dict[str, tuple[str, ...]] = {}
    exec(source[start : source.index("\n)", start) + 2], scope)  # noqa: S102
    return scope["FILES"]


setup(cmdclass={"build_py": BuildWithTemplate})
