"""`python -m training transfer|finetune`: a training stage of the DVC graph."""

import sys

from catalog.stage import run_stage
from training.stage import STAGES, Inputs, train_stage


def main(arguments: list[str]) -> None:
    """Run the stage that the only argument names."""
    if len(arguments) != 1 or arguments[0] not in STAGES:
        print(f"usage: python -m training {{{'|'.join(STAGES)}}}", file=sys.stderr)  # noqa: T201
        sys.exit(2)
    name = arguments[0]
    run_stage(
        name,
        lambda layout, params: train_stage(
            name,
            Inputs.of(layout, name),
            getattr(layout, name),
            layout.scratch(name),
            params.student,
            getattr(params, name),
            params.network,
        ),
    )


if __name__ == "__main__":
    main(sys.argv[1:])
