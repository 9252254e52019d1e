"""Where Prefect keeps its state, and no telemetry. To be called before Prefect is imported."""

import os
from pathlib import Path

from catalog.errors import UserError

_QUIET = {
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "PREFECT_CLI_PROMPT": "false",
    "DO_NOT_TRACK": "true",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_ALLOW_PICKLE_DESERIALIZATION": "false",
    "DVC_NO_ANALYTICS": "1",
    "HF_HUB_OFFLINE": "1",
}
_CHOSEN = ("PREFECT_API_URL", "PREFECT_HOME", "PREFECT_PROFILE", "PREFECT_PROFILES_PATH")


def prepare(root: Path, quiet: bool = False) -> None:
    """Keep Prefect's database and profiles inside the work tree, unless a person chose otherwise.

    A server that PREFECT_API_URL names is used; without one Prefect starts its own, for as long as
    the process lives. `quiet` keeps Prefect's lines from the terminal: they stay in its database.
    """
    for name, value in _QUIET.items():
        os.environ.setdefault(name, value)
    if not any(os.environ.get(name) for name in _CHOSEN):
        os.environ["PREFECT_HOME"] = str(prefect_home(root))
        os.environ.setdefault("PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS", "300")
    if quiet:
        os.environ.setdefault("PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL", "CRITICAL")


def prefect_home(root: Path) -> Path:
    """Prefect's folder of a work tree."""
    return root.resolve() / ".mendline/prefect"


def has_server() -> bool:
    """Whether a real Prefect server is used: schedules and approvals need one."""
    from prefect.settings import PREFECT_API_URL

    return bool(PREFECT_API_URL.value())


def check_server() -> None:
    """Raise `UserError` where a server is named and does not answer.

    Prefect itself tries for a minute, and ends with a traceback.
    """
    import httpx
    from prefect.settings import PREFECT_API_URL

    url = PREFECT_API_URL.value()
    if not url:
        return
    try:
        httpx.get(f"{url}/health", timeout=10).raise_for_status()
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise UserError(
            f"The Prefect server {url} does not answer: {error}.",
            "Start it (`prefect server start`), or unset PREFECT_API_URL: then one is started "
            "for as long as the command runs.",
        ) from error
