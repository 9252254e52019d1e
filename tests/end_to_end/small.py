"""The demo at a smaller size, in a process of its own: `python small.py WORKSPACE RESULT.json`.

It is what `mendline demo` does, with fewer pictures and fewer training steps.
"""

import json
import sys
from pathlib import Path

import yaml

from flows.demo import Source, demo_params, prepare, run
from flows.demo_web.site import Size
from flows.environment import prepare as prepare_environment

SIZE = Size(clean=24, degraded=2, copies=2, benchmark=2)

_STAGE = {"steps": 6, "batch": 4, "crop": 32, "warmup": 2, "workers": 0}
_STAGE |= {"validate_every": 3, "validation_pairs": 1, "checkpoint_every": 3}

CHANGES: dict[str, dict[str, object]] = {
    # There is a benchmark, and of so few photos none can be spared.
    "assemble": {"held_out_share": 0.0},
    "student": {"width": 32, "heads": 4, "double_blocks": 1, "single_blocks": 4, "init": "scratch"},
    "transfer": _STAGE,
    "finetune": _STAGE,
}


def small_params() -> str:
    """The embedded profile with a small model and a few steps."""
    content = yaml.safe_load(demo_params("embedded"))
    for section, values in CHANGES.items():
        content[section] |= values
    return yaml.safe_dump(content, sort_keys=False)


def main(workspace: Path, out: Path) -> None:
    """Run, and write what the flows returned."""
    tree = prepare(workspace, Source(), "embedded", small_params())
    prepare_environment(tree.root, quiet=True)
    result = run(tree, Source(), SIZE)
    out.write_text(json.dumps(result))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
