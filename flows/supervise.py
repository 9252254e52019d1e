"""Runs a command so that nothing of it outlives the process that asked for it.

`python supervise.py COMMAND...` leads a session of its own. It reads standard input, whose
other end only the asking process holds: when that process ends in any way, SIGKILL included, the
pipe closes and the whole process group is killed. Killing `dvc` alone would leave the stage that
it started writing. (A pipe works on every POSIX system and, unlike PR_SET_PDEATHSIG, does not
fire when merely the asking thread ends.)
"""

import os
import signal
import subprocess
import sys
import threading
import time
from types import FrameType

GRACE = 10.0
"""Seconds between SIGTERM and SIGKILL: a training stage saves its state in them."""


def _others_in_group() -> bool:
    import psutil

    for process in psutil.process_iter():
        try:
            if (
                process.pid != os.getpid()
                and os.getpgid(process.pid) == os.getpgid(0)
                and process.status() != psutil.STATUS_ZOMBIE
            ):
                return True
        except (ProcessLookupError, psutil.Error):
            continue
    return False


def _end_group(ended: threading.Event) -> None:
    """SIGTERM to all of the group, then SIGKILL to who is left, ourselves included."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    os.killpg(0, signal.SIGTERM)
    deadline = time.monotonic() + GRACE
    # dvc itself dies at once, the stage below it may still be saving.
    while time.monotonic() < deadline and not (ended.is_set() and not _others_in_group()):
        time.sleep(0.05)
    os.killpg(0, signal.SIGKILL)


def main(command: list[str]) -> int:
    """Run `command`; return its exit status."""
    if os.getpgid(0) != os.getpid():
        raise SystemExit("This must lead a session: start it with start_new_session.")
    stop, ended = threading.Event(), threading.Event()

    def on_signal(_number: int, _frame: FrameType | None) -> None:
        stop.set()

    signal.signal(signal.SIGTERM, on_signal)
    signal.signal(signal.SIGINT, on_signal)
    child = subprocess.Popen(command, stdin=subprocess.DEVNULL)

    def watch_parent() -> None:
        os.read(0, 1)
        stop.set()

    def watch_child() -> None:
        child.wait()
        ended.set()
        stop.set()

    for watch in (watch_parent, watch_child):
        threading.Thread(target=watch, daemon=True).start()
    stop.wait()
    if not ended.is_set():
        _end_group(ended)
    return child.returncode if child.returncode >= 0 else 128 - child.returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
