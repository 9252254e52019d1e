"""The record of decisions, and the reports that they rest on.

Every decision is a record: a tag `mendline.decision.00001` of the registered model, JSON, each
holding the SHA-256 of the one before; the tag `mendline.decided` holds that of the last one that
was carried out to its end. So a missing or edited record shows.
"""

import datetime
import hashlib
import json
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from mlflow.exceptions import MlflowException

from catalog.errors import UserError
from evaluation.registry.store import TAG, Registry, Version

_PREFIX = f"{TAG}decision."
_DONE = f"{TAG}decided"
_LONGEST = 1500
NONE = "none"


@dataclass(frozen=True)
class Record:
    """One entry of the append-only record."""

    number: int
    kind: str
    """approve, reject, rollback; void (interrupted before it took effect); moved (an alias was
    moved by other hands)."""
    version: str
    champion_before: str
    champion_after: str
    previous_after: str
    by: str
    reason: str
    verdict: str
    report_sha256: str
    at: str
    parent: str
    """SHA-256 of the record before; "none" for the first."""

    def as_text(self) -> str:
        """Canonical JSON."""
        return json.dumps(asdict(self), sort_keys=True, ensure_ascii=False)

    @property
    def digest(self) -> str:
        """SHA-256 of the text, the next record's `parent`."""
        return hashlib.sha256(self.as_text().encode()).hexdigest()


def records(registry: Registry) -> list[Record]:
    """All records in order. Raises `UserError` when one is missing or was edited."""
    tags = model_tags(registry)
    found: list[Record] = []
    parents = [NONE]
    for index, key in enumerate(sorted(key for key in tags if key.startswith(_PREFIX)), 1):
        try:
            record = Record(**json.loads(tags[key]))
        except (ValueError, TypeError):
            raise _changed(registry, f"entry {index} is no record") from None
        if record.number != index or record.parent != parents[-1]:
            raise _changed(registry, f"entry {index} does not follow from the one before")
        found.append(record)
        parents.append(record.digest)
    # At most the last one is not carried out; a registry of before has no such tag.
    if tags.get(_DONE, parents[-1]) not in parents[-2:]:
        raise _changed(registry, f"entry {len(found)} is not the one that was carried out")
    return found


def model_tags(registry: Registry) -> dict[str, str]:
    """Those of the registered model; none where nothing is registered."""
    try:
        return dict(registry.client.get_registered_model(registry.name).tags)
    except MlflowException as error:
        if error.error_code == "RESOURCE_DOES_NOT_EXIST":
            return {}
        raise


def _changed(registry: Registry, how: str) -> UserError:
    return UserError(
        f"The record of decisions of {registry.name} was changed: {how}.",
        "Compare the tags mendline.decision.* of the registered model with a backup of the "
        "store; nothing is promoted until they are whole again.",
    )


def is_done(registry: Registry, record: Record) -> bool:
    """Whether the last record was carried out to its end."""
    return model_tags(registry).get(_DONE) == record.digest


def set_done(registry: Registry, record: Record) -> None:
    """Say that a record was carried out to its end."""
    registry.client.set_registered_model_tag(registry.name, _DONE, record.digest)


def append(
    registry: Registry,
    past: Sequence[Record],
    kind: str,
    version: str,
    champion_before: str | None,
    champion_after: str | None,
    previous_after: str | None,
    by: str,
    reason: str,
) -> Record:
    """Write the next record to the registered model; return it. Under the lock."""
    found = registry.find(version)
    tags = found.tags if found else {}
    record = Record(
        number=len(past) + 1,
        kind=kind,
        version=version,
        champion_before=champion_before or NONE,
        champion_after=champion_after or NONE,
        previous_after=previous_after or NONE,
        by=by,
        reason=reason[:_LONGEST],
        verdict=tags.get("verdict", NONE),
        report_sha256=tags.get("report_sha256", NONE),
        at=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        parent=past[-1].digest if past else NONE,
    )
    registry.client.set_registered_model_tag(
        registry.name, f"{_PREFIX}{record.number:05d}", record.as_text()
    )
    return record


def read_report(registry: Registry, version: Version, path: str | None = None) -> bytes | None:
    """A report as it lies in the store now (the gate's last); None where it is gone.

    `path` is that of an earlier report, as an artifact of the version's run.
    """
    with tempfile.TemporaryDirectory() as folder:
        try:
            found = registry.client.download_artifacts(
                version.run_id, path or version.tags["report_path"], folder
            )
        except (MlflowException, OSError, KeyError):
            return None
        return Path(found).read_bytes()


def report_state(registry: Registry, record: Record) -> str:
    """Whether the report that a decision rested on is still the one that was read."""
    if record.report_sha256 == NONE:
        return ""
    version = registry.find(record.version)
    if version is None:
        return "gone"
    same = version.tags.get("report_sha256") == record.report_sha256
    path = None if same else report_path(record.report_sha256)
    found = read_report(registry, version, path)
    if found is None:
        return "gone"
    same = hashlib.sha256(found).hexdigest() == record.report_sha256
    return "as it was read" if same else "CHANGED since"


def report_path(digest: str) -> str:
    """The artifact of a report: one a report, so that an earlier verdict stays readable."""
    return f"report/{digest[:12]}/report.html"
