"""Who hears what a flow is doing: a callback, since a flow's parameters must be plain data."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

Listener = Callable[[str, str], None]
"""Called with the step's name, such as "collect" or "dvc", and a line of its output."""

_listener: ContextVar[Listener | None] = ContextVar("listener", default=None)


@contextmanager
def listening(listener: Listener) -> Iterator[None]:
    """Flows called inside the block tell `listener` how they get on."""
    token = _listener.set(listener)
    try:
        yield
    finally:
        _listener.reset(token)


def tell(step: str, line: str = "") -> None:
    """Say what is being done."""
    listener = _listener.get()
    if listener is not None:
        listener(step, line)
