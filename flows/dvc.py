"""DVC as a subprocess: one at a time in a work tree, killed with all it started, errors in words.

`repro` runs the graph; a person can as well run `dvc repro` by hand.
"""

import json
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import yaml

from catalog.errors import UserError
from catalog.log import logger

_RUNNING = re.compile(r"Running stage '([^']+)'")
_SKIPPED = re.compile(r"Stage '([^']+)' (didn't change|is cached)")
_FAILED = re.compile(r"failed to reproduce '([^']+)'")
_NOISE = re.compile(
    r"^(> |Generating lock file|Updating lock file|\s*$|To track the changes|\tgit add)"
)
_KEPT_LINES = 40
_SUPERVISE = Path(__file__).with_name("supervise.py")

OnLine = Callable[[str], None]


@dataclass
class Reproduced:
    """Which stages `dvc repro` ran, and which it found done."""

    ran: list[str] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)


def _environment(root: Path) -> dict[str, str]:
    here = str(Path(sys.executable).parent)
    kept = {k: v for k, v in os.environ.items() if k not in ("PYTHONSAFEPATH", "PYTHONHOME")}
    return kept | {
        # `python` in dvc.yaml is the interpreter that runs us, and the code is the work tree's.
        "PATH": os.pathsep.join([here, kept.get("PATH", os.defpath)]),
        "PYTHONPATH": str(root),
        "PYTHONUNBUFFERED": "1",
        "PYTHONDONTWRITEBYTECODE": "1",
        "SHELL": "/bin/sh",
        "DVC_NO_ANALYTICS": "1",
        "DO_NOT_TRACK": "true",
        "HF_HUB_OFFLINE": kept.get("HF_HUB_OFFLINE", "1"),
    }


@contextmanager
def exclusive(root: Path, wait: float = 10.0) -> Iterator[None]:
    """Hold the work tree: no other Mendline process collects or runs DVC there meanwhile.

    The lock is the kernel's, so a killed holder leaves none behind. Raises `UserError` when it is
    taken for more than `wait` seconds.
    """
    from filelock import FileLock, Timeout

    path = root / ".mendline/repro.lock"
    path.parent.mkdir(parents=True, exist_ok=True)
    # One object a path and process: a flow that holds it can call `repro`, which takes it again.
    lock = FileLock(path, thread_local=False, is_singleton=True)
    try:
        lock.acquire(timeout=wait)
    except Timeout:
        raise UserError(
            f"Another Mendline run is at work in {root}.",
            "Wait until it has ended, or end it; then run the same command again.",
        ) from None
    try:
        clear_stale_locks(root)
        yield
    finally:
        lock.release()


def clear_stale_locks(root: Path) -> None:
    """Drop what a killed DVC left in its table of locks.

    DVC drops entries of dead processes itself, but not a table cut off in the middle, nor entries
    whose process number belongs to another program by now.
    """
    import psutil

    path = root / ".dvc/tmp/rwlock"
    if not path.exists():
        return
    try:
        table = json.loads(path.read_text("utf-8"))
        infos = [i for found in table.get("read", {}).values() for i in found]
        infos += [i for i in table.get("write", {}).values() if i]
        pids = {int(info["pid"]) for info in infos}
    except (ValueError, KeyError, TypeError, AttributeError):
        logger(__name__).warning("a killed DVC left a broken table of locks; it is removed")
        path.unlink()
        return
    for pid in pids:
        with suppress(psutil.Error):
            if any(Path(part).name == "dvc" for part in psutil.Process(pid).cmdline()):
                return  # somebody runs DVC here by hand: let DVC say so
    if pids:
        path.unlink()


def _end(process: subprocess.Popen[str]) -> None:
    """End the supervisor's whole group; it gives stages time to save."""
    if process.poll() is None:
        process.terminate()
        with suppress(subprocess.TimeoutExpired):
            process.wait(15)
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def run_dvc(
    root: Path,
    arguments: Sequence[str],
    on_line: OnLine | None = None,
    timeout: float | None = None,
) -> tuple[int, list[str]]:
    """Run `dvc ARGUMENTS` in `root`; return its exit status and its lines of output.

    Every line goes to `on_line` and to `.mendline/logs/dvc-<command>.log`. However this call is
    left (an exception, a signal, the end of the process), nothing that it started goes on. Raises
    `UserError` when it takes more than `timeout` seconds.
    """
    folder = root / ".mendline/logs"
    folder.mkdir(parents=True, exist_ok=True)
    lines: list[str] = []
    with (
        (folder / f"dvc-{arguments[0]}.log").open("a", encoding="utf-8") as file,
        subprocess.Popen(
            [sys.executable, str(_SUPERVISE), sys.executable, "-m", "dvc", *arguments],
            cwd=root,
            env=_environment(root),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            start_new_session=True,
        ) as process,
    ):
        assert process.stdout is not None
        late = threading.Timer(timeout or 0, process.terminate)
        if timeout is not None:
            late.start()
        try:
            for line in process.stdout:
                text = line.rstrip("\n")
                file.write(line)
                file.flush()
                lines.append(text)
                if on_line is not None:
                    on_line(text)
            return process.wait(), lines
        finally:
            timed_out = timeout is not None and late.finished.is_set()
            late.cancel()
            _end(process)
            if timed_out:
                raise UserError(
                    f"`dvc {arguments[0]}` was ended after {timeout:.0f} s in {root}.",
                    "Give it more time; the next run continues where this one was.",
                )


def repro(
    root: Path,
    targets: Sequence[str] = (),
    on_line: OnLine | None = None,
    wait: float = 10.0,
    timeout: float | None = None,
    alone: bool = False,
) -> Reproduced:
    """Run the graph (or up to `targets`), for at most `timeout` seconds.

    With `alone`, `targets` in their order and no stage before them, which another machine has run.
    Raises `UserError` with the failed stage's own words.
    """
    how = ["--single-item"] if alone else []
    with exclusive(root, wait):
        status, lines = run_dvc(root, ["repro", *how, *targets], on_line, timeout)
    result = Reproduced()
    for line in lines:
        if found := _RUNNING.search(line):
            result.ran.append(found[1])
        elif found := _SKIPPED.search(line):
            result.skipped.append(found[1])
    if status:
        raise _failure(root, result, lines)
    return result


def _failure(root: Path, result: Reproduced, lines: list[str]) -> UserError:
    log = root / ".mendline/logs/dvc-repro.log"
    remedy = (
        "Mend that and run the same command again: stages that are done are not run again. "
        f"The whole output is in {log}."
    )
    errors = [line.removeprefix("ERROR: ") for line in lines if line.startswith("ERROR: ")]
    named = next((found[1] for line in errors if (found := _FAILED.search(line))), None)
    if not result.ran or named != result.ran[-1]:
        return UserError(f"`dvc repro` failed: {' '.join(errors) or 'no message'}", remedy)
    stage = result.ran[-1]
    start = max(i for i, line in enumerate(lines) if _RUNNING.search(line))
    said = [line for line in lines[start + 1 :] if not _NOISE.match(line)]
    said = [line for line in said if not line.startswith("ERROR: failed to reproduce")]
    own = next((i for i, line in enumerate(said) if line.startswith(f"{stage}: ")), None)
    words = said[own:] if own is not None else said[-_KEPT_LINES:]
    return UserError(f"The stage {stage} failed.\n" + "\n".join(words), remedy)


def add(root: Path, path: str, on_line: OnLine | None = None) -> None:
    """`dvc add`: track an input, such as the snapshots of data/raw. Raises `UserError`."""
    _plain(root, ["add", "--quiet", path], on_line)


def push(root: Path, on_line: OnLine | None = None) -> None:
    """`dvc push` to the default remote. Raises `UserError`."""
    _plain(root, ["push", "--quiet"], on_line)


def inputs(root: Path, stages: Sequence[str]) -> list[str]:
    """Paths that `stages` read and do not make, of those that DVC keeps."""
    graph = yaml.safe_load((root / "dvc.yaml").read_text("utf-8"))["stages"]
    read = {path for name in stages for path in graph[name].get("deps", [])}
    others = [graph[name] for name in graph.keys() - set(stages)]
    kept = {
        next(iter(out)) if isinstance(out, dict) else out  # a path with how it is kept, or a path
        for stage in others
        for out in stage.get("outs", [])
    }
    return sorted(path for path in read if path in kept or (root / f"{path}.dvc").exists())


def written(root: Path) -> list[str]:
    """What `dvc repro` writes of all that Git keeps: dvc.lock, and outputs that DVC does not."""
    graph = yaml.safe_load((root / "dvc.yaml").read_text("utf-8"))["stages"]
    outs = (
        out
        for stage in graph.values()
        for kind in ("outs", "metrics", "plots")
        for out in stage.get(kind, [])
    )
    named = (next(iter(out.items())) for out in outs if isinstance(out, dict))
    return ["dvc.lock", *(path for path, how in named if how.get("cache") is False)]


def named(root: Path) -> list[str]:
    """Paths of the graph that Git may keep: what `repro` reads, and what of `written` it makes."""
    graph = yaml.safe_load((root / "dvc.yaml").read_text("utf-8"))["stages"]
    return [*written(root), *(path for stage in graph.values() for path in stage.get("deps", []))]


def pull(root: Path, targets: Sequence[str], on_line: OnLine | None = None) -> None:
    """`dvc pull`: bring the outputs of stages, or paths, from the default remote.

    Raises `UserError`.
    """
    _plain(root, ["pull", "--quiet", *targets], on_line)


def changed(root: Path) -> list[str]:
    """The stages that `dvc repro` would look at again, by `dvc status`. Raises `UserError`."""
    status, lines = run_dvc(root, ["status", "--json"])
    if status:
        raise UserError(f"`dvc status` failed: {' '.join(lines)}", "Mend what it names.")
    return sorted(json.loads(next(line for line in lines if line.startswith("{"))))


def _plain(root: Path, arguments: list[str], on_line: OnLine | None) -> None:
    with exclusive(root):
        status, lines = run_dvc(root, arguments, on_line)
    if status:
        raise UserError(
            f"`dvc {arguments[0]}` failed: {' '.join(line for line in lines if line)}",
            "Mend what it names and run the same command again; nothing is lost.",
        )
