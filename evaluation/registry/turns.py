"""Which look it is, of all that were taken at candidates beside one champion.

One tag of the registered model a look, `mendline.compared.CHAMPION.00001`, holds VERSION@BENCHMARK,
in the order in which they came to the gate. So a version that comes again keeps its number, and one
that was deleted is still counted. Another benchmark is another look: one that is held out of a
collection is another every night, and mostly the same images. (One tag for all would be full after
200: a server's database holds 5,000 characters in each.)
"""

import json

from evaluation.registry.lock import locked
from evaluation.registry.records import NONE, model_tags
from evaluation.registry.store import TAG, Registry, Version


def take_turn(registry: Registry, version: Version, champion: str | None, benchmark: str) -> int:
    """The number, from 1, of `version` on `benchmark`; taken now where it has none yet.

    `benchmark` is the digest of the images that it was scored on.
    """
    name = f"{TAG}compared.{champion or NONE}"
    look = _look(version.number, benchmark)
    known = _known(registry, name)
    if look not in known:
        with locked(registry):
            known = _known(registry, name)
            # Those that were gated before there was such a tag, or whose tag was taken away.
            earlier = [
                _look(other.number, other.tags["benchmark"])
                for other in reversed(registry.versions())
                if {"verdict", "benchmark"} <= other.tags.keys()
                and other.tags.get("champion_seen") == (champion or NONE)
            ]
            for new in dict.fromkeys([*earlier, look]):
                if new not in known:
                    known.append(new)
                    registry.client.set_registered_model_tag(
                        registry.name, f"{name}.{len(known):05d}", new
                    )
    return known.index(look) + 1


def _look(version: str, benchmark: str) -> str:
    return f"{version}@{benchmark[:16]}"


def _known(registry: Registry, name: str) -> list[str]:
    tags = model_tags(registry)
    # Before there was a tag a look, one listed them all.
    listed = map(str, json.loads(tags.get(name, "[]")))
    return [*listed, *(tags[key] for key in sorted(tags) if key.startswith(f"{name}."))]
