"""`python -m curation.synthesize`."""

from catalog.blocked import blocked_ids
from catalog.stage import run_stage
from curation.synthesize import synthesize
from curation.synthesize.held_out import HeldOut

if __name__ == "__main__":
    run_stage(
        "synthesize",
        lambda layout, params: synthesize(
            layout.raw,
            layout.screening,
            layout.duplicates,
            layout.contamination,
            layout.scratch("synthesize"),
            layout.synthetic,
            params.synthesize,
            params.pair,
            HeldOut.of(layout, params),
            blocked_ids(layout, params.assemble.block_hamming),
        ),
    )
