"""Structured logs on standard error: for people, or JSON lines with MENDLINE_LOG=json."""

import os
import sys
from functools import lru_cache
from typing import Any


@lru_cache(maxsize=1)
def _configure() -> None:
    import structlog

    json_lines = os.environ.get("MENDLINE_LOG") == "json"
    renderer: Any = (
        structlog.processors.JSONRenderer()
        if json_lines
        else structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())
    )
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper("iso" if json_lines else "%H:%M:%S", utc=json_lines),
            structlog.processors.format_exc_info,
            renderer,
        ],
        # Looked up at each call, so that a redirected stderr (tests, flows) is honoured.
        logger_factory=lambda *_: structlog.PrintLogger(sys.stderr),
        cache_logger_on_first_use=False,
    )


def logger(name: str) -> Any:
    """A structlog logger bound to the module `name`; call `.info("event", key=value)`."""
    import structlog

    _configure()
    return structlog.get_logger().bind(module=name)
