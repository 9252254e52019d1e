"""The connection to MLflow: an embedded SQLite store, or the server of MLFLOW_TRACKING_URI."""

import logging
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
os.environ.setdefault("MLFLOW_ALLOW_PICKLE_DESERIALIZATION", "false")
os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")
# It says twice a registration where the run is, in the middle of what our commands print.
os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")

import mlflow
from mlflow import MlflowClient
from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException

from catalog.errors import UserError
from catalog.layout import Layout

EXPERIMENT = "mendline"
CANDIDATE, CHAMPION, PREVIOUS = "candidate", "champion", "previous"
TAG = "mendline."
"""Prefix of our tags on runs, models and versions."""


UNDECIDED = ("registered", "gated")
"""States of versions that no one decided on yet."""


@dataclass(frozen=True)
class Version:
    """One version of the registered model."""

    number: str
    run_id: str
    tags: Mapping[str, str]
    """Our tags, without their prefix."""

    @classmethod
    def of(cls, found: ModelVersion) -> "Version":
        """From MLflow's entity, whose version is text in some stores and a number in others."""
        tags = {
            key.removeprefix(TAG): str(value)
            for key, value in found.tags.items()
            if key.startswith(TAG)
        }
        return cls(str(found.version), str(found.run_id), tags)


@dataclass(frozen=True)
class Registry:
    """One registered model in one store."""

    uri: str
    name: str
    layout: Layout
    client: MlflowClient

    @property
    def reports(self) -> Path:
        """Folder of local copies of the gate's reports."""
        return self.layout.mlflow_database.parent / "reports"

    def experiment(self) -> str:
        """Id of the experiment, made where it is missing; artifacts lie beside an SQLite store."""
        found = self.client.get_experiment_by_name(EXPERIMENT)
        if found is not None:
            return found.experiment_id
        place = None
        if self.uri.startswith("sqlite:"):
            place = (self.layout.mlflow_database.parent / "artifacts").resolve().as_uri()
        return self.client.create_experiment(EXPERIMENT, artifact_location=place)

    def aliases(self) -> dict[str, str]:
        """Alias to version, read from the store now; empty when nothing is registered."""
        try:
            return {
                alias: str(version)
                for alias, version in self.client.get_registered_model(self.name).aliases.items()
            }
        except MlflowException as error:
            if error.error_code == "RESOURCE_DOES_NOT_EXIST":
                return {}
            raise

    def champion(self) -> str | None:
        """The champion's version now."""
        return self.aliases().get(CHAMPION)

    def versions(self) -> list[Version]:
        """All versions, newest first."""
        found: list[Version] = []
        token: str | None = None
        while True:
            page = self.client.search_model_versions(
                f"name = '{self.name}'", max_results=200, page_token=token
            )
            found += map(Version.of, page)
            token = page.token
            if not token:
                return sorted(found, key=lambda version: -int(version.number))

    def version(self, number: str | int) -> Version:
        """One version. Raises `UserError` for one that does not exist."""
        try:
            return Version.of(self.client.get_model_version(self.name, str(number)))
        except MlflowException as error:
            if error.error_code not in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
                raise
            have = ", ".join(version.number for version in self.versions()) or "none"
            raise UserError(
                f"There is no version {number} of {self.name}; there are: {have}.",
                "`mendline review` lists the versions that wait.",
            ) from error

    def find(self, number: str) -> Version | None:
        """One version; None for one that was deleted."""
        try:
            return self.version(number)
        except UserError:
            return None

    def tag(self, version: str, **values: str) -> None:
        """Set tags of a version, with our prefix."""
        for key, value in values.items():
            self.client.set_model_version_tag(self.name, version, TAG + key, value)

    @contextmanager
    def active(self) -> Iterator[None]:
        """MLflow's fluent functions use this store inside the block."""
        with using(self.uri):
            yield

    @contextmanager
    def reachable(self) -> Iterator[None]:
        """Turn a store that does not answer into a `UserError`."""
        import requests
        import sqlalchemy.exc

        try:
            yield
        except (requests.RequestException, sqlalchemy.exc.OperationalError) as error:
            raise self._down(error) from error
        except MlflowException as error:
            raise self._down(error) from error

    def check_run(self, run_id: str) -> None:
        """Raise `UserError` where the store has no such run, or does not answer."""
        with self.reachable():
            try:
                self.client.get_run(run_id)
            except MlflowException as error:
                if error.error_code not in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
                    raise
                raise UserError(
                    f"{public(self.uri)} has no run {run_id!r}.",
                    "Make one with `mlflow runs create --experiment-id ID` in the same store and "
                    "give its id, or leave --run out.",
                ) from error

    def _down(self, error: Exception) -> UserError:
        said = without_passwords(str(error))
        first = said.splitlines()[0][:300] if said else type(error).__name__
        return UserError(
            f"The registry {public(self.uri)} failed: {first}",
            "Nothing is promoted by half: the champion is the one before or the one named in the "
            "last record. Bring the registry back and run the same command again.",
        )


@contextmanager
def using(uri: str) -> Iterator[None]:
    """MLflow's fluent functions use the store `uri` inside the block, then no more."""
    names = ("MLFLOW_TRACKING_URI", "MLFLOW_REGISTRY_URI")
    before = {name: os.environ.get(name) for name in names}
    mlflow.set_tracking_uri(uri)
    mlflow.set_registry_uri(uri)
    try:
        yield
    finally:
        # Not "": that would hide the environment from all that comes after.
        mlflow.set_tracking_uri(None)  # type: ignore[arg-type]
        mlflow.set_registry_uri(None)  # type: ignore[arg-type]
        # MLflow also puts its address into the environment, for subprocesses.
        for name, value in before.items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value


def without_passwords(text: str) -> str:
    """`text` with addresses in it cut as `public` cuts one: MLflow's errors quote the store's."""
    return re.sub(r"(\w://)[^\s/@]*@", r"\1", text)


def public(uri: str) -> str:
    """A store's address without the password that it may hold."""
    import sqlalchemy.engine

    if "://" not in uri or uri.startswith("http"):
        scheme, _, rest = uri.rpartition("://")
        return f"{scheme}://{rest.rpartition('@')[2]}" if scheme else uri
    return sqlalchemy.engine.make_url(uri).render_as_string(hide_password=True)


def connect(layout: Layout, name: str) -> Registry:
    """The store of MLFLOW_TRACKING_URI, or SQLite below `layout`. Raises `UserError`."""
    logging.getLogger("mlflow").setLevel(logging.WARNING)
    logging.getLogger("alembic").setLevel(logging.WARNING)
    uri = os.environ.get("MLFLOW_TRACKING_URI", "")
    if not uri:
        layout.mlflow_database.parent.mkdir(parents=True, exist_ok=True)
        uri = f"sqlite:///{layout.mlflow_database.resolve()}"
    return Registry(uri, name, layout, _client(uri))


def _client(uri: str) -> MlflowClient:
    """A client of the store `uri`. Raises `UserError` where there can be none."""
    import sqlalchemy.exc

    try:
        return MlflowClient(uri, registry_uri=uri)
    except (MlflowException, sqlalchemy.exc.SQLAlchemyError, ImportError) as error:
        said = without_passwords(str(error)).strip().splitlines() or [type(error).__name__]
        raise UserError(
            f"MLflow cannot open the registry {public(uri)}: {said[0][:300]}",
            "MLFLOW_TRACKING_URI names it: http://HOST:PORT of a server, postgresql://... or "
            "sqlite:////PATH/mlflow.db; unset, it is mlflow/mlflow.db of the work tree.",
        ) from error
