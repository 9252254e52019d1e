"""Which candidate it is, of all that were compared with one champion on one benchmark.

A tag of the registered model, `mendline.compared.CHAMPION.BENCHMARK`, lists their versions in the
order in which they came to the gate. So a version that comes again keeps its number, and one that
was deleted is still counted.
"""

import json

from evaluation.registry.lock import locked
from evaluation.registry.records import NONE, model_tags
from evaluation.registry.store import TAG, Registry, Version


def take_turn(registry: Registry, version: Version, champion: str | None, benchmark: str) -> int:
    """The number, from 1, of `version` among those compared; taken now where it has none yet.

    `benchmark` is the digest of the images that it was scored on.
    """
    name = f"{TAG}compared.{champion or NONE}.{benchmark[:16]}"
    known = _known(registry, name)
    if version.number not in known:
        with locked(registry):
            known = _known(registry, name)
            # Those that were gated before there was such a tag, or whose tag was taken away.
            earlier = [
                other.number
                for other in reversed(registry.versions())
                if "verdict" in other.tags
                and other.tags.get("champion_seen") == (champion or NONE)
                and other.tags.get("benchmark") == benchmark
            ]
            known = list(dict.fromkeys([*known, *earlier, version.number]))
            registry.client.set_registered_model_tag(registry.name, name, json.dumps(known))
    return known.index(version.number) + 1


def _known(registry: Registry, name: str) -> list[str]:
    text = model_tags(registry).get(name)
    return [] if text is None else list(map(str, json.loads(text)))
