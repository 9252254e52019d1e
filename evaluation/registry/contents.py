"""The files of a version in the artifact store, each by its SHA-256: what may not change any more.

The list is written when a version is registered (at the gate for one registered before there were
lists), as an artifact of its run; the tag `mendline.contents` holds the list's own SHA-256, which
the gate's report repeats. The gate, an approval and a rollback hash all files again.
"""

import hashlib
import json
import posixpath
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

from mlflow.exceptions import MlflowException
from mlflow.store.artifact.artifact_repo import ArtifactRepository
from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository
from mlflow.store.artifact.local_artifact_repo import LocalArtifactRepository

from catalog.digests import read_digest
from catalog.errors import UserError
from evaluation.registry.store import Registry, Version

Contents = Mapping[str, str]
"""Path below the version's artifacts to SHA-256."""

FOLDER = "contents"
_NOTED = {FOLDER, "report"}
"""What we add to a run; where a version's artifacts are its run's, they are no part of it."""
_WRITTEN_BY_MLFLOW = {"registered_model_meta"}
"""Into the store itself, when a version is loaded from it in place. Nobody reads it."""
_CACHE = "__pycache__"
_NAMED = 3


def read_contents(registry: Registry, version: str) -> Contents:
    """Hash all files of a version as they lie in the store now.

    Files are read in parts; of a store on another machine one at a time is on this disk.
    """
    with registry.active():
        uri = registry.client.get_model_version_download_uri(registry.name, version)
        return _contents(get_artifact_repository(uri, registry.uri, registry.uri))


def contents_in(folder: Path) -> Contents:
    """The same of a version that was downloaded to `folder`."""
    return _contents(LocalArtifactRepository(str(folder)))


def _contents(place: ArtifactRepository) -> Contents:
    return {path: _hash(place, path) for path in sorted(_paths(place))}


def _paths(place: ArtifactRepository, folder: str | None = None) -> Iterator[str]:
    for entry in place.list_artifacts(folder):
        if folder is None and entry.path in _NOTED | _WRITTEN_BY_MLFLOW:
            continue
        if entry.is_dir:
            yield from _paths(place, entry.path)
        else:
            yield entry.path


def _hash(place: ArtifactRepository, path: str) -> str:
    if isinstance(place, LocalArtifactRepository):
        return read_digest(Path(place.get_local_path(path)))
    with tempfile.TemporaryDirectory() as folder:
        return read_digest(Path(place.download_artifacts(path, folder)))


def contents_digest(contents: Contents) -> str:
    """SHA-256 of the list, for the tag `contents`."""
    return hashlib.sha256(_text(contents)).hexdigest()


def _text(contents: Contents) -> bytes:
    return json.dumps(contents, sort_keys=True, indent=0, ensure_ascii=False).encode()


def note_contents(registry: Registry, version: Version, contents: Contents) -> str:
    """Keep the list with the version, and its digest as a tag; return the digest."""
    digest = contents_digest(contents)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / _name(digest)
        path.write_bytes(_text(contents))
        registry.client.log_artifact(version.run_id, str(path), FOLDER)
    registry.tag(version.number, contents=digest)
    return digest


def check_contents(
    registry: Registry, version: Version, now: Contents, caches: bool = False
) -> None:
    """Raise `UserError`, naming the files, where `now` is not what was registered.

    With `caches` what Python keeps beside code that it loaded is let pass: a version that was
    served from its place in the store has some. Before an approval nothing may have been added.
    """
    expected = version.tags.get("contents")
    if expected is None or contents_digest(now) == expected:
        return
    known = _noted(registry, version, expected)
    if caches and known is not None:
        known, now = _without_caches(known), _without_caches(now)
        if known == now:
            return
    raise UserError(
        f"The files of version {version.number} are not those that were registered: "
        f"{'their list is gone or was edited, too' if known is None else _said(known, now)}.",
        _remedy(version.number, known, now),
    )


def _without_caches(contents: Contents) -> Contents:
    return {path: sha for path, sha in contents.items() if _CACHE not in path.split("/")}


def _noted(registry: Registry, version: Version, digest: str) -> Contents | None:
    """The list that was kept with a version; None where it is gone or another."""
    with tempfile.TemporaryDirectory() as folder:
        try:
            path = registry.client.download_artifacts(
                version.run_id, posixpath.join(FOLDER, _name(digest)), folder
            )
        except (MlflowException, OSError):
            return None
        data = Path(path).read_bytes()
    if hashlib.sha256(data).hexdigest() != digest:
        return None
    found: Contents = json.loads(data)
    return found


def _name(digest: str) -> str:
    return f"{digest[:12]}.json"


def _differing(known: Contents, now: Contents) -> dict[str, str]:
    """Path to what became of it."""
    missing = dict.fromkeys(known.keys() - now.keys(), "is missing")
    added = dict.fromkeys(now.keys() - known.keys(), "was added")
    other = {
        path: f"was changed (SHA-256 {now[path][:12]}, registered {known[path][:12]})"
        for path in known.keys() & now.keys()
        if known[path] != now[path]
    }
    return dict(sorted((missing | added | other).items()))


def _said(known: Contents, now: Contents) -> str:
    found = [f"{path} {what}" for path, what in _differing(known, now).items()]
    more = f", and {len(found) - _NAMED} more" if len(found) > _NAMED else ""
    return ", ".join(found[:_NAMED]) + more


def _remedy(version: str, known: Contents | None, now: Contents) -> str:
    differing = _differing(known, now) if known is not None else {}
    if differing and all(
        _CACHE in path.split("/") and what == "was added" for path, what in differing.items()
    ):
        return (
            "Python writes such files where a version is loaded from its place in the store. "
            f"Delete the {_CACHE} folders there, then run the same command again."
        )
    return (
        "Find out who changed them. Put the registered files back in the artifact store, or "
        f"`mendline reject {version}` and train anew; the verdict holds for what was registered."
    )
