"""The sessions of a gateway: list, transcript, sending a message."""

import json
import re
from datetime import timedelta
from typing import Any
from urllib.parse import quote

import httpx2
import pytest

from core.clock import now
from core.config.settings import Settings
from core.db.engine import TransactionFactory
from models import Gateway
from tests.support.fake_agents_gateway import FakeAgentsGateway
from tests.support.fake_gateway import ErrorResponse
from tests.support.gateway_rows import SESSION_KEY
from tests.support.loop_holds import calibrate, measure_holds
from tests.support.people_rows import token_secret
from tests.support.world import World

HTMX = {"HX-Request": "true"}
ONCE = {"once": "5d9f4c1e"}


@pytest.fixture
def settings(settings: Settings, request: pytest.FixtureRequest) -> Settings:
    """The usual settings, or those that a test names."""
    return settings.model_copy(update=getattr(request, "param", {}))


@pytest.fixture
def address(gateway: Gateway) -> str:
    return f"/gateways/{gateway.id}/sessions"


def path_of(address: str, key: str = SESSION_KEY) -> str:
    return f"{address}/{quote(key, safe='')}"


async def test_the_page_is_shown_before_the_gateway_is_queried(
    alice: httpx2.AsyncClient, address: str, fake_gateway: FakeAgentsGateway
) -> None:
    for path in (address, path_of(address)):
        page = (await alice.get(path)).text
        assert 'hx-trigger="load"' in page
        assert "wait=1" in page
    assert not fake_gateway.connect_params


async def test_sessions_are_listed_with_their_agents(
    alice: httpx2.AsyncClient, address: str, fake_gateway: FakeAgentsGateway, world: World
) -> None:
    fake_gateway.sessions[SESSION_KEY] |= {
        "label": "Release work",
        "hasActiveRun": True,
        "totalTokens": 64_000,
        "contextTokens": 128_000,
    }
    fake_gateway.sessions["agent:main:main"]["status"] = {"odd": 1}
    for page in (
        await alice.get(address, headers=HTMX),
        await alice.get(f"{address}?wait=1"),
    ):
        assert "Release work" in page.text
        assert "Worker on Launch" in page.text
        assert "50%" in page.text
        assert f'href="{address}/agent%3Amain%3Amain"' in page.text
        assert re.findall(r'class="state" data-state="(\w+)"', page.text)[-2:] == [
            "working",
            "idle",
        ]
    assert fake_gateway.changes == []


async def test_sessions_are_shown_with_model_channel_and_tokens(
    alice: httpx2.AsyncClient, address: str, fake_gateway: FakeAgentsGateway
) -> None:
    reported: dict[str, Any] = {
        "model": "sonnet",
        "modelProvider": "<i>anthropic",
        "lastChannel": "telegram",
    }
    reported |= {"totalTokens": 64_000, "contextTokens": 128_000}
    reported |= {"inputTokens": 61_500, "outputTokens": 2_500}
    expected = {
        "Model: sonnet",
        "Provider: &lt;i&gt;anthropic",
        "Channel: telegram",
        "Tokens in the context: 64,000 of 128,000",
        "Input tokens: 61,500",
        "Output tokens: 2,500",
    }
    fake_gateway.sessions[SESSION_KEY] |= reported
    odd = {"model": 7, "modelProvider": None, "channel": ["x"], "inputTokens": "many"}
    fake_gateway.sessions["agent:main:main"] |= odd
    fake_gateway.handlers["chat.history"] = lambda _: {"messages": [], "sessionInfo": reported}
    for path in (address, path_of(address)):
        page = (await alice.get(f"{path}?wait=1")).text
        assert page.count('<ul class="legend"') == 1
        found = re.findall(r'<li class="anywhere">(.+?)</li>', page)
        assert {re.sub(r"</?b[^>]*>", "", one) for one in found} == expected


@pytest.mark.parametrize(
    ("path", "method", "payload", "shown"),
    [
        (
            "",
            "sessions.list",
            {"sessions": [{"key": f"agent:main:{number}"} for number in range(80_000)]},
            "Showing 1,000 of 80,000 sessions.",
        ),
        (
            "/agent%3Amain%3Amain",
            "chat.history",
            {"messages": [{"role": "user", "content": f"Say {one}"} for one in range(80_000)]},
            "Say 79900",
        ),
        (
            "/agent%3Amain%3Amain",
            "chat.history",
            {"messages": [], "sessionInfo": {f"key {one}": {"a": "b"} for one in range(120_000)}},
            "No messages",
        ),
    ],
    ids=["sessions", "messages", "keys"],
)
async def test_long_answers_of_a_gateway_do_not_hold_the_event_loop(
    alice: httpx2.AsyncClient,
    address: str,
    fake_gateway: FakeAgentsGateway,
    path: str,
    method: str,
    payload: dict[str, Any],
    shown: str,
) -> None:
    await alice.get(f"{address}{path}?wait=1")  # templates are compiled once
    response = {"type": "res", "id": "1", "ok": True, "payload": payload}
    fake_gateway.raw_responses = {method: json.dumps(response)}
    with measure_holds() as holds:
        page = (await alice.get(f"{address}{path}?wait=1")).text
    assert shown in page
    assert "Say 79899" not in page
    assert holds.longest < calibrate()


async def test_a_transcript_is_shown_with_collapsed_tool_calls(
    alice: httpx2.AsyncClient, address: str, fake_gateway: FakeAgentsGateway, world: World
) -> None:
    call = {"type": "toolCall", "id": "1", "name": "exec", "arguments": {"command": "ls <b>"}}
    fake_gateway.handlers["chat.history"] = lambda params: {
        "messages": [
            {"role": "user", "content": "How *far* are you? <script>alert(1)</script>"},
            {"role": "assistant", "content": [{"type": "text", "text": "Nearly"}, call]},
            {"role": "toolResult", "toolCallId": "1", "content": "two files", "isError": False},
        ],
        "hasMore": params["limit"] == 100,
        "sessionInfo": {"hasActiveRun": True},
    }
    page = (await alice.get(path_of(address), headers=HTMX)).text
    assert "<em>far</em>" in page
    assert "<script" not in page
    assert re.search(r"<details[^>]*><summary[^>]*>.*ls &lt;b&gt;", page)
    assert "two files" in page
    assert "Worker is working" in page
    assert "Show earlier messages" in page
    longer = (await alice.get(f"{path_of(address)}?more=1&wait=1")).text
    assert "Show earlier messages" not in longer
    assert f'data-suggest="board={world.board.id}"' in longer
    assert [params["limit"] for _, params in fake_gateway.calls] == [100, 1000]


async def test_tokens_in_a_transcript_are_masked(
    alice: httpx2.AsyncClient, address: str, fake_gateway: FakeAgentsGateway, world: World
) -> None:
    token = token_secret(world.worker)
    response = [{"role": "assistant", "content": f"AUTH_TOKEN={token}"}]
    fake_gateway.handlers["chat.history"] = lambda _: {"messages": response}
    page = (await alice.get(f"{path_of(address)}?wait=1")).text
    assert "AUTH_TOKEN=mc_agent_***" in page
    assert token not in page


async def test_a_message_sent_twice_is_delivered_once(
    alice: httpx2.AsyncClient, address: str, fake_gateway: FakeAgentsGateway
) -> None:
    typed = {"message": "Go on, please"} | ONCE
    response = await alice.post(f"{path_of(address)}/messages", data=typed)
    assert response.status_code == 303
    assert response.headers["Location"] == f"{path_of(address)}?wait=1#say"
    assert "Go on, please" in (await alice.get(f"{path_of(address)}?wait=1")).text
    again = await alice.post(f"{path_of(address)}/messages", data=typed, headers=HTMX)
    assert again.status_code == 200
    assert "Go on, please" in again.text
    assert fake_gateway.sent_messages == [(SESSION_KEY, "Go on, please")]
    [fresh] = re.findall(r'id="say-once" value="([^"]+)" hx-swap-oob', again.text)
    assert fresh != ONCE["once"]


async def test_a_message_that_fails_stays_in_the_form(
    alice: httpx2.AsyncClient, address: str, fake_gateway: FakeAgentsGateway
) -> None:
    path = f"{path_of(address)}/messages"
    blank = await alice.post(path, data={"message": "  "} | ONCE)
    assert blank.status_code == 422
    assert "Enter a value." in blank.text

    fake_gateway.connect_error = {
        "code": "INVALID_REQUEST",
        "details": {"code": "AUTH_TOKEN_MISMATCH"},
    }
    typed = {"message": "Is anybody there?"} | ONCE
    refused = await alice.post(path, data=typed)
    assert refused.status_code == 502
    assert "Is anybody there?</textarea>" in refused.text
    assert f'value="{ONCE["once"]}"' in refused.text
    part = await alice.post(path, data=typed, headers=HTMX)
    assert part.status_code == 502
    assert part.headers["HX-Retarget"] == "#toasts"


@pytest.mark.parametrize("wait", ["", "?wait=1"])
async def test_a_gateway_without_a_reply_is_reported(
    alice: httpx2.AsyncClient, address: str, fake_gateway: FakeAgentsGateway, wait: str
) -> None:
    def refuse(_params: dict[str, Any]) -> Any:
        raise ErrorResponse("FORBIDDEN", "no", details={"missingScope": "operator.read"})

    fake_gateway.handlers |= {"sessions.list": refuse, "chat.history": refuse}
    for path in (address, path_of(address)):
        page = await alice.get(path + wait, headers={} if wait else HTMX)
        assert page.status_code == 200
        assert "Harbour did not answer." in page.text
        assert "does not grant these rights: operator.read" in page.text


async def test_a_gateway_known_to_be_unreachable_is_not_queried(
    alice: httpx2.AsyncClient,
    address: str,
    gateway: Gateway,
    fake_gateway: FakeAgentsGateway,
    transaction: TransactionFactory,
) -> None:
    failed_check = {
        "name": "port",
        "state": "failed",
        "sentence": "Nobody listens there.",
        "code": "x",
    }
    async with transaction() as session:
        row = await session.get(Gateway, gateway.id)
        assert row
        row.checks, row.lease_holder, row.lease_expires_at = (
            [failed_check],
            "x",
            now() + timedelta(seconds=9),
        )
    page = (await alice.get(address, headers=HTMX)).text
    assert "Nobody listens there." in page
    assert not fake_gateway.connect_params


async def test_an_invalid_session_key_is_not_found(
    alice: httpx2.AsyncClient, address: str, fake_gateway: FakeAgentsGateway
) -> None:
    def refuse(_params: dict[str, Any]) -> Any:
        raise ErrorResponse("INVALID_REQUEST", "malformed session key")

    fake_gateway.handlers["chat.history"] = refuse
    page = (await alice.get(path_of(address, "agent::") + "?wait=1")).text
    assert "The gateway has no such session." in page


async def test_an_error_of_the_gateway_is_shown_unchanged(
    alice: httpx2.AsyncClient, address: str, fake_gateway: FakeAgentsGateway
) -> None:
    def refuse(_params: dict[str, Any]) -> Any:
        raise ErrorResponse("INVALID_REQUEST", "send blocked by session policy")

    fake_gateway.handlers["chat.send"] = refuse
    typed = {"message": "Go on"} | ONCE
    response = await alice.post(f"{path_of(address)}/messages", data=typed)
    assert response.status_code == 502
    assert "send blocked by session policy" in response.text
    assert "Go on</textarea>" in response.text
    gone = await alice.post(
        f"{path_of(address, 'agent:anonymous:main_agent')}/messages", data=typed
    )
    assert gone.status_code == 404
    assert "The gateway has no such session." in gone.text


async def test_readers_of_the_agents_board_can_see_its_session(
    dana: httpx2.AsyncClient, address: str, fake_gateway: FakeAgentsGateway, world: World
) -> None:
    listed = (await dana.get(address, headers=HTMX)).text
    assert "On a board that you cannot read" in listed
    assert "Worker" not in listed
    assert path_of(address) not in listed
    for path in (path_of(address), path_of(address, SESSION_KEY.upper())):
        assert (await dana.get(path)).status_code == 403
        assert (await dana.get(f"{path}?wait=1")).status_code == 403
    fake_gateway.calls.clear()
    response = await dana.post(f"{path_of(address)}/messages", data={"message": "Hi"} | ONCE)
    assert response.status_code == 403
    assert fake_gateway.calls == []
    of_others = path_of(address, "agent:main:main")
    assert (await dana.get(f"{of_others}?wait=1")).status_code == 200
    response = await dana.post(f"{of_others}/messages", data={"message": "Hi"} | ONCE)
    assert response.status_code == 303


async def test_only_admins_see_sessions_of_their_gateways(
    bob: httpx2.AsyncClient,
    charlie: httpx2.AsyncClient,
    address: str,
    fake_gateway: FakeAgentsGateway,
) -> None:
    for browser, status in ((bob, 403), (charlie, 404)):
        for path in (address, path_of(address)):
            for headers in ({}, HTMX):
                for query in ("", "?wait=1"):
                    answer = await browser.get(path + query, headers=headers)
                    assert answer.status_code == status
        response = await browser.post(f"{path_of(address)}/messages", data={"message": "Hi"} | ONCE)
        assert response.status_code == status
    assert not fake_gateway.connect_params


@pytest.mark.parametrize("settings", [{"rate_limit_gateways": 20}], indirect=True)
async def test_gateway_queries_are_rate_limited(
    alice: httpx2.AsyncClient, address: str, fake_gateway: FakeAgentsGateway
) -> None:
    for _ in range(20):
        assert "did not answer" not in (await alice.get(address, headers=HTMX)).text
    assert "Too many requests." in (await alice.get(address, headers=HTMX)).text
    assert fake_gateway.connection_count == 20
