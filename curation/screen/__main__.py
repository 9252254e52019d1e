"""`python -m curation.screen`."""

from catalog.stage import run_stage
from curation.screen.stage import run

if __name__ == "__main__":
    run_stage("screen", lambda layout, params: run(layout, params.screen))
