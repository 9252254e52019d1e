"""`python -m curation.assemble`."""

import yaml

from catalog.blocked import blocked_ids
from catalog.layout import Layout
from catalog.settings import Params
from catalog.stage import Counts, run_stage
from curation.assemble import Inputs, assemble


def run(layout: Layout, params: Params) -> Counts:
    """The stage over the paths of a work tree."""
    inputs = Inputs(
        layout.raw,
        layout.screening,
        layout.duplicates,
        layout.contamination,
        layout.real_pairs,
        layout.synthetic,
        layout.reviews,
    )
    sections = {
        name: getattr(params, name).model_dump(mode="json", exclude={"ranges"})
        for name in ("teach", "pair", "synthesize", "assemble")
    }
    thresholds = yaml.safe_dump(sections, sort_keys=False)
    blocked = blocked_ids(layout, params.assemble.block_hamming)
    return assemble(inputs, layout.dataset, params.assemble, thresholds, blocked)


if __name__ == "__main__":
    run_stage("assemble", run)
