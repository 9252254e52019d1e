"""Judges by name: the embedded one, Qwen3-VL, or a server."""

from pathlib import Path

from networks.interfaces import Judge
from networks.names import unknown

NAMES = ("proxy", "qwen3-vl:FOLDER", "openai:MODEL@URL")


def load_judge(name: str) -> Judge:
    """Load a judge by name.

    "proxy" is the embedded one. "qwen3-vl:FOLDER" runs a Qwen3-VL checkpoint here.
    "openai:MODEL@URL" asks an OpenAI-compatible server, such as
    "openai:Qwen/Qwen3-VL-8B-Instruct@http://127.0.0.1:8000/v1". The latter two take the released
    evaluator's prompt; "qwen3-vl+paper:..." and "openai+paper:..." take the paper's. A server's
    model may be followed by #REVISION, by which answers of other weights are told apart.
    Raises `UserError` for anything else.
    """
    if name == "proxy":
        from networks.judges.proxy.judge import ProxyJudge

        return ProxyJudge()
    kind, _, rest = name.partition(":")
    kind, _, prompt = kind.partition("+")
    if kind not in ("qwen3-vl", "openai") or not rest:
        raise unknown("judge", name, NAMES)
    from networks.judges.vlm.cache import AnswerCache, default_place

    cache = AnswerCache(default_place())
    if kind == "qwen3-vl":
        from networks.judges.vlm.qwen import Qwen3VlJudge

        return Qwen3VlJudge(Path(rest).expanduser(), prompt or "released", cache)
    from networks.judges.vlm.server import ServerJudge

    model, _, url = rest.rpartition("@")
    return ServerJudge(url, model, prompt or "released", cache)
