"""Approvals that a release stored which did not show and hash everything, after an update.

The hashes are those that this release has computed for the same requests.
"""

from typing import Any

import pytest

from core.errors import Conflict
from models import EventType, GatewayRequest, RequestKind, RequestState
from services.gateways.requests.parser import parse_request
from tests.services.test_plugin_approvals import ACTION
from tests.support.fake_requests_gateway import timestamp_ms
from tests.support.gateway_recordings import Json, load_recording
from tests.support.gateway_rows import make_gateway_request
from tests.support.people_rows import token_secret
from tests.support.requests_gateway import RequestsHarness, agent_key

WAITING, ANSWERING = RequestState.WAITING, RequestState.ANSWERING
ANSWERED, LOST = RequestState.ANSWERED, RequestState.LOST
UNSHOWN = "It was allowed on a page that had not shown everything, so it is asked again."

PLUGIN_HASH = "9c075024a5253281ad39fa667bb232ad7ea4820b4929181aa51ad0afb45dde8c"
HASHES = {
    "variables": "778574533d240323384637153b320cd1db91956d4a448db07adc71afba277e6f",
    "shell": "8977f6771fc7786d4d063708c7b29f40fd3e91a48e76052f6b095d6a487f9c50",
    "automation": "d0595a2006b37c6a882d058bdbb4a76c45cb6e806bcb9a9019b253ebb8463e7e",
    "requested by a client": "097bcb19a3e7a94d970af7124fc4739e5a6a5103b3e5066228351cdf0eb19cd9",
    "node": "2853e636e12c293649da4f7109c964b6160181bc3b0b738f2a7c75c7809b475b",
    "payment": "b9d2258692bc1ed8948e70fe6e22da270167252e44529fb07c373b51bb5dfe95",
}


def build_row(kind: RequestKind, request: Json) -> Json:
    times = {"createdAtMs": timestamp_ms(), "expiresAtMs": timestamp_ms(30)}
    return {"approvalKind": kind.value, "id": "a-1", "request": request, **times}


async def store_earlier(
    harness: RequestsHarness, kind: RequestKind, request: Json, sha256: str
) -> GatewayRequest:
    """Let a request wait on the gateway that an earlier release has stored."""
    request = request | {"agentId": agent_key(harness.world.worker)}
    row = build_row(kind, request)
    harness.fake.approvals["a-1"] = row | {"status": "pending"}
    parsed = parse_request(kind, row)
    assert parsed
    columns = parsed.columns | {"sha256": sha256, "content": None, "request_id": "a-1"}
    stored = make_gateway_request(harness.gateway, harness.world.worker)
    for name, value in columns.items():
        setattr(stored, name, value)
    async with harness.transaction() as session:
        session.add(stored)
    return stored


async def store_variables(harness: RequestsHarness) -> GatewayRequest:
    request = load_recording()["requests"]["variables"]["request"]
    return await store_earlier(harness, RequestKind.EXEC, request, HASHES["variables"])


async def answer_earlier(harness: RequestsHarness, request: GatewayRequest, decision: str) -> None:
    """Answer it on a page of the earlier release, before the worker is started."""
    await harness.answer_request(harness.world.bob, request, decision=decision)


async def refresh(harness: RequestsHarness, *states: RequestState) -> list[GatewayRequest]:
    """Let a worker load the requests of the gateway, and return the stored ones."""

    async def has_listed_again() -> bool:
        listed = [method for method, _ in harness.fake.calls if method == "question.list"]
        return len(listed) > 1

    async with harness.run_worker(poll_interval=0.05):
        await harness.wait_for(has_listed_again)
        return await harness.wait_for(lambda: harness.requests_in(*states))


@pytest.mark.parametrize("name", HASHES)
def test_the_hash_of_the_earlier_release_is_computed(name: str) -> None:
    parsed = parse_request(RequestKind.EXEC, load_recording()["requests"][name])
    assert parsed
    assert parsed.hash.earlier == HASHES[name]
    assert parsed.hash.shows_more


def test_the_earlier_hash_of_an_action_is_computed() -> None:
    for more in ({}, {"toolCallId": "call-1"}, {"mcpTool": {}}):
        parsed = parse_request(RequestKind.PLUGIN, build_row(RequestKind.PLUGIN, ACTION | more))
        assert parsed
        assert (parsed.hash.earlier, parsed.hash.shows_more) == (PLUGIN_HASH, False)


@pytest.mark.parametrize(
    ("more", "shows_more"),
    [
        ({"agentId": "a", "host": "gateway", "argv": ["ls"], "envKeys": [], "scope": None}, False),
        ({"argv": ["ls"], "commandArgv": ["rm"]}, True),
        ({"warningText": "x" * 4_001}, True),
        ({"systemRunPlan": {"argv": ["ls"]}}, True),
        ({"envKeys": ["TARGET"]}, True),
        ({"later": 0}, True),
    ],
)
def test_it_is_known_whether_more_is_shown_now(more: Json, shows_more: bool) -> None:
    row = build_row(RequestKind.EXEC, {"command": "ls"} | more)
    parsed = parse_request(RequestKind.EXEC, row)
    assert parsed
    assert parsed.hash.shows_more == shows_more


async def test_a_waiting_request_is_completed_and_nobody_is_told_again(
    harness: RequestsHarness,
) -> None:
    earlier = await store_variables(harness)
    [found] = await refresh(harness, WAITING)
    assert (found.id, found.error) == (earlier.id, None)
    assert found.content
    assert found.content["request"]["envKeys"] == ["TARGET"]
    assert found.sha256 != earlier.sha256
    for type in (EventType.GATEWAY_REQUEST_ASKED, EventType.GATEWAY_REQUEST_LOST):
        assert not await harness.list_events(type)
    with pytest.raises(Conflict, match="Read it again"):  # the page that shows less
        await harness.answer_request(
            harness.world.bob, found, decision="allow-once", sha256=earlier.sha256
        )
    await harness.answer_request(harness.world.bob, found, decision="allow-once")
    await refresh(harness, ANSWERED)


async def test_a_masked_token_is_recognized_in_the_earlier_hash(harness: RequestsHarness) -> None:
    secret = {"command": f"login {token_secret(harness.world.worker)}"}
    row = build_row(RequestKind.EXEC, secret)
    parsed = parse_request(RequestKind.EXEC, row)
    assert parsed
    assert parsed.hash.earlier
    earlier = await store_earlier(harness, RequestKind.EXEC, secret, parsed.hash.earlier)
    [found] = await refresh(harness, WAITING)
    assert (found.id, found.is_masked, found.command) == (earlier.id, True, "login mc_agent_***")


async def test_a_denial_from_before_is_delivered(harness: RequestsHarness) -> None:
    await answer_earlier(harness, await store_variables(harness), "deny")
    await refresh(harness, ANSWERED)
    assert harness.fake.approvals["a-1"]["decision"] == "deny"


@pytest.mark.parametrize("kind", [RequestKind.EXEC, RequestKind.PLUGIN])
async def test_a_permission_of_what_was_shown_completely_is_delivered(
    kind: RequestKind, harness: RequestsHarness
) -> None:
    request = ACTION if kind is RequestKind.PLUGIN else {"command": "ls", "cwd": "/work"}
    request = request | {"allowedDecisions": ["allow-once", "deny"]}
    parsed = parse_request(kind, build_row(kind, request))
    assert parsed
    assert parsed.hash.earlier
    earlier = await store_earlier(harness, kind, request, parsed.hash.earlier)
    await answer_earlier(harness, earlier, "allow-once")
    await refresh(harness, ANSWERED)
    assert harness.fake.approvals["a-1"]["decision"] == "allow-once"


async def test_a_permission_of_what_was_not_shown_is_asked_again(harness: RequestsHarness) -> None:
    """The gateway sends the names of variables, which the page had not shown."""
    await answer_earlier(harness, await store_variables(harness), "allow-once")
    lost, waiting = await refresh(harness, LOST, WAITING)
    assert (lost.error, waiting.error) == (UNSHOWN, UNSHOWN)
    assert lost.answer == {"decision": "allow-once"}
    assert (waiting.answer, waiting.content is not None) == (None, True)
    assert harness.fake.approvals["a-1"]["status"] == "pending"
    assert len(await harness.list_events(EventType.GATEWAY_REQUEST_ASKED)) == 1
    await harness.answer_request(harness.world.bob, waiting, decision="allow-once")
    found: list[Any] = await refresh(harness, LOST, ANSWERED)
    assert found[1].error is None
    assert harness.fake.approvals["a-1"]["decision"] == "allow-once"
