"""A registered version behind `mlflow models serve`."""

import base64
import io
import json
import os
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from catalog.images import encode_png
from catalog.layout import Layout
from catalog.settings import Params
from evaluation.registry.register import register_candidate
from evaluation.registry.store import Registry
from tests.evaluation.conftest import score_sharpener
from tests.evaluation.parts import photo

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


@pytest.fixture
def address(
    layout: Layout, params: Params, registry: Registry, model_folder: Callable[[int], Path]
) -> Iterator[str]:
    """Of a server of version 1."""
    out = layout.root / "results/evaluation"
    score_sharpener(layout, 100, out)
    register_candidate(layout, params, model_folder(1), out)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    mlflow = str(Path(sys.executable).with_name("mlflow"))
    command = [mlflow, "models", "serve", "-m", f"models:/{registry.name}/1", "-p", str(port)]
    process = subprocess.Popen(
        [*command, "--env-manager", "local", "-h", "127.0.0.1"],
        # Away from the repository: the model brings its own code.
        cwd=layout.root,
        env=os.environ | {"MLFLOW_TRACKING_URI": registry.uri, "PATH": _path(), "PYTHONPATH": ""},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    assert process.stdout is not None
    for line in process.stdout:
        if "Uvicorn running" in line or "Application startup complete" in line:
            break
    try:
        # Both are said a moment before it listens.
        while process.poll() is None and not _listens(port):
            pass
        yield f"http://127.0.0.1:{port}"
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _listens(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port)):
            return True
    except ConnectionRefusedError:
        return False


def _path() -> str:
    return f"{Path(sys.executable).parent}:{os.environ['PATH']}"


def ask(address: str, *rows: list[Any]) -> tuple[int, dict[str, Any]]:
    content = {"dataframe_split": {"columns": ["image", "degradation"], "data": list(rows)}}
    request = urllib.request.Request(
        f"{address}/invocations",
        json.dumps(content).encode(),
        {"Content-Type": "application/json"},
    )
    try:
        with urllib.request.urlopen(request, timeout=120) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)


def test_images_in_images_out_and_errors_in_words(address: str) -> None:
    picture = base64.b64encode(encode_png(photo(1, 40)[:, :33])).decode()
    status, found = ask(address, [picture, "noise"], [picture, "rain"])
    assert status == 200, found
    images = [
        Image.open(io.BytesIO(base64.b64decode(row["image"]))) for row in found["predictions"]
    ]
    assert [image.size for image in images] == [(33, 40), (33, 40)]
    assert np.asarray(images[0]).dtype == np.uint8

    status, found = ask(address, [picture, "snow"])
    assert status == 400 and "'snow' is no degradation" in found["message"]
    status, found = ask(address, [base64.b64encode(b"hello").decode(), "noise"])
    assert status == 400 and "not an image" in found["message"]
