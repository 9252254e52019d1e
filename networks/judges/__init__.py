"""Judges by name: the embedded one, Qwen3-VL, or a server."""

from networks.interfaces import Judge
from networks.names import unknown

NAMES = ("proxy",)


def load_judge(name: str) -> Judge:
    """Load the judge called `name`, one of `NAMES`. Raises `UserError` for another name."""
    if name == "proxy":
        from networks.judges.proxy.judge import ProxyJudge

        return ProxyJudge()
    raise unknown("judge", name, NAMES)
