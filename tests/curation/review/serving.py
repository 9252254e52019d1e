"""`mendline review-pairs` as a process over a small work tree."""

import io
import os
import shutil
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import numpy as np
from PIL import Image

from catalog import images, schemas
from catalog.layout import Layout
from catalog.pairs import pair_id
from catalog.shards import ShardWriter
from catalog.tables import write_table

REPOSITORY = Path(__file__).parents[3]
PAIRS = 12


def make_tree(root: Path, count: int = PAIRS) -> Layout:
    layout = Layout(root)
    shutil.copy(REPOSITORY / "profiles/embedded.yaml", root / "params.yaml")
    rows = []
    rng = np.random.default_rng(0)
    with ShardWriter(layout.raw / "s") as raw, ShardWriter(layout.targets) as targets:
        for number in range(count):
            ids = []
            for writer, kind in ((raw, "TIFF"), (targets, "PNG")):
                buffer = io.BytesIO()
                noise = rng.integers(0, 256, (48, 64, 3), dtype=np.uint8)
                Image.fromarray(noise).save(buffer, kind)
                data = buffer.getvalue()
                ids.append(writer.add(data, images.read_header(data)))
            rows.append(
                {
                    "pair_id": pair_id(ids[0], ids[1], "haze"),
                    "degraded_id": ids[0],
                    "clean_id": ids[1],
                    "degradation": "haze" if number % 3 else "noise",
                    "origin": "real",
                    "teacher": "classical",
                    "verdict": "keep",
                    "reason": "sound",
                    "severity_degraded": 2.0,
                    "severity_clean": 2.4 + 0.1 * number,
                    "consistency": 0.1,
                    "shift": 0.0,
                }
            )
    write_table(layout.real_pairs, rows, schemas.PAIRS)
    return layout


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Running:
    """`mendline review-pairs` as a process."""

    def __init__(self, root: Path, *options: str, port: int = 0, **environment: str) -> None:
        self.port = port or _free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        code = "from flows.cli import main; main()"
        command = [sys.executable, "-c", code, "review-pairs", "--port", str(self.port)]
        self.process = subprocess.Popen(
            [*command, "--root", str(root), *options],
            env=os.environ | {"PYTHONPATH": str(REPOSITORY)} | environment,
        )
        while True:
            try:
                httpx.get(self.url, timeout=30)
                return
            except httpx.TransportError:
                try:
                    ended = self.process.wait(0.05)
                except subprocess.TimeoutExpired:
                    continue
                raise AssertionError(f"the server ended with {ended}") from None

    def call(self, method: str, path: str, reviewer: str | None = "ann", **more: Any) -> Any:
        headers = {"X-Mendline-Reviewer": reviewer} if reviewer else {}
        headers |= more.pop("headers", {})
        return httpx.request(method, self.url + path, headers=headers, timeout=60, **more)

    def kill(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()
