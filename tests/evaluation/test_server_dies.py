"""An `mlflow server` that is killed in the middle of a promotion, and the same command after it."""

import signal
import socket
import subprocess
import threading

import pytest

from catalog.errors import UserError
from catalog.layout import Layout
from catalog.settings import Params
from evaluation.registry import decisions
from evaluation.registry.records import records
from evaluation.registry.store import Registry
from tests.evaluation.mlflow_server import free_port, kill, mlflow_server
from tests.evaluation.registering import bare_version

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


class Wire:
    """A TCP forwarder that kills the server at the first request which holds `word`.

    With `after`, the request is let through and the server dies before its answer is passed on.
    """

    def __init__(
        self, port: int, server: subprocess.Popen[bytes], word: bytes, after: bool
    ) -> None:
        self.target, self.server, self.word, self.after = port, server, word, after
        self.doomed = False
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self.listener.getsockname()[1])
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self.listener.accept()
                server = socket.create_connection(("127.0.0.1", self.target))
            except OSError:
                return
            for one, other, out in ((client, server, True), (server, client, False)):
                threading.Thread(target=self._pump, args=(one, other, out), daemon=True).start()

    def _pump(self, one: socket.socket, other: socket.socket, out: bool) -> None:
        try:
            while data := one.recv(1 << 16):
                if self.doomed and not out:
                    break
                if out and self.word in data:
                    self.doomed = True
                    if not self.after:
                        break
                other.sendall(data)
        except OSError:
            pass
        if self.doomed:
            kill(self.server)
            self.listener.close()
        for end in (one, other):
            end.close()


@pytest.mark.parametrize(
    ("word", "after", "champion", "kinds"),
    [
        # While the record is written; before the champion moves; after it, unanswered.
        (b"registered-models/set-tag", False, "1", ["approve", "approve"]),
        (b"registered-models/alias", False, "1", ["approve", "approve", "void", "approve"]),
        (b"registered-models/alias", True, "2", ["approve", "approve"]),
    ],
)
def test_a_server_killed_in_the_middle_of_a_promotion(
    layout: Layout,
    params: Params,
    registry: Registry,
    monkeypatch: pytest.MonkeyPatch,
    word: bytes,
    after: bool,
    champion: str,
    kinds: list[str],
) -> None:
    first, second = bare_version(registry), bare_version(registry, champion_seen="1")
    decisions.approve(layout, params, first, "Ada")
    port = free_port()
    with mlflow_server(registry, port) as server:
        wire = Wire(port, server, word, after)
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{wire.port}")
        with pytest.raises(UserError, match="failed") as info:
            decisions.approve(layout, params, second, "Ada")
        assert "run the same command again" in info.value.remedy
        assert server.wait(30) == -signal.SIGKILL
    assert registry.champion() == champion, "the store itself, without a server"

    again = free_port()
    with mlflow_server(registry, again):
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{again}")
        if after:
            with pytest.raises(UserError, match="is the champion already"):
                decisions.approve(layout, params, second, "Ada")
        else:
            decisions.approve(layout, params, second, "Ada")
    assert registry.aliases() == {"champion": second, "previous": first}
    assert [record.kind for record in records(registry)] == kinds
