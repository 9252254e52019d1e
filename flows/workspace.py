"""A work tree of its own: Git and DVC, the rooms' source, the graph, a profile's settings.

The demo and the tests run in one, so that neither the clone nor an installed package is written
to. `create` is idempotent: in a work tree that stands it brings code, graph and settings up to
date and commits what changed, so that the next `dvc repro` runs what is affected and no more.
"""

import hashlib
import json
import os
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from catalog.digests import read_digest
from catalog.errors import UserError
from catalog.files import atomic_file, write_json
from catalog.layout import Layout
from catalog.log import logger
from catalog.settings import parse_params
from flows import dvc
from flows.template import FILES, ROOMS, profile_path, room_source, template_root

log = logger(__name__)

_MARK = ".mendline/workspace.json"
_PARAMS = "params.yaml"
_LEFT_OUT = {"__pycache__", "template"}
NOBODY = "Mendline"
"""Who commits where Git knows no name: the pipeline. It is nobody who could decide anything."""
_IDENTITY = {"NAME": NOBODY, "EMAIL": "mendline@localhost"}
_SECONDS = 120
_SECONDS_OF_EXCHANGE = 3600
"""What a git command may take; what asks another machine may have a slow line and much to send."""
_EXCHANGE = frozenset({"clone", "fetch", "ls-remote", "pull", "push"})
_AT_ONCE = 500
"""Names of files in one command line."""
OWN = frozenset({*ROOMS, *(name.split("/", 1)[0] for name in FILES), _PARAMS, "results"})
"""First parts of the paths of files that a commit of a work tree takes though they are new."""


@dataclass(frozen=True)
class Workspace:
    """A work tree: a Git and DVC repository with a local DVC remote."""

    root: Path

    @property
    def layout(self) -> Layout:
        """The paths of its data."""
        return Layout(self.root)

    @property
    def state(self) -> Path:
        """Logs, locks, the servers' databases: tracked by nothing."""
        return self.root / ".mendline"

    def git(self, *arguments: str) -> str:
        """Run git here and return its output. Raises `UserError` with git's own words."""
        return run_git(self.root, *arguments)

    def commit(self, message: str) -> str | None:
        """Commit what changed; return the commit, None when nothing did.

        New files are taken where the pipeline makes them (`OWN`) or the graph names them, and left
        alone elsewhere, with a warning: commits are pushed, and what else lies in a work tree may
        be a person's, or a secret.
        """
        self.git("add", "--update", "--", ".")
        others = self.git("ls-files", "-z", "--others", "--exclude-standard").split("\0")
        new = [path for path in others if path]
        graph = dvc.named(self.root)
        own = [
            path
            for path in new
            if path.split("/", 1)[0] in OWN or any(_is_in(path, place) for place in graph)
        ]
        if left := sorted(set(new) - set(own)):
            log.warning("not committed: git add them yourself, or ignore them", files=left[:20])
        for first in range(0, len(own), _AT_ONCE):
            names = [f":(literal){path}" for path in own[first : first + _AT_ONCE]]
            self.git("add", "--", *names)
        if not self.git("status", "--porcelain", "--untracked-files=no"):
            return None
        run_git(
            self.root,
            *("commit", "--quiet", "--no-verify", "--no-gpg-sign", "-m", message),
            environment=self._missing_identity(),
        )
        return self.head()

    def _missing_identity(self) -> dict[str, str]:
        """What Git does not know of who commits. Not written into its settings, or a person would
        be named so who decides on a model here."""
        known = self.git("config", "--list", "--name-only").split()
        return {
            f"GIT_{role}_{part}": value
            for part, value in _IDENTITY.items()
            if f"user.{part.lower()}" not in known
            for role in ("AUTHOR", "COMMITTER")
        }

    def head(self) -> str:
        """The current commit, 40 hexadecimal digits."""
        return self.git("rev-parse", "HEAD").strip()


def _is_in(path: str, place: str) -> bool:
    return path == place or path.startswith(f"{place}/")


def run_git(
    root: Path, command: str, *arguments: str, environment: Mapping[str, str] | None = None
) -> str:
    """Run a git command in `root` and return its output; what `environment` has comes second to
    what is set already. Raises `UserError` when git is missing, says no, or does not end.
    """
    limit = _SECONDS_OF_EXCHANGE if command in _EXCHANGE else _SECONDS
    # A GIT_DIR of a caller (a hook, say) would lead away from this folder.
    clean = {name: value for name, value in os.environ.items() if not name.startswith("GIT_DIR")}
    try:
        done = subprocess.run(
            ["git", command, *arguments],
            cwd=root,
            capture_output=True,
            text=True,
            errors="surrogateescape",  # names of files are bytes
            timeout=limit,
            env={**(environment or {}), **clean, "GIT_TERMINAL_PROMPT": "0"},
        )
    except FileNotFoundError:
        raise UserError(
            "There is no git on this machine.", "Install it: apt-get install git."
        ) from None
    except subprocess.TimeoutExpired:
        raise UserError(
            f"git {command} has not ended in {limit} s in {root}.",
            f"Run `git {command}` there by hand to see what it waits for (a line, a disk, a "
            "key), then the same command again.",
        ) from None
    if done.returncode:
        raise UserError(
            f"git {command} failed in {root}: {done.stderr.strip() or done.stdout.strip()}",
            "Mend what git names and run the same command again.",
        )
    return done.stdout


def create(root: Path, profile: str = "embedded", params: str | None = None) -> Workspace:
    """Make a work tree at `root`, or bring the one that stands there up to date.

    `params` is the text of a whole params.yaml to take instead of the profile's. Settings that a
    person has edited since (params.yaml, prefect.yaml, .dvc/config and their like) are kept; code
    is overwritten, after a commit of what was changed in it. Raises `UserError` for a folder that
    holds something else, an unknown profile, or settings that are not valid.
    """
    text = profile_path(profile).read_text("utf-8") if params is None else params
    parse_params(text, f"the profile {profile}")
    root = root.resolve()
    _check_place(root)
    workspace = Workspace(root)
    root.mkdir(parents=True, exist_ok=True)
    workspace.state.mkdir(exist_ok=True)
    fresh = not (root / ".git").exists()
    if fresh:
        workspace.git("init", "--quiet", "--initial-branch=main")
    if not fresh:
        # The rooms are about to be overwritten: what a person changed there stays in the history.
        workspace.commit("Changes made in the work tree")
    for room in ROOMS:
        _mirror(room_source(room), root / room)
    files = {name: (template_root() / name).read_bytes() for name in FILES}
    _write_files(root, profile, files | {_PARAMS: text.encode()})
    workspace.commit(
        f"Work tree of the profile {profile}" if fresh else "Code and settings brought up to date"
    )
    return workspace


def open_workspace(root: Path) -> Workspace:
    """The work tree at `root`. Raises `UserError` where there is none."""
    root = root.resolve()
    for name in ("dvc.yaml", ".dvc", ".git", "params.yaml"):
        if not (root / name).exists():
            raise UserError(
                f"{root} is no work tree of Mendline: it has no {name}.",
                "Run in the folder that holds dvc.yaml, or make a work tree with `mendline demo`.",
            )
    return Workspace(root)


def _check_place(root: Path) -> None:
    if root.is_file():
        raise UserError(f"{root} is a file.", "Name a folder for the work tree.")
    ours = (root / _MARK).exists()
    if root.is_dir() and not ours and any(entry.name != ".mendline" for entry in root.iterdir()):
        raise UserError(
            f"The folder {root} is not empty and is no work tree that Mendline made.",
            "Name another folder with --workspace, or move what is in it away.",
        )
    root.mkdir(parents=True, exist_ok=True)
    if not ours:
        # The mark comes first: a run killed while copying can then be taken up again.
        write_json(root / _MARK, {})


def _copy(content: bytes, target: Path) -> None:
    if target.is_file() and target.read_bytes() == content:
        return  # the time of the file is what DVC looks at first
    # 450 files: two syncs each take longer than all the rest, and the next start compares again.
    with atomic_file(target, sync=False) as temporary:
        temporary.write_bytes(content)


def _mirror(source: Path, target: Path) -> None:
    """Make `target` hold the files of `source`, no more, leaving equal files untouched."""
    wanted = {
        path.relative_to(source)
        for path in source.rglob("*")
        if path.is_file() and not _LEFT_OUT & set(path.relative_to(source).parts)
    }
    for name in sorted(wanted):
        _copy((source / name).read_bytes(), target / name)
    for path in sorted(target.rglob("*"), reverse=True):
        if "__pycache__" in path.parts:
            continue
        if path.is_file() and path.relative_to(target) not in wanted:
            path.unlink()
        elif path.is_dir() and not any(path.iterdir()):
            path.rmdir()
    for cache in target.rglob("__pycache__"):
        if not any(cache.parent.glob("*.py")):
            shutil.rmtree(cache, ignore_errors=True)


def has_own_settings(root: Path) -> bool:
    """Whether a person edited the params.yaml of the work tree at `root`: `create` keeps it."""
    return _is_edited(root, _PARAMS, _written(root))


def _written(root: Path) -> dict[str, str]:
    """Path to SHA-256 of the files that `create` wrote last."""
    mark = root / _MARK
    found: dict[str, str] = {}
    if mark.exists():
        found = json.loads(mark.read_text("utf-8")).get("files", {})
    return found


def _is_edited(root: Path, name: str, written: Mapping[str, str]) -> bool:
    target = root / name
    return name in written and target.exists() and read_digest(target) != written[name]


def _write_files(root: Path, profile: str, files: Mapping[str, bytes]) -> None:
    """Write all but those that a person edited since they were written."""
    written = _written(root)
    digests = {name: hashlib.sha256(content).hexdigest() for name, content in files.items()}
    edited = {
        name
        for name in files
        # What a run that was killed before the mark wrote is no edit.
        if _is_edited(root, name, written) and read_digest(root / name) != digests[name]
    }
    if newer := sorted(name for name in edited if digests[name] != written[name]):
        log.warning("edited, so kept: delete it and run again to take the new one", files=newer)
    for name in files.keys() - edited:
        _copy(files[name], root / name)
    # Of an edited file the new digest, too: it is still another, and this version was told of.
    write_json(root / _MARK, {"profile": profile, "files": digests})
