"""A registered version's model, as a folder: the one way that weights leave the registry."""

import errno
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import psutil
from mlflow.exceptions import MlflowException
from mlflow.store.artifact.artifact_repo import ArtifactRepository
from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository
from mlflow.store.artifact.local_artifact_repo import LocalArtifactRepository

from catalog.errors import UserError
from catalog.layout import Layout
from evaluation.registry.bundles import folder_in
from evaluation.registry.contents import check_contents, contents_in
from evaluation.registry.store import Registry, connect

_PREFIX = "mendline-model-"
"""Of a temporary folder's name; the number of the process follows."""


def registered(layout: Layout, uri: str) -> tuple[Registry, str]:
    """The registry and the version that a models:/ URI names now; an alias may move later.

    Raises `UserError` where it names none.
    """
    name, _, number = uri.removeprefix("models:/").partition("@" if "@" in uri else "/")
    if not name or not (number.isdecimal() or (number and "@" in uri)):
        raise UserError(
            f"{uri} names no version of a registered model.",
            "Write the number of one, models:/NAME/3, or an alias, models:/NAME@champion.",
        )
    registry = connect(layout, name)
    with registry.reachable():
        if "@" not in uri:
            return registry, registry.version(number).number
        aliases = registry.aliases()
        if number in aliases:
            return registry, aliases[number]
        raise UserError(
            f"{name} has no alias {number}; it has: {', '.join(sorted(aliases)) or 'none'}.",
            "`mendline review` lists the versions; MLFLOW_TRACKING_URI names the registry.",
        )


@contextmanager
def fetched(registry: Registry, number: str) -> Iterator[Path]:
    """The folder that `load_restorer` takes, of a version; it is there inside the block.

    A store on this disk is read in place, another one into a temporary folder. Raises `UserError`
    where the files are not those that were registered, or hold no model.
    """
    with ExitStack() as stack:
        with registry.reachable(), registry.active():
            version = registry.version(number)
            uri = registry.client.get_model_version_download_uri(registry.name, number)
            place = get_artifact_repository(uri, registry.uri, registry.uri)
            if isinstance(place, LocalArtifactRepository):
                root = Path(place.artifact_dir)
            else:
                remove_left_behind()
                prefix = f"{_PREFIX}{os.getpid()}-"
                folder = stack.enter_context(tempfile.TemporaryDirectory(prefix=prefix))
                root = _download(place, folder)
            check_contents(registry, version, contents_in(root), caches=True)
        found = folder_in(root)
        if found is None:
            raise UserError(
                f"Version {number} of {registry.name} holds no model.",
                "It was not registered by Mendline; register the model anew.",
            )
        yield found


def _download(place: ArtifactRepository, folder: str) -> Path:
    try:
        return Path(place.download_artifacts("", folder))
    except MlflowException as error:
        # MLflow gathers what its threads met into one text.
        if os.strerror(errno.ENOSPC) not in str(error):
            raise
        raise UserError(
            f"No space left on the disk in {tempfile.gettempdir()} while the model was downloaded.",
            "Free some, or name another folder with TMPDIR; then run the same command again.",
        ) from error


def remove_left_behind() -> None:
    """Delete what a killed process of this user had downloaded: it may be many gigabytes."""
    for folder in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*"):
        process = folder.name.removeprefix(_PREFIX).partition("-")[0]
        if process.isdecimal() and not psutil.pid_exists(int(process)):
            with suppress(OSError):
                if folder.lstat().st_uid == os.getuid():
                    shutil.rmtree(folder)  # which refuses a link
