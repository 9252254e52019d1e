"""`python -m curation.pair`."""

from catalog.stage import run_stage
from curation.pair import pair

if __name__ == "__main__":
    run_stage(
        "pair",
        lambda layout, params: pair(
            layout.raw,
            layout.targets,
            layout.duplicates,
            layout.scratch("pair"),
            layout.real_pairs,
            params.pair,
        ),
    )
