"""Models of the registry as folders: the only place where a models:/ URI is followed."""

import os
import shutil
from contextlib import nullcontext
from pathlib import Path

from catalog.errors import UserError
from catalog.files import atomic_folder, write_json
from catalog.layout import Layout
from catalog.settings import Params
from curation.teach.teachers import REGISTRY, fetched_folder

URI_STARTS = (REGISTRY, "runs:/")


def check_registry(layout: Layout, uri: str) -> None:
    """Raise `UserError` where no registry is that `uri` could be in.

    MLflow would make an empty database of its own.
    """
    if not os.environ.get("MLFLOW_TRACKING_URI") and not layout.mlflow_database.exists():
        raise UserError(
            f"There is no registry to find {uri} in: {layout.mlflow_database} does not exist.",
            "Run in a work tree, or name a registry with MLFLOW_TRACKING_URI.",
        )


def model_folder(uri: str, store: str | None = None) -> Path:
    """Download the model that `uri` names; the folder of its weights. Raises `UserError`.

    `store` is MLflow's address; None for that of MLFLOW_TRACKING_URI.
    """
    import mlflow

    from evaluation.registry.store import using, without_passwords

    named = store or os.environ.get("MLFLOW_TRACKING_URI")
    try:
        with using(named) if named else nullcontext():
            folder = Path(mlflow.artifacts.download_artifacts(uri))
    except Exception as error:  # MLflow raises several kinds for one cause: it is not there
        raise UserError(
            f"The model {uri} cannot be read from the registry: {without_passwords(str(error))}.",
            "`mendline review` lists the versions; MLFLOW_TRACKING_URI names the registry.",
        ) from error
    from evaluation.registry.bundles import folder_in

    if found := folder_in(folder):
        return found
    raise UserError(f"The model {uri} holds none of Mendline's models.", "Name another version.")


def fetch_teachers(layout: Layout, params: Params) -> list[str]:
    """Copy every teacher with a models:/ URI to data/teachers; return the URIs.

    An alias may have moved since, so each is fetched anew; a folder is replaced as a whole.
    """
    named = {name for pool in params.teach.teachers.values() for name in pool}
    uris = sorted(name for name in named if name.startswith(REGISTRY))
    for uri in uris:
        from evaluation.registry.store import connect

        found = model_folder(uri, connect(layout, params.gate.model_name).uri)
        with atomic_folder(fetched_folder(layout.teachers, uri)) as folder:
            shutil.copytree(found, folder, dirs_exist_ok=True)
            write_json(folder / "fetched.json", {"uri": uri})
    return uris
