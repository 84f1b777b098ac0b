"""Pages that connect the client of a coding agent."""

import html
import json
import re
import shlex
from datetime import timedelta

import pytest
from sqlalchemy import select, update

from core.clock import now
from models import Agent, Board, ClientConnection, CodingClient, CodingSession, ToolCall
from services import coding_sessions
from services.coding_sessions import CONNECTION_TEST
from tests.support.agent_pages import HTMX, address
from tests.support.gateway_rows import make_gateway

__all__ = ["address"]

BASE = "http://127.0.0.1:8000"


def read_blocks(page: str) -> list[str]:
    """Return the texts of the copy buttons."""
    return [html.unescape(one) for one in re.findall(r'data-copy="([^"]*)"', page)]


async def create_client(browser, world, client: str = "claude") -> str:
    """Create an agent with a client, and return the address of the page that connects it."""
    form = (await browser.get(f"/agents/new?client={client}&board={world.board.id}")).text
    fields = dict(re.findall(r'name="(client|every|emoji|name)"[^>]*value="([^"]*)"', form))
    sent = await browser.post("/agents", data=fields | {"board_id": str(world.board.id)})
    assert sent.status_code == 303
    return sent.headers["Location"]


async def test_a_new_agent_begins_with_what_does_the_work(alice, world) -> None:
    page = (await alice.get(f"/agents/new?board={world.board.id}")).text
    assert "What will do the work?" in page
    for client in [*CodingClient, "program"]:
        assert f'href="/agents/new?client={client}&amp;board={world.board.id}"' in page
    assert 'href="/gateways/new"' in page


async def test_a_coding_agent_needs_only_what_is_filled_in(alice, world, transaction) -> None:
    path = await create_client(alice, world)
    async with transaction() as session:
        agent = await session.scalar(select(Agent).where(Agent.name == "Claude"))
        connection = await session.scalar(select(ClientConnection))
    assert path == f"/agents/{agent.id}/connect?client=claude"
    assert (agent.board_id, agent.gateway_id) == (world.board.id, None)
    assert agent.heartbeat_config["every"] == "0m"
    assert (connection.agent_id, connection.client) == (agent.id, CodingClient.CLAUDE)
    assert 'value="Claude 2"' in (await alice.get("/agents/new?client=claude")).text


async def test_the_block_with_the_token_is_shown_once(alice, world) -> None:
    path = await create_client(alice, world)
    shown = await alice.get(path)
    assert shown.headers["Cache-Control"] == "no-store"
    command = next(one for one in read_blocks(shown.text) if one.startswith("curl -fsS http"))
    words = shlex.split(command.replace("\\\n", ""))
    assert words[:4] == ["curl", "-fsS", f"{BASE}/client.py", "|"]
    assert words[4:8] == ["python3", "-", "connect", "claude"]
    token = words[words.index("--token") + 1]
    assert token.startswith("mc_agent_")
    assert any(one.endswith("--headless") for one in read_blocks(shown.text))
    inspected = next(one for one in read_blocks(shown.text) if "shasum" in one)
    assert [line.endswith(" &&") for line in inspected.splitlines()] == [True, True, False]

    again = (await alice.get(path)).text
    assert token not in again
    assert "Show a block with a new token" in again

    agent_path = path.partition("/connect")[0]
    issued = await alice.post(f"{agent_path}/tokens", data={"client": "claude"})
    assert issued.headers["Location"] == path
    assert "mc_agent_" in (await alice.get(path)).text


async def test_the_settings_for_claude_block_calls_without_an_answer(alice, world) -> None:
    page = (await alice.get(await create_client(alice, world))).text
    settings = json.loads(next(one for one in read_blocks(page) if one.startswith("{")))
    [group] = settings["hooks"]["PreToolUse"]
    [hook] = group["hooks"]
    assert (hook["url"], hook["onFailure"]) == (f"{BASE}/hooks/claude", "block")
    assert settings["env"]["OTEL_EXPORTER_OTLP_ENDPOINT"] == f"{BASE}/otlp"


@pytest.mark.parametrize("client", [*CodingClient])
async def test_each_client_has_a_page_with_its_checks(alice, address, client) -> None:
    page = (await alice.get(f"{address}/connect?client={client}")).text
    checks = ["Token seen", "Hook answered", "MCP connected"]
    assert all(check in page for check in checks)
    assert ("Telemetry arrived" in page) is (client != CodingClient.OPENCODE)
    assert f"python3 - disconnect {client}" in page
    assert "/policy" in page
    assert page.count('data-s="todo"') == len(checks) - 1 + (client != CodingClient.OPENCODE)


async def test_a_check_becomes_green_when_the_client_has_called(
    alice, address, world, transaction
) -> None:
    part = (await alice.get(f"{address}/connect?client=codex", headers=HTMX)).text
    assert "<html" not in part
    assert part.count('data-s="done"') == 1  # the token
    async with transaction() as session:
        agent = await session.get(Agent, world.worker.id)
        for kind in coding_sessions.ConnectionKind:
            await coding_sessions.record_connection(session, agent, CodingClient.CODEX, kind=kind)
    part = (await alice.get(f"{address}/connect?client=codex", headers=HTMX)).text
    assert part.count('data-s="done"') == 4
    assert "Start the test" in part
    async with transaction() as session:
        agent = await session.get(Agent, world.worker.id)
        await coding_sessions.record_disconnection(session, agent, CodingClient.CODEX)
    part = (await alice.get(f"{address}/connect?client=codex", headers=HTMX)).text
    assert part.count('data-s="done"') == 1
    assert "Start the test" not in part
    assert "Codex was disconnected" in (await alice.get(address)).text


@pytest.fixture
async def hold(world, transaction):
    """Return a function that stores a call of Codex, which was held for a test."""

    async def store(seconds: int, *, cut_seconds: float | None = None, **columns) -> None:
        at = now()
        async with transaction() as session:
            agent = await session.get(Agent, world.worker.id)
            await coding_sessions.record_connection(
                session, agent, CodingClient.CODEX, kind=coding_sessions.ConnectionKind.HOOK
            )
            client_session: CodingSession = await coding_sessions.record_signal(
                session, agent, CodingClient.CODEX, "one", is_call=True
            )
            ended = {name: at if value is True else value for name, value in columns.items()}
            ended.setdefault("waits_until", at + timedelta(minutes=5))
            session.add(
                ToolCall(
                    organization_id=agent.organization_id,
                    board_id=agent.board_id,
                    agent_id=agent.id,
                    session_id=client_session.id,
                    tool="Bash",
                    request_hash="hash",
                    input_excerpt="echo Mission Control",
                    facts={},
                    reason=CONNECTION_TEST,
                    asked_at=at - timedelta(seconds=seconds),
                    **ended,
                )
            )
            values = {"test_requested_at": None, "cut_seconds": cut_seconds}
            await session.execute(update(ClientConnection).values(values))

    return store


@pytest.mark.parametrize(
    ("seconds", "columns", "sentence"),
    [
        (20, {}, "The call is held for 20 s so far."),
        (600, {"waits_until": True}, "Start the test"),  # the server was killed meanwhile
        (72, {"answer": "allow", "answered_at": True}, "A call was held for 72 s, and Codex"),
        (
            60,
            {"abandoned_at": True, "cut_seconds": 60.2},
            "The connection was closed after 60 s, before the answer.",
        ),
        (60, {"abandoned_at": True}, "Start the test"),  # the server was stopped
        (5, {"answer": "deny", "answered_at": True}, "The call was answered after 5 s"),
    ],
)
async def test_the_page_says_how_the_test_went(
    alice, address, hold, seconds, columns, sentence
) -> None:
    await hold(seconds, **columns)
    page = (await alice.get(f"{address}/connect?client=codex")).text
    assert sentence in page
    assert ("proxy_read_timeout" in page) is ("cut_seconds" in columns)


async def test_a_test_holds_the_next_call(alice, address, hold, transaction) -> None:
    await hold(72, answer="allow", answered_at=True)
    path = f"{address}/connect?client=codex"
    sent = await alice.post(f"{address}/connect/tests", data={"client": "codex"})
    assert sent.headers["Location"] == f"{path}#test"
    page = (await alice.get(path)).text
    assert 'data-copy="echo Mission Control"' in page
    async with transaction() as session:
        assert await session.scalar(select(ClientConnection.test_requested_at)) is not None


async def test_only_admins_connect_clients(bob, charlie, address) -> None:
    for browser, status in ((bob, 403), (charlie, 404)):
        assert (await browser.get(f"{address}/connect?client=claude")).status_code == status
        tested = await browser.post(f"{address}/connect/tests", data={"client": "claude"})
        assert tested.status_code == status
    assert (await bob.get("/agents/new?client=claude")).status_code == 403


async def test_an_unknown_client_cannot_be_tested(alice, address) -> None:
    for client in ("", "emacs", "claude\0"):
        tested = await alice.post(f"{address}/connect/tests", data={"client": client})
        assert tested.status_code in (404, 422)


async def test_a_board_on_a_gateway_takes_no_coding_agent(alice, world, transaction) -> None:
    async with transaction() as session:
        gateway = make_gateway(world.tern)
        session.add(gateway)
        await session.flush()
        (await session.get_one(Board, world.board.id)).gateway_id = gateway.id
        (await session.get_one(Agent, world.worker.id)).gateway_id = gateway.id
    options = re.findall("<option [^>]*>", (await alice.get("/agents/new?client=claude")).text)
    assert not any(str(world.board.id) in one for one in options)
    shown = await alice.get(f"/agents/{world.worker.id}/connect?client=claude")
    assert shown.headers["Location"] == f"/agents/{world.worker.id}"
    tested = await alice.post(f"/agents/{world.worker.id}/connect/tests", data={"client": "claude"})
    assert tested.status_code == 409
    assert "the agent is on a gateway, or has no board" in tested.text
    data = {"name": "Ada", "client": "claude", "board_id": str(world.board.id)}
    refused = await alice.post("/agents", data=data)
    assert refused.status_code == 422
    assert "The agents of this board run on its gateway." in refused.text
