"""A headless Chromium, driven by the DevTools protocol."""

import json
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from websockets.sync.client import ClientConnection, connect

CHROMIUM = (
    shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
)
_FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--no-first-run",
    "--hide-scrollbars",
    "--remote-debugging-port=0",
    "--window-size=1280,1600",
)


class Page:
    """One page: commands in, events kept."""

    def __init__(self, socket: ClientConnection) -> None:
        self._socket = socket
        self._count = 0
        self.events: list[dict[str, Any]] = []

    def send(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Run a command; return its result."""
        self._count += 1
        message = {"id": self._count, "method": method, "params": parameters}
        self._socket.send(json.dumps(message))
        while True:
            answer = json.loads(self._socket.recv(timeout=120))
            if answer.get("id") == self._count:
                assert "error" not in answer, answer
                return answer["result"]
            self.events.append(answer)

    def wait_for(self, event: str) -> None:
        """Return when `event` has come."""
        while not any(found.get("method") == event for found in self.events):
            self.events.append(json.loads(self._socket.recv(timeout=120)))

    def run(self, script: str) -> Any:
        """Evaluate an expression; promises are awaited."""
        found = self.send(
            "Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True
        )
        assert "exceptionDetails" not in found, found["exceptionDetails"]
        return found["result"].get("value")

    def press(self, key: str, code: int, text: str = "") -> None:
        """Press and release a key."""
        common = {"key": key, "code": key, "windowsVirtualKeyCode": code}
        self.send("Input.dispatchKeyEvent", type="keyDown", text=text, **common)
        self.send("Input.dispatchKeyEvent", type="keyUp", **common)

    def open(self, path: Path) -> None:
        """Load a file and wait until it is complete; earlier events are forgotten."""
        self.events.clear()
        for domain in ("Page", "Runtime", "Network", "Log"):
            self.send(f"{domain}.enable")
        self.send("Page.navigate", url=path.resolve().as_uri())
        self.wait_for("Page.loadEventFired")


@contextmanager
def chromium(profile: Path) -> Iterator[Page]:
    """Start Chromium and yield its page; `profile` is its folder of settings."""
    assert CHROMIUM is not None
    process = subprocess.Popen(
        [CHROMIUM, *_FLAGS, f"--user-data-dir={profile}", "about:blank"],
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stderr is not None
        line = next(line for line in process.stderr if "DevTools listening on" in line)
        address = line.split()[-1]
        with connect(address, max_size=2**28) as root:
            root.send(json.dumps({"id": 1, "method": "Target.getTargets"}))
            answer: dict[str, Any] = {}
            while answer.get("id") != 1:
                answer = json.loads(root.recv(timeout=60))
        target = next(t for t in answer["result"]["targetInfos"] if t["type"] == "page")
        host = address.split("/devtools/")[0]
        with connect(f"{host}/devtools/page/{target['targetId']}", max_size=2**28) as socket:
            yield Page(socket)
    finally:
        process.kill()
        process.wait()
