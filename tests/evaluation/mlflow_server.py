"""A real `mlflow server` on a work tree's store."""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

from evaluation.registry.store import Registry


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


@contextmanager
def mlflow_server(registry: Registry, port: int) -> Iterator[subprocess.Popen[bytes]]:
    """`mlflow server` on the work tree's SQLite store, in a session of its own."""
    command = [str(Path(sys.executable).with_name("mlflow")), "server", "--workers", "1"]
    store = ["--backend-store-uri", registry.uri, "--host", "127.0.0.1", "--port", str(port)]
    process = subprocess.Popen(
        [*command, *store],
        cwd=registry.layout.root,
        env=os.environ | {"MLFLOW_TRACKING_URI": ""},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        transport = httpx.HTTPTransport(retries=0)
        with httpx.Client(transport=transport, timeout=5) as client:
            while True:  # until it answers; the test's own limit of time holds
                assert process.poll() is None, "the server ended"
                try:
                    if client.get(f"http://127.0.0.1:{port}/health").is_success:
                        break
                except httpx.TransportError:
                    continue
        yield process
    finally:
        kill(process)


def kill(process: subprocess.Popen[bytes]) -> None:
    """SIGKILL the server with its workers."""
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        return
    process.wait()
