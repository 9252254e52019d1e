"""Which versions learned from images that have been taken down."""

import hashlib
import tempfile
from collections.abc import Sequence, Set
from pathlib import Path

from mlflow.exceptions import MlflowException

from catalog.blocked import blocked_ids
from catalog.layout import Layout
from catalog.settings import Params
from evaluation.lineage import learned_from
from evaluation.registry.register import LEARNED
from evaluation.registry.store import Registry, connect


def pair_list(registry: Registry, run_id: str, folder: Path) -> Path | None:
    """The pair list logged with a version, downloaded to `folder`; None where there is none.

    A version that other programs made has none, and perhaps no run.
    """
    try:
        place = str(Path(LEARNED).parent)
        present = {file.path for file in registry.client.list_artifacts(run_id, place)}
    except MlflowException as error:
        if error.error_code not in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
            raise
        return None
    if LEARNED not in present:
        return None
    return Path(registry.client.download_artifacts(run_id, LEARNED, str(folder)))


def learned(registry: Registry, run_id: str) -> set[str] | None:
    """Ids of the images that a version learned from, None where that is not on record."""
    with tempfile.TemporaryDirectory() as scratch:
        found = pair_list(registry, run_id, Path(scratch))
        return None if found is None else learned_from(found)


def blocked(layout: Layout, known: Set[str] | None, bits: int) -> list[str]:
    """Ids, of those that a version has `learned`, which are taken down now, sorted."""
    return sorted(known & blocked_ids(layout, bits)) if known and layout.blocklist.exists() else []


def uncheckable(layout: Layout, known: Set[str] | None) -> bool:
    """Whether something is taken down and nobody knows if a version has `learned` from it."""
    return known is None and layout.blocklist.exists()


def digest_of(ids: Sequence[str]) -> str:
    """Of what `blocked` found, for the tag `taken_down_seen`."""
    return hashlib.sha256("\n".join(ids).encode()).hexdigest() if ids else "none"


def flag_versions(layout: Layout, params: Params) -> dict[str, list[str]]:
    """Tag the versions that learned from a taken-down image; return version to those images.

    The tag `mendline.taken_down` holds their number.
    """
    registry = connect(layout, params.gate.model_name)
    found = {}
    with registry.reachable():
        for version in registry.versions():
            known = learned(registry, version.run_id)
            ids = blocked(layout, known, params.gate.takedown_bits)
            if ids:
                found[version.number] = ids
            if version.tags.get("taken_down", "0") != str(len(ids)):
                registry.tag(version.number, taken_down=str(len(ids)))
    return found
