"""Prefect's own server, which it starts where no other is named, ends with the process it is for.

Prefect stops it at a normal exit. After a SIGKILL it would run on, and hold the terminal's pipes
with it. So a small process waits for the end of ours (a pipe closes however a process ends) and
then ends the server.

`python own_server.py PID` is that small process.
"""

import os
import subprocess
import sys
from pathlib import Path

import psutil

_watchers: dict[int, subprocess.Popen[bytes]] = {}
"""By the server's process number; the pipe to each stays open as long as this process lives."""


def end_with_us() -> None:
    """Tie the server that Prefect started in this process, if it did, to this process's life."""
    from prefect.server.api.server import SubprocessASGIServer

    server = SubprocessASGIServer().server_process
    if server is None or server.pid in _watchers:
        return
    _watchers[server.pid] = subprocess.Popen(
        [sys.executable, str(Path(__file__)), str(server.pid)],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        # A Ctrl-C in the terminal must not take the watcher before the server.
        start_new_session=True,
    )


def _watch(pid: int) -> None:
    try:
        server = psutil.Process(pid)
        os.read(0, 1)
        server.terminate()
        server.wait(5)
    except psutil.TimeoutExpired:
        server.kill()
    except psutil.NoSuchProcess:
        return


if __name__ == "__main__":
    _watch(int(sys.argv[1]))
