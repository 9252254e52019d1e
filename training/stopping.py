"""SIGTERM and Ctrl-C as a request to stop after the current step."""

import signal
import threading
from types import FrameType, TracebackType
from typing import Any


class Stopped(Exception):
    """What was under way is left for the next start."""


class StopRequest:
    """While entered, SIGTERM and SIGINT set `signal` instead of ending the process.

    A second SIGINT ends it at once. Outside the main thread, where Python allows no handlers,
    nothing changes.
    """

    def __init__(self) -> None:
        self.signal: int | None = None
        self._before: dict[int, Any] = {}

    def __enter__(self) -> "StopRequest":
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGTERM, signal.SIGINT):
                self._before[number] = signal.signal(number, self._handle)
        return self

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if self.signal == signal.SIGINT == number:
            raise KeyboardInterrupt
        self.signal = number

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._before.clear()

    @property
    def status(self) -> int:
        """128 plus the signal (SIGTERM where another process got it)."""
        return 128 + (self.signal or signal.SIGTERM)
