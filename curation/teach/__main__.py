"""`python -m curation.teach`."""

from catalog.blocked import blocked_ids
from catalog.layout import Layout
from catalog.settings import Params
from catalog.stage import Counts, run_stage
from curation.teach import teach


def run(layout: Layout, params: Params) -> Counts:
    """The stage over the paths of a work tree."""
    return teach(
        layout.raw,
        layout.screening,
        layout.duplicates,
        layout.contamination,
        layout.scratch("teach"),
        layout.targets,
        params.teach,
        blocked_ids(layout, params.assemble.block_hamming),
        pair=params.pair,
        checks=layout.scratch("pair"),
        teachers=layout.teachers,
    )


if __name__ == "__main__":
    run_stage("teach", run)
