"""Fixtures that all tests share."""

import os
import signal
import sys
from pathlib import Path

import pytest

# Before any library reads them: no telemetry, no model hub.
os.environ.update(
    HF_HUB_OFFLINE="1",
    DO_NOT_TRACK="1",
    DVC_NO_ANALYTICS="1",
    MLFLOW_DISABLE_TELEMETRY="true",
    MLFLOW_ALLOW_PICKLE_DESERIALIZATION="false",
    PREFECT_SERVER_ANALYTICS_ENABLED="false",
)
# As on most machines: what Python keeps beside code must not be taken for part of it.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False
# A shell without job control starts what it puts into the background deaf to Ctrl-C, and so would
# be all that tests start.
signal.signal(signal.SIGINT, signal.default_int_handler)
if "PYTEST_XDIST_WORKER" in os.environ:
    # Several workers with a thread for every core each wait for one another: half the speed.
    os.environ.setdefault("OMP_NUM_THREADS", "1")


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The measurement images beside the repository; the test is skipped where they are absent."""
    folder = Path(__file__).parents[1] / "../shared/data"
    if not folder.is_dir():
        pytest.skip("the measurement images (../shared/data) are not on this machine")
    return folder.resolve()
