"""The sessions of a gateway: which there are, what was said in one, and saying something there."""

import re
from datetime import timedelta
from typing import Any
from urllib.parse import quote

import httpx2
import pytest

from kit.clock import now
from models import Gateway
from tests.conftest import Transaction
from tests.openclaw.fake import Refused
from tests.openclaw.workshop import Workshop
from tests.web.conftest import KEY
from tests.world import World, token_of

HTMX = {"HX-Request": "true"}
ONCE = {"once": "5d9f4c1e"}


@pytest.fixture
def address(gateway: Gateway) -> str:
    return f"/gateways/{gateway.id}/sessions"


def path_of(address: str, key: str = KEY) -> str:
    return f"{address}/{quote(key, safe='')}"


async def test_the_page_is_there_before_the_gateway_is_asked(
    alice: httpx2.AsyncClient, address: str, workshop: Workshop
) -> None:
    for path in (address, path_of(address)):
        page = (await alice.get(path)).text
        assert 'hx-trigger="load"' in page
        assert "wait=1" in page
    assert not workshop.connects


async def test_the_sessions_are_listed_with_the_agents_of_ours(
    alice: httpx2.AsyncClient, address: str, workshop: Workshop, world: World
) -> None:
    workshop.sessions[KEY] |= {
        "label": "Release work",
        "hasActiveRun": True,
        "totalTokens": 64_000,
        "contextTokens": 128_000,
    }
    workshop.sessions["agent:main:main"]["status"] = {"odd": 1}
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
    assert workshop.changes == []


async def test_what_was_said_is_shown_and_tools_are_folded(
    alice: httpx2.AsyncClient, address: str, workshop: Workshop
) -> None:
    call = {"type": "toolCall", "id": "1", "name": "exec", "arguments": {"command": "ls <b>"}}
    workshop.methods["chat.history"] = lambda params: {
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
    assert "Worker is at work" in page
    assert "Show what was said before" in page
    longer = (await alice.get(f"{path_of(address)}?more=1&wait=1")).text
    assert "Show what was said before" not in longer
    assert [params["limit"] for _, params in workshop.calls] == [100, 1000]


async def test_a_token_that_an_agent_has_shown_is_not_on_the_page(
    alice: httpx2.AsyncClient, address: str, workshop: Workshop, world: World
) -> None:
    token = token_of(world.worker)
    said = [{"role": "assistant", "content": f"AUTH_TOKEN={token}"}]
    workshop.methods["chat.history"] = lambda _: {"messages": said}
    page = (await alice.get(f"{path_of(address)}?wait=1")).text
    assert "AUTH_TOKEN=mc_agent_***" in page
    assert token not in page


async def test_something_is_said_once_however_often_it_is_sent(
    alice: httpx2.AsyncClient, address: str, workshop: Workshop
) -> None:
    typed = {"message": "Go on, please"} | ONCE
    said = await alice.post(f"{path_of(address)}/messages", data=typed)
    assert said.status_code == 303
    assert said.headers["Location"] == f"{path_of(address)}?wait=1#say"
    assert "Go on, please" in (await alice.get(f"{path_of(address)}?wait=1")).text
    again = await alice.post(f"{path_of(address)}/messages", data=typed, headers=HTMX)
    assert again.status_code == 200
    assert "Go on, please" in again.text
    assert workshop.said == [(KEY, "Go on, please")]
    [fresh] = re.findall(r'id="say-once" value="([^"]+)" hx-swap-oob', again.text)
    assert fresh != ONCE["once"]


async def test_what_could_not_be_said_is_given_back(
    alice: httpx2.AsyncClient, address: str, workshop: Workshop
) -> None:
    path = f"{path_of(address)}/messages"
    blank = await alice.post(path, data={"message": "  "} | ONCE)
    assert blank.status_code == 422
    assert "Fill this in." in blank.text

    workshop.refuses = {"code": "INVALID_REQUEST", "details": {"code": "AUTH_TOKEN_MISMATCH"}}
    typed = {"message": "Is anybody there?"} | ONCE
    refused = await alice.post(path, data=typed)
    assert refused.status_code == 502
    assert "Is anybody there?</textarea>" in refused.text
    assert f'value="{ONCE["once"]}"' in refused.text
    part = await alice.post(path, data=typed, headers=HTMX)
    assert part.status_code == 502
    assert part.headers["HX-Retarget"] == "#toasts"


@pytest.mark.parametrize("wait", ["", "?wait=1"])
async def test_a_gateway_that_does_not_answer_is_told_in_its_place(
    alice: httpx2.AsyncClient, address: str, workshop: Workshop, wait: str
) -> None:
    def refuse(_params: dict[str, Any]) -> Any:
        raise Refused("FORBIDDEN", "no", details={"missingScope": "operator.read"})

    workshop.methods |= {"sessions.list": refuse, "chat.history": refuse}
    for path in (address, path_of(address)):
        page = await alice.get(path + wait, headers={} if wait else HTMX)
        assert page.status_code == 200
        assert "Harbour did not answer." in page.text
        assert "without these rights: operator.read" in page.text


async def test_one_that_a_worker_finds_away_is_not_asked(
    alice: httpx2.AsyncClient,
    address: str,
    gateway: Gateway,
    workshop: Workshop,
    transaction: Transaction,
) -> None:
    rung = {"name": "port", "state": "failed", "sentence": "Nobody listens there.", "code": "x"}
    async with transaction() as session:
        row = await session.get(Gateway, gateway.id)
        assert row
        row.checks, row.held_by, row.held_until = [rung], "x", now() + timedelta(seconds=9)
    page = (await alice.get(address, headers=HTMX)).text
    assert "Nobody listens there." in page
    assert not workshop.connects


async def test_a_key_that_is_none_is_no_session(
    alice: httpx2.AsyncClient, address: str, workshop: Workshop
) -> None:
    def refuse(_params: dict[str, Any]) -> Any:
        raise Refused("INVALID_REQUEST", "malformed session key")

    workshop.methods["chat.history"] = refuse
    page = (await alice.get(path_of(address, "agent::") + "?wait=1")).text
    assert "The gateway has no such session." in page


async def test_what_the_gateway_refuses_to_hear_is_told_in_its_own_words(
    alice: httpx2.AsyncClient, address: str, workshop: Workshop
) -> None:
    def refuse(_params: dict[str, Any]) -> Any:
        raise Refused("INVALID_REQUEST", "send blocked by session policy")

    workshop.methods["chat.send"] = refuse
    typed = {"message": "Go on"} | ONCE
    said = await alice.post(f"{path_of(address)}/messages", data=typed)
    assert said.status_code == 502
    assert "send blocked by session policy" in said.text
    assert "Go on</textarea>" in said.text
    gone = await alice.post(f"{path_of(address, 'agent:nobody:main')}/messages", data=typed)
    assert gone.status_code == 404
    assert "The gateway has no such session." in gone.text


async def test_a_session_is_seen_by_who_reads_the_board_of_its_agent(
    dana: httpx2.AsyncClient, address: str, workshop: Workshop, world: World
) -> None:
    listed = (await dana.get(address, headers=HTMX)).text
    assert "On a board that you do not read" in listed
    assert "Worker" not in listed
    assert path_of(address) not in listed
    for path in (path_of(address), path_of(address, KEY.upper())):
        assert (await dana.get(path)).status_code == 403
        assert (await dana.get(f"{path}?wait=1")).status_code == 403
    workshop.calls.clear()
    said = await dana.post(f"{path_of(address)}/messages", data={"message": "Hi"} | ONCE)
    assert said.status_code == 403
    assert workshop.calls == []
    of_others = path_of(address, "agent:main:main")
    assert (await dana.get(f"{of_others}?wait=1")).status_code == 200
    said = await dana.post(f"{of_others}/messages", data={"message": "Hi"} | ONCE)
    assert said.status_code == 303


async def test_only_admins_look_into_a_gateway_and_for_strangers_there_is_none(
    bob: httpx2.AsyncClient, charlie: httpx2.AsyncClient, address: str, workshop: Workshop
) -> None:
    for browser, status in ((bob, 403), (charlie, 404)):
        for path in (address, path_of(address)):
            for headers in ({}, HTMX):
                for query in ("", "?wait=1"):
                    answer = await browser.get(path + query, headers=headers)
                    assert answer.status_code == status
        said = await browser.post(f"{path_of(address)}/messages", data={"message": "Hi"} | ONCE)
        assert said.status_code == status
    assert not workshop.connects


async def test_nobody_tries_out_ports_by_looking(
    alice: httpx2.AsyncClient, address: str, workshop: Workshop
) -> None:
    for _ in range(120):
        assert "did not answer" not in (await alice.get(address, headers=HTMX)).text
    assert "Too many requests." in (await alice.get(address, headers=HTMX)).text
    assert workshop.times_connected == 120
