"""Approvals of plugins are requests of a gateway: shown exactly, decided once, and delivered."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.canonical_json import hash_json
from core.errors import Conflict, Invalid
from models import RequestKind, RequestState
from services.gateways.requests.parser import MAX_CONTENT_LENGTH, parse_request
from tests.support.fake_requests_gateway import timestamp_ms
from tests.support.gateway_recordings import iterate_changes
from tests.support.people_rows import token_secret
from tests.support.requests_gateway import RequestsHarness, agent_key

SENT = ("approvalKind", "id", "createdAtMs", "expiresAtMs", "request")
ACTION: dict[str, Any] = {
    "title": "Deploy service",
    "description": "Deploy service to production.",
    "detail": "service: shop\nregion: eu",
    "severity": "critical",
    "pluginId": "deploy-policy",
    "toolName": "deploy_service",
    "scope": {"kind": "external-post", "target": "github", "visibility": "public"},
}


def parse(**request: Any) -> Any:
    row = {"id": "p-1", "createdAtMs": timestamp_ms(), "expiresAtMs": timestamp_ms(2)}
    return parse_request(RequestKind.PLUGIN, row | {"request": request})


async def test_an_action_is_requested_decided_and_delivered(harness: RequestsHarness) -> None:
    world = harness.world
    async with harness.run_worker():
        await harness.wait_for(harness.has_listed_questions)
        await harness.fake.request_plugin_approval("p-1", agent_key(world.worker), **ACTION)
        request = await harness.wait_for_request()
        assert (request.kind, request.plugin_action) == (RequestKind.PLUGIN, ACTION)
        assert (request.command, request.questions) == (None, [])
        assert (request.agent_id, request.board_id) == (world.worker.id, world.board.id)
        assert request.allowed_decisions == ["allow-once", "allow-always", "deny"]
        sent = harness.fake.approvals["p-1"]
        assert request.sha256 == hash_json({name: sent[name] for name in SENT})
        assert not request.is_masked
        with pytest.raises(Invalid):
            await harness.answer_request(world.bob, request, decision="perhaps")
        with pytest.raises(Conflict):
            await harness.answer_request(world.bob, request, decision="deny", sha256="0" * 64)
        await harness.answer_request(world.bob, request, decision="allow-once")
        request = await harness.wait_for_request(RequestState.ANSWERED)
    assert harness.fake.approvals["p-1"]["decision"] == "allow-once"
    assert (request.answered_by, request.answer) == ("Bob", {"decision": "allow-once"})
    methods = [method for method, _ in harness.fake.calls]
    assert "plugin.approval.resolve" in methods
    assert "exec.approval.resolve" not in methods


async def test_missed_actions_are_loaded_and_a_decision_elsewhere_counts(
    harness: RequestsHarness,
) -> None:
    await harness.fake.request_plugin_approval("p-1", agent_key(harness.world.worker), **ACTION)
    async with harness.run_worker():
        await harness.wait_for_request()
        await harness.fake.decide_elsewhere("p-1", "deny")
        request = await harness.wait_for_request(RequestState.LOST)
    assert request.answer == {"decision": "deny"}
    assert request.answered_by == "Somebody's phone"


async def test_our_tokens_in_an_action_are_masked(harness: RequestsHarness) -> None:
    token = token_secret(harness.world.worker)
    shown = ACTION | {"detail": f"curl -H {token}", "scope": {"target": token}}
    await harness.fake.request_plugin_approval("p-1", agent_key(harness.world.worker), **shown)
    async with harness.run_worker():
        request = await harness.wait_for_request()
    assert token not in request.exact
    assert request.is_masked
    sent = harness.fake.approvals["p-1"]
    assert request.sha256 == hash_json({name: sent[name] for name in SENT})
    assert token not in str(request.content)


def test_every_field_of_an_action_changes_its_hash() -> None:
    row = {"id": "p-1", "createdAtMs": 1, "expiresAtMs": 2, "request": ACTION | {"later": [1]}}
    first = parse_request(RequestKind.PLUGIN, row)
    assert first
    for change, changed in iterate_changes(row):
        other = parse_request(RequestKind.PLUGIN, changed)
        assert other is None or other.hash.sha256 != first.hash.sha256, change


@pytest.mark.parametrize(
    "change",
    [
        {"title": ""},
        {"description": None},
        {"title": 5},
        {"detail": "x" * (MAX_CONTENT_LENGTH + 1)},
        {"title": "\0"},
        {"mcpTool": {"server": "\0"}},
        {"scope": {"target": "x" * (MAX_CONTENT_LENGTH + 1)}},
    ],
)
def test_an_action_that_cannot_be_shown_completely_is_not_shown(change: dict[str, Any]) -> None:
    assert parse(**ACTION) is not None
    assert parse(**(ACTION | change)) is None


@given(st.dictionaries(st.text(max_size=9), st.recursive(st.text(), st.lists, max_leaves=4)))
def test_any_request_is_parsed_or_left_out(request_: dict[str, Any]) -> None:
    found = parse(**{"title": "T", "description": "D"} | request_)
    assert found is None or json.loads(found.exact)
