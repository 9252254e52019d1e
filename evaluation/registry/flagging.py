"""Which versions learned from images that have been taken down."""

import tempfile
from pathlib import Path

from catalog.layout import Layout
from catalog.settings import Params
from evaluation.lineage import learned_from
from evaluation.registry.register import LEARNED
from evaluation.registry.store import Registry, Version, connect
from evaluation.takedown import taken_down


def learned(registry: Registry, run_id: str) -> set[str]:
    """Ids of the images that a version learned from, by the pair list logged with it."""
    folder = str(Path(LEARNED).parent)
    present = {file.path for file in registry.client.list_artifacts(run_id, folder)}
    if LEARNED not in present:
        return set()
    with tempfile.TemporaryDirectory() as scratch:
        return learned_from(Path(registry.client.download_artifacts(run_id, LEARNED, scratch)))


def blocked(registry: Registry, version: Version, bits: int) -> list[str]:
    """Ids that a version learned from and that the blocklist names now."""
    layout = registry.layout
    if not layout.blocklist.exists():
        return []
    return taken_down(layout, learned(registry, version.run_id), bits)


def flag_versions(layout: Layout, params: Params) -> dict[str, list[str]]:
    """Tag the versions that learned from a taken-down image; return version to those images.

    The tag `mendline.taken_down` holds their number.
    """
    registry = connect(layout, params.gate.model_name)
    found = {}
    with registry.reachable():
        for version in registry.versions():
            ids = blocked(registry, version, params.gate.takedown_bits)
            if ids:
                found[version.number] = ids
            if version.tags.get("taken_down", "0") != str(len(ids)):
                registry.tag(version.number, taken_down=str(len(ids)))
    return found
