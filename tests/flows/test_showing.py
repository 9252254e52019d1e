"""Where the demo says that things are."""

from pathlib import Path

import pytest
from prefect.settings import PREFECT_API_URL, temporary_settings

from flows.showing import mlflow_at, prefect_at
from flows.workspace import Workspace


@pytest.fixture
def tree(tmp_path: Path) -> Workspace:
    return Workspace(tmp_path)


@pytest.mark.parametrize(
    ("server", "said"),
    [
        ("", "mlflow ui --backend-store-uri sqlite:///{root}/mlflow/mlflow.db"),
        ("https://ada:geheim@mlflow.example/x", "https://mlflow.example/x"),
        (
            "postgresql+psycopg://ada:geheim@db.example/mlflow",
            "mlflow ui --backend-store-uri postgresql+psycopg://ada:***@db.example/mlflow",
        ),
    ],
)
def test_the_registry_is_the_one_that_was_used(
    tree: Workspace, monkeypatch: pytest.MonkeyPatch, server: str, said: str
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", server)
    assert mlflow_at(tree) == said.format(root=tree.root)


def test_prefects_server_is_the_one_that_was_used(
    tree: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PREFECT_HOME", raising=False)
    with temporary_settings({PREFECT_API_URL: None}):
        own = f"PREFECT_HOME={tree.root}/.mendline/prefect prefect server start"
        assert prefect_at(tree) == own
    with temporary_settings({PREFECT_API_URL: "http://127.0.0.1:4299/api"}):
        assert prefect_at(tree) == "http://127.0.0.1:4299"
