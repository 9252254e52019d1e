"""Models of the registry as folders: the only place where a models:/ URI is followed."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager

from catalog.errors import UserError
from catalog.files import atomic_folder, write_json
from catalog.layout import Layout
from catalog.settings import Params
from curation.teach.teachers import REGISTRY, fetched_folder


@contextmanager
def local_model(layout: Layout, name: str) -> Iterator[str]:
    """What `load_restorer` takes for `name`: a models:/ URI's folder, anything else as it is.

    The folder is there inside the block. Raises `UserError`.
    """
    if not name.startswith(REGISTRY):
        yield name
        return
    if not os.environ.get("MLFLOW_TRACKING_URI") and not layout.mlflow_database.exists():
        # MLflow would make an empty database of its own.
        raise UserError(
            f"There is no registry to find {name} in: {layout.mlflow_database} does not exist.",
            "Run in a work tree, or name a registry with MLFLOW_TRACKING_URI.",
        )
    from evaluation.registry.fetching import fetched, registered

    with fetched(*registered(layout, name)) as folder:
        yield str(folder)


def fetch_teachers(layout: Layout, params: Params) -> list[str]:
    """Copy every teacher with a models:/ URI to data/teachers; return the URIs.

    An alias may have moved since, so each is fetched anew; a folder is replaced as a whole.
    """
    named = {name for pool in params.teach.teachers.values() for name in pool}
    uris = sorted(name for name in named if name.startswith(REGISTRY))
    for uri in uris:
        with (
            local_model(layout, uri) as found,
            atomic_folder(fetched_folder(layout.teachers, uri)) as folder,
        ):
            shutil.copytree(found, folder, dirs_exist_ok=True)
            write_json(folder / "fetched.json", {"uri": uri})
    return uris
