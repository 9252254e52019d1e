"""What other hands do to the store: delete versions, edit tags, move aliases, kill."""

import json
from collections.abc import Callable

import pytest

from catalog.errors import UserError
from catalog.layout import Layout
from catalog.settings import Params
from evaluation.registry import decisions
from evaluation.registry.listing import decided_table
from evaluation.registry.records import append, records, report_state
from evaluation.registry.store import TAG, Registry
from flows.gating import run_gate
from tests.evaluation.registering import bare_version, gated, kinds

LAST = f"{TAG}decision.00002"


def test_a_deleted_previous_champion_stops_no_decision(
    layout: Layout, params: Params, registry: Registry
) -> None:
    first, second, third = (bare_version(registry) for _ in range(3))
    decisions.approve(layout, params, first, "Ada")
    gated(registry, second, first)
    decisions.approve(layout, params, second, "Ada")
    registry.client.delete_model_version(registry.name, first)
    with pytest.raises(UserError, match="no previous champion"):
        decisions.rollback(layout, params, "Ada")
    gated(registry, third, second)
    decisions.approve(layout, params, third, "Ada")
    assert registry.aliases() == {"champion": third, "previous": second}
    assert report_state(registry, records(registry)[0]) == "gone"
    decided_table(layout, params)


def test_a_deleted_champion_is_recorded_and_stops_no_decision(
    layout: Layout, params: Params, registry: Registry
) -> None:
    first, second = (bare_version(registry) for _ in range(2))
    decisions.approve(layout, params, first, "Ada")
    registry.client.delete_model_version(registry.name, first)
    decisions.approve(layout, params, second, "Ada")
    assert [record.kind for record in records(registry)] == ["approve", "moved", "approve"]
    assert registry.aliases() == {"champion": second}


def test_a_champion_moved_back_by_hand_was_not_an_interruption(
    layout: Layout, params: Params, registry: Registry
) -> None:
    first, second = (bare_version(registry) for _ in range(2))
    decisions.approve(layout, params, first, "Ada")
    gated(registry, second, first)
    decisions.approve(layout, params, second, "Ada")
    registry.client.set_registered_model_alias(registry.name, "champion", first)
    decisions.reject(layout, params, second, "Ada", "halos")
    assert [record.kind for record in records(registry)] == [
        "approve",
        "approve",
        "moved",
        "reject",
    ]


def _edit(registry: Registry, text: str) -> None:
    registry.client.set_registered_model_tag(registry.name, LAST, text.replace("Ben", "Eve"))


def _delete(registry: Registry, text: str) -> None:
    registry.client.delete_registered_model_tag(registry.name, LAST)


def _break(registry: Registry, text: str) -> None:
    registry.client.set_registered_model_tag(registry.name, LAST, text[:-9])


def _lose_a_field(registry: Registry, text: str) -> None:
    fields = json.loads(text)
    del fields["by"]
    registry.client.set_registered_model_tag(registry.name, LAST, json.dumps(fields))


@pytest.mark.parametrize("change", [_edit, _delete, _break, _lose_a_field])
def test_a_change_of_the_last_record_stops_all_promotions(
    layout: Layout, params: Params, registry: Registry, change: Callable[[Registry, str], None]
) -> None:
    first, second, third = (bare_version(registry) for _ in range(3))
    decisions.approve(layout, params, first, "Ada")
    decisions.reject(layout, params, second, "Ben", "worse")
    change(registry, registry.client.get_registered_model(registry.name).tags[LAST])
    gated(registry, third, first)
    with pytest.raises(UserError, match="record of decisions of mendline was changed"):
        decisions.approve(layout, params, third, "Ada")
    assert registry.champion() == first


def test_an_approval_killed_after_the_champion_moved_is_finished(
    layout: Layout, params: Params, registry: Registry
) -> None:
    first, second = (bare_version(registry) for _ in range(2))
    registry.client.set_registered_model_alias(registry.name, "candidate", first)
    append(registry, [], "approve", first, None, first, None, "Ada", "x")
    registry.client.set_registered_model_alias(registry.name, "champion", first)
    said = run_gate(layout, params, first)
    assert said["state"] == "approved", "the promote flow has nothing to ask"
    decisions.reject(layout, params, second, "Ben", "worse")
    assert registry.aliases() == {"champion": first}
    assert registry.version(first).tags["state"] == "approved"
    assert kinds(registry) == [("approve", first, "Ada"), ("reject", second, "Ben")]


def test_what_was_rejected_or_rolled_back_is_gated_again_before_an_approval(
    layout: Layout, params: Params, registry: Registry
) -> None:
    first, second, third = (bare_version(registry) for _ in range(3))
    decisions.approve(layout, params, first, "Ada")
    gated(registry, second, first)
    decisions.approve(layout, params, second, "Ada")
    decisions.rollback(layout, params, "Ben", "haze got worse")
    gated(registry, third, first)
    decisions.reject(layout, params, third, "Ben", "halos")
    for version, word in ((second, "rolled-back"), (third, "rejected")):
        with pytest.raises(UserError, match=f"{word} since the gate"):
            decisions.approve(layout, params, version, "Ada")
    assert registry.champion() == first
    gated(registry, second, first)
    decisions.approve(layout, params, second, "Ada")
    assert registry.aliases() == {"champion": second, "previous": first}


@pytest.mark.parametrize("edited", [{"verdict": "promote"}, {"champion_seen": "none"}])
def test_a_verdict_that_the_report_does_not_have_is_not_approved(
    layout: Layout, params: Params, registry: Registry, edited: dict[str, str]
) -> None:
    first, second = bare_version(registry), bare_version(registry, verdict="reject")
    registry.tag(second, **edited)
    if "champion_seen" in edited:
        decisions.approve(layout, params, first, "Ada")
        gated(registry, second, "none")
        registry.tag(second, champion_seen=first)
    with pytest.raises(UserError, match="does not say"):
        decisions.approve(layout, params, second, "Ada")


def test_the_report_of_another_version_is_not_approved(
    layout: Layout, params: Params, registry: Registry
) -> None:
    first, second = bare_version(registry), bare_version(registry, verdict="reject")
    place = registry.client.download_artifacts(registry.version(first).run_id, "report/report.html")
    registry.client.log_artifact(registry.version(second).run_id, place, "report")
    digest = registry.version(first).tags["report_sha256"]
    registry.tag(second, verdict="promote", report_sha256=digest)
    with pytest.raises(UserError, match="does not say"):
        decisions.approve(layout, params, second, "Ada")
