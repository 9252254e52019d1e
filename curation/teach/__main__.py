"""`python -m curation.teach`."""

from catalog.stage import run_stage
from curation.select import blocked_ids
from curation.teach import teach

if __name__ == "__main__":
    run_stage(
        "teach",
        lambda layout, params: teach(
            layout.raw,
            layout.screening,
            layout.duplicates,
            layout.contamination,
            layout.scratch("teach"),
            layout.targets,
            params.teach,
            blocked_ids(layout, params.assemble.block_hamming),
        ),
    )
