"""Run the benchmarks that need nothing beside the repository: `make bench`.

Each is a program of its own and says in its first lines how it is called; the others want a folder
of photos, an interpreter with the alternative, or a GPU, and are listed. Figures that were measured
are in docs/benchmarks.md.
"""

import ast
import os
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
ALONE: dict[str, list[str]] = {
    "degrade_throughput": [],
    "dedupe_scale": ["--sizes", "10000", "100000"],
    "gate_simulation": ["--trials", "200"],
    "judge_throughput": ["server"],
    "train_step1x_gpu": ["--debug"],
}
"""Module to its arguments."""


def _summary(path: Path) -> str:
    return (ast.get_docstring(ast.parse(path.read_text("utf-8"))) or "").split("\n", 1)[0]


def main() -> int:
    """Run them in turn; the exit status is the number of those that failed."""
    failed = 0
    for name, arguments in ALONE.items():
        print(f"\n== {name}: {_summary(HERE / f'{name}.py')}", flush=True)
        command = [sys.executable, "-m", f"benchmarks.{name}", *arguments]
        failed += bool(
            subprocess.run(
                command, cwd=HERE.parent, env=os.environ | {"OMP_NUM_THREADS": "1"}
            ).returncode
        )
    print("\n== with arguments of your own:")
    for path in sorted(HERE.glob("*.py")):
        if path.stem not in ALONE and path.stem not in ("__main__", "collect_web"):
            print(f"python -m benchmarks.{path.stem}: {_summary(path)}")
    return failed


if __name__ == "__main__":
    sys.exit(main())
