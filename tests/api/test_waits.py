"""Requests of agents that wait until something is new for them."""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import pytest
from sqlalchemy import delete
from starlette.types import ASGIApp

import api.mcp
from core.config.settings import Settings
from core.db.engine import TransactionFactory
from core.db.listen import PostgresListener
from core.http.long_wait import end_waits
from core.http.request import WAITS_OF_AGENT
from core.shared_limiters import SharedConcurrencyLimiter, SharedLimits, SharedRateLimiter
from models import AgentToken, Status
from services import approvals, boards, messages
from services.approvals import ApprovalCreate
from services.events import EventFeed
from services.messages import OutgoingMessage
from tests.support.api_fixtures import HIGH_RATE_LIMITS, Client, create_client
from tests.support.app_on_transactions import build_app_on
from tests.support.fake_gateway import wait_until
from tests.support.mcp_client import MODERN, McpClient
from tests.support.round_trips import record_round_trips
from tests.support.stream_client import StreamClient
from tests.support.tool_calls import hook_body
from tests.support.world import World

MESSAGES = "/agent/messages"


@dataclass
class Site:
    """An application whose changes are committed and announced."""

    app: ASGIApp
    world: World
    transaction: TransactionFactory
    waits: SharedConcurrencyLimiter

    @property
    def worker(self) -> Client:
        return create_client(self.app, self.world.worker)

    @property
    def tasks(self) -> str:
        return f"/agent/boards/{self.world.board.id}/tasks"

    async def wait_until_waiting(self, count: int = 1) -> None:
        await wait_until(lambda: self.waits.total == count)

    async def send_message(self) -> None:
        async with self.transaction() as session:
            message = OutgoingMessage(to=self.world.worker, content="NUDGE\nGo on.")
            await messages.enqueue_messages(session, [message])

    async def add_task(self, **fields: Any) -> None:
        async with self.transaction() as session:
            session.add(self.world.make_task(**fields))

    async def request_approval(self) -> str:
        async with self.transaction() as session:
            board = await boards.lock_board(session, self.world.worker, self.world.board.id)
            fields = ApprovalCreate(action_type="deploy", confidence=90, lead_reasoning="It works.")
            requested = await approvals.request_approval(session, self.world.worker, board, fields)
            return str(requested.approval.id)

    async def approve(self, approval_id: str) -> None:
        path = f"/boards/{self.world.board.id}/approvals/{approval_id}"
        decided = await create_client(self.app, self.world.alice).patch(
            path, json={"status": "approved"}
        )
        assert decided.status_code == 200, decided.text


@pytest.fixture
async def site(
    isolated_settings: Settings, isolated_transaction: TransactionFactory, isolated_world: World
) -> AsyncIterator[Site]:
    options = {**HIGH_RATE_LIMITS, "request_log_slow_ms": 500}
    settings = isolated_settings.model_copy(update=options)
    listener = PostgresListener()
    listening = asyncio.create_task(listener.listen(settings.dsn))
    await asyncio.wait_for(listener.connected.wait(), 10)
    waits = SharedConcurrencyLimiter(SharedLimits(None), "waits", "Too many requests wait.")
    async with api.mcp.run_server() as server:
        app = build_app_on(
            settings,
            isolated_transaction,
            listener=listener,
            event_feed=EventFeed(isolated_transaction, listener),
            long_waits=waits,
            mcp_server=server,
        )
        yield Site(app, isolated_world, isolated_transaction, waits)
    listening.cancel()
    with suppress(asyncio.CancelledError):
        await listening


async def while_waiting(site: Site, request: Awaitable[Any], change: Awaitable[object]) -> Any:
    """Return the response to a request that waits until the change."""
    waiting = asyncio.ensure_future(request)
    await site.wait_until_waiting()
    assert not waiting.done()
    await change
    async with asyncio.timeout(20):  # less than the wait
        return await waiting


async def test_a_list_of_messages_waits_for_the_first(site: Site) -> None:
    with record_round_trips() as log:
        response = await while_waiting(
            site, site.worker.get(f"{MESSAGES}?wait=50"), site.send_message()
        )
    assert [one["kind"] for one in response.json()["items"]] == ["NUDGE"]
    reads = [one for one in log.statements if "FROM agent_messages" in one and "LIMIT" in one]
    assert len(reads) == 3  # at first, when its agent's topic is subscribed to, and at the end
    at_once = await site.worker.get(f"{MESSAGES}?wait=50")
    assert at_once.json() == response.json()


async def test_a_request_that_waits_is_counted_once(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It authenticates its agent again after each notification."""
    counted = []

    async def count(_: SharedRateLimiter, key: str) -> None:
        counted.append(key)

    monkeypatch.setattr(SharedRateLimiter, "hit", count)
    path = f"{MESSAGES}?wait=50"
    await while_waiting(site, site.worker.get(path), site.send_message())
    assert counted == [str(site.world.worker.id)]


@pytest.mark.parametrize("is_assigned", [True, False])
async def test_a_list_of_tasks_waits_for_one_of_its_agent_or_a_free_one(
    site: Site, is_assigned: bool
) -> None:
    fields = {"assigned_agent_id": site.world.worker.id} if is_assigned else {}
    path = f"{site.tasks}?status=inbox&wait=50"
    response = await while_waiting(site, site.worker.get(path), site.add_task(**fields))
    assert [one["title"] for one in response.json()["items"]] == ["Write the report"]


async def test_an_approval_waits_for_its_decision(site: Site) -> None:
    id = await site.request_approval()
    path = f"/agent/boards/{site.world.board.id}/approvals/{id}"
    assert (await site.worker.get(path)).json()["status"] == "pending"
    response = await while_waiting(site, site.worker.get(f"{path}?wait=50"), site.approve(id))
    assert response.json()["status"] == "approved"


async def test_the_tool_waits_for_a_message_a_decision_or_a_task(site: Site) -> None:
    client = McpClient(site.worker)
    first = await while_waiting(site, client.call("wait"), site.send_message())
    [message] = first["messages"]
    assert (message["kind"], message["state"]) == ("NUDGE", "queued")
    again = await client.call("wait")
    assert again == first
    id = await site.request_approval()
    acknowledging = client.call("wait", acknowledge=[message["id"]])
    second = await while_waiting(site, acknowledging, site.approve(id))
    [decision] = second["messages"]
    assert (decision["kind"], decision["approval_id"]) == ("APPROVAL RESOLVED", id)
    third = await while_waiting(
        site, client.call("wait", acknowledge=[decision["id"]]), site.add_task()
    )
    assert (third["messages"], third["task"]["title"]) == ([], "Write the report")


@pytest.mark.parametrize("version", [None, MODERN])
async def test_a_call_that_waits_does_nothing_if_its_headers_are_wrong(
    site: Site, version: str | None
) -> None:
    client = McpClient(site.worker, version)
    await site.send_message()
    [message] = (await client.call("wait"))["messages"]
    call = {"name": "wait", "arguments": {"acknowledge": [message["id"]], "seconds": 0}}
    for headers, status in [
        ({"Content-Type": "text/plain"}, 400),
        ({"Content-Type": "text/plain; x=application/json"}, 400),
        ({"Accept": "text/html"}, 406),
        ({"Accept": "application/json-seq"}, 406),
    ]:
        refused = await client.post("tools/call", call, **headers)
        assert refused.status_code == status, headers
        assert (await client.call("wait", seconds=0))["messages"] == [message]
    accepted = {"Content-Type": "application/json; charset=utf-8"}
    assert (await client.post("tools/call", call, **accepted)).status_code == 200
    assert (await client.call("wait", seconds=0))["messages"] == []


async def test_the_sdk_gets_a_call_that_waits_when_it_is_over(site: Site) -> None:
    """It would hold a server of its own for each."""
    waiting = asyncio.ensure_future(McpClient(site.worker, "2025-06-18").call("wait"))
    await site.wait_until_waiting()
    names = {str(task.get_coro()) for task in asyncio.all_tasks()}
    assert not {one for one in names if "run_stateless_server" in one}
    await site.send_message()
    assert len((await waiting)["messages"]) == 1


async def test_a_wait_ends_with_what_there_is(site: Site, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, logger="mission_control.request"):
        response = await site.worker.get(f"{MESSAGES}?wait=1")
    assert (response.status_code, response.json()["items"]) == (200, [])
    requests = [one for one in caplog.records if one.name == "mission_control.request"]
    assert [one.levelname for one in requests] == ["INFO"]  # no warning of a slow request
    client = McpClient(site.worker)
    assert await client.call("wait", seconds=0) == {"messages": []}
    await site.add_task(assigned_agent_id=site.world.worker.id, status=Status.IN_PROGRESS)
    await site.add_task()
    assert await client.call("wait", seconds=0) == {"messages": []}


async def test_requests_that_wait_leave_their_slots_to_others(site: Site) -> None:
    waiting = [
        asyncio.ensure_future(site.worker.get(f"{MESSAGES}?wait=50")),
        *(asyncio.ensure_future(McpClient(site.worker).call("wait")) for _ in range(11)),
    ]
    await site.wait_until_waiting(12)
    assert (await site.worker.get(site.tasks)).status_code == 200
    await site.send_message()
    async with asyncio.timeout(20):
        await asyncio.gather(*waiting)
    assert site.waits.total == 0


async def test_an_agent_has_few_requests_that_wait(site: Site) -> None:
    for _ in range(WAITS_OF_AGENT):
        await site.waits.acquire({f"agent {site.world.worker.id}": WAITS_OF_AGENT})
    refused = await site.worker.get(f"{MESSAGES}?wait=50")
    assert (refused.status_code, refused.json()["code"]) == (429, "rate_limited")
    assert (await site.worker.get(MESSAGES)).status_code == 200
    code, text = await McpClient(site.worker).fail("wait")
    assert code == "rate_limited"
    assert text.startswith("Too many requests wait.")
    held = await site.worker.post("http://mission.test/hooks/gemini", json=hook_body())
    assert held.json() == {
        "decision": "deny",
        "reason": "Too many requests wait. Try again in 5 s.",
    }


@pytest.mark.parametrize("is_tool", [True, False])
async def test_a_wait_ends_when_the_token_does(site: Site, is_tool: bool) -> None:
    async def end_token() -> None:
        async with site.transaction() as session:
            await session.execute(delete(AgentToken))
        await site.send_message()

    if is_tool:
        failing: Any = McpClient(site.worker).fail("wait")
        code, _ = await while_waiting(site, failing, end_token())
        assert code == "unauthenticated"
    else:
        response = await while_waiting(site, site.worker.get(f"{MESSAGES}?wait=50"), end_token())
        assert response.status_code == 401


async def test_a_wait_without_news_is_refused_if_its_token_has_ended(site: Site) -> None:
    async def end_token() -> None:
        async with site.transaction() as session:
            await session.execute(delete(AgentToken))
        end_waits()

    failing: Any = McpClient(site.worker).fail("wait")
    code, _ = await while_waiting(site, failing, end_token())
    assert code == "unauthenticated"


async def test_a_wait_ends_when_the_client_has_gone(site: Site) -> None:
    client = StreamClient(site.app, site.world.worker, f"/api/v1{MESSAGES}?wait=50")
    await site.wait_until_waiting()
    await client.disconnect()
    await site.wait_until_waiting(0)


async def test_a_paused_agent_is_offered_no_task(site: Site) -> None:
    await site.add_task()
    client = McpClient(site.worker)
    assert (await client.call("wait", seconds=0))["task"]["title"] == "Write the report"
    alice = create_client(site.app, site.world.alice)
    paused = await alice.post(
        f"/boards/{site.world.board.id}/memory", json={"content": "/pause", "tags": ["chat"]}
    )
    assert paused.status_code == 200, paused.text
    assert "task" not in await client.call("wait", seconds=0)
    code, _ = await client.fail("next_task")
    assert code == "board_paused"


@pytest.mark.parametrize("wait", ["-1", "51", "long", "1e9"])
async def test_only_few_seconds_can_be_waited_for(worker: Client, wait: str) -> None:
    refused = await worker.get(f"{MESSAGES}?wait={wait}")
    assert refused.status_code == 422
    assert refused.json()["detail"][0]["loc"] == ["query", "wait"]
