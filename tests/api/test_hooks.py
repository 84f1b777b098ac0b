"""POST /hooks/{client}: clients of coding agents ask over HTTP, and wait there for people."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from datetime import timedelta

import httpx2
import pytest
from sqlalchemy import func, select, update

from core.clock import now
from core.config.settings import Settings
from core.db.engine import TransactionFactory
from core.http.long_wait import end_waits
from models import Agent, AgentToken, Approval, ApprovalStatus, ClientConnection, ToolCall, User
from services import agents, approvals
from tests.support.api_fixtures import HIGH_RATE_LIMITS
from tests.support.live_server import run_server
from tests.support.people_rows import make_agent_token, token_secret
from tests.support.statement_counter import count_all_statements
from tests.support.tool_calls import hook_body
from tests.support.world import World

URL = "http://mission.test/hooks"


def decision_of(response: httpx2.Response) -> str:
    assert response.status_code == 200, response.text
    return response.json()["hookSpecificOutput"]["permissionDecision"]


def text_of(response: httpx2.Response) -> str:
    return response.json()["hookSpecificOutput"]["permissionDecisionReason"]


class TestRequests:
    async def test_a_plain_read_is_allowed_in_the_format_of_each_client(self, worker) -> None:
        answers = {}
        tools = {"copilot": "bash", "opencode": "bash", "gemini": "run_shell_command"}
        for client in ("claude", "codex", "copilot", "opencode", "gemini"):
            body = hook_body("ls", tool_name=tools.get(client, "Bash"))
            response = await worker.post(f"{URL}/{client}?wait=1", json=body)
            assert response.headers["Cache-Control"] == "no-store"
            answers[client] = response.json()
        assert answers["claude"]["hookSpecificOutput"]["permissionDecision"] == "allow"
        assert answers["codex"] == {}
        assert answers["copilot"]["permissionDecision"] == "allow"
        assert answers["opencode"]["decision"] == answers["gemini"]["decision"] == "allow"

    async def test_only_agents_ask(self, anonymous, alice, worker) -> None:
        for caller in (anonymous, alice):
            response = await caller.post(f"{URL}/claude", json=hook_body("ls"))
            assert (response.status_code, response.json()["detail"]) == (401, "Unauthorized")
        assert (await worker.post(f"{URL}/emacs", json=hook_body("ls"))).status_code == 404
        assert (await worker.get(f"{URL}/claude")).status_code == 405

    @pytest.mark.parametrize("content", [b"", b"no JSON", b"[]", b'"text"', b"\xff", b"{" * 1_000])
    async def test_what_is_no_question_is_denied_with_valid_json(self, worker, content) -> None:
        response = await worker.post(f"{URL}/claude", content=content)
        assert (decision_of(response), "not a JSON object" in text_of(response)) == ("deny", True)

    async def test_bad_options_and_fields_are_denied_with_the_reason(self, worker) -> None:
        for address, part in [
            ("claude?wait=0", "wait must be from 1"),
            ("claude?wait=nan", "wait must be from 1"),
            ("claude?wait=86001", "wait must be from 1"),
            ("claude?headless=yes", "headless must be"),
        ]:
            response = await worker.post(f"{URL}/{address}", json=hook_body("ls"))
            assert (decision_of(response), part in text_of(response)) == ("deny", True)
        response = await worker.post(f"{URL}/claude", json=hook_body("ls", session_id=7))
        assert (decision_of(response), "session_id" in text_of(response)) == ("deny", True)
        response = await worker.post(f"{URL}/claude", content=b"[" * 3_000_000)
        assert (decision_of(response), "too much" in text_of(response)) == ("deny", True)

    async def test_other_events_are_recorded_and_get_an_empty_answer(self, worker, session) -> None:
        body = {"session_id": "s", "hook_event_name": "Stop"}
        assert (await worker.post(f"{URL}/claude", json=body)).json() == {}
        body = {"session_id": "s", "hook_event_name": "Notification"}
        assert (await worker.post(f"{URL}/claude", json=body)).json() == {}
        assert await session.scalar(select(func.count()).select_from(ToolCall)) == 0

    async def test_only_a_report_without_a_call_disconnects(self, worker, session) -> None:
        disconnected_at = select(ClientConnection.disconnected_at)
        await worker.post(f"{URL}/claude", json=hook_body("ls"))
        for event in ("ClientDisconnected", "client-disconnected"):
            body = hook_body("git push") | {"hook_event_name": None}
            response = await worker.post(f"{URL}/claude?event={event}&wait=1&headless=1", json=body)
            assert decision_of(response) == "defer"
        assert await session.scalar(disconnected_at) is None
        headers = {"X-Hook-Event": "ClientDisconnected"}
        assert (await worker.post(f"{URL}/claude", json={}, headers=headers)).json() == {}
        assert await session.scalar(disconnected_at) is not None

    async def test_an_automatic_answer_needs_five_statements(self, worker) -> None:
        await worker.post(f"{URL}/claude", json=hook_body("ls"))
        with count_all_statements() as statements:
            response = await worker.post(f"{URL}/claude", json=hook_body("ls"))
        assert decision_of(response) == "allow"
        assert len(statements) <= 5, "\n\n".join(one[:150] for one in statements)

    async def test_a_headless_client_is_deferred(self, worker) -> None:
        body = hook_body(tool_use_id="toolu_1")
        response = await worker.post(f"{URL}/claude?headless=1", json=body)
        assert decision_of(response) == "defer"


@pytest.fixture
async def server(isolated_settings: Settings, isolated_world: World) -> AsyncIterator[str]:
    async with run_server(isolated_settings.model_copy(update=HIGH_RATE_LIMITS)) as url:
        yield url


@pytest.fixture
async def agent(server: str, isolated_world: World) -> AsyncIterator[httpx2.AsyncClient]:
    headers = {"Authorization": f"Bearer {token_secret(isolated_world.worker)}"}
    async with httpx2.AsyncClient(
        base_url=server, headers=headers, timeout=30, limits=httpx2.Limits(max_connections=200)
    ) as client:
        yield client


async def wait_until_held(transaction: TransactionFactory, count: int = 1) -> Approval:
    """Wait until calls are held, and return their newest approval."""
    held = (
        select(func.count())
        .select_from(ToolCall)
        .where(ToolCall.answer.is_(None), ToolCall.abandoned_at.is_(None))
    )
    async with asyncio.timeout(20):
        while True:
            async with transaction() as session:
                if await session.scalar(held) == count:
                    query = select(Approval).order_by(Approval.created_at.desc()).limit(1)
                    return (await session.scalars(query)).one()
            await asyncio.sleep(0.02)


async def decide(
    transaction: TransactionFactory, user: User, approval: Approval, status=ApprovalStatus.APPROVED
) -> None:
    async with transaction() as session:
        await approvals.decide_with_undo(session, user, approval.id, status=status, undo_seconds=0)


class TestHeldCalls:
    async def test_a_held_call_gets_the_decision_and_costs_no_statement(
        self, agent, isolated_transaction, isolated_world
    ) -> None:
        await agent.post("/hooks/claude", json=hook_body("ls"))  # records the connection
        asked = asyncio.create_task(agent.post("/hooks/claude", json=hook_body()))
        approval = await wait_until_held(isolated_transaction)
        with count_all_statements() as statements:
            for _ in range(10):
                await asyncio.sleep(0.02)
        # The listener of the process may just have connected.
        connecting = ("LISTEN", "select pg_backend_pid()")
        assert [one for one in statements if not one.startswith(connecting)] == []
        assert not asked.done()
        await decide(isolated_transaction, isolated_world.alice, approval)
        assert decision_of(await asked) == "allow"

    async def test_held_calls_leave_the_slots_to_other_requests(
        self, agent, isolated_transaction, isolated_world
    ) -> None:
        asked = [
            asyncio.create_task(agent.post("/hooks/claude", json=hook_body())) for _ in range(50)
        ]
        approval = await wait_until_held(isolated_transaction, 50)
        response = await agent.post("/hooks/claude", json=hook_body("ls"))
        assert decision_of(response) == "allow"
        with count_all_statements() as statements:
            await decide(isolated_transaction, isolated_world.alice, approval)
            assert {decision_of(one) for one in await asyncio.gather(*asked)} == {"allow"}
        assert sum("UPDATE tool_calls" in one for one in statements) < 5  # one, if all wait already
        async with isolated_transaction() as session:
            stored = await session.get(Approval, approval.id)
            assert stored is not None
            assert stored.request_count == 50

    async def test_the_server_ends_the_wait_and_the_next_call_gets_the_decision(
        self, agent, isolated_transaction, isolated_world
    ) -> None:
        response = await agent.post("/hooks/claude?wait=1", json=hook_body())
        assert (decision_of(response), "still waiting" in text_of(response)) == ("deny", True)
        async with isolated_transaction() as session:
            approval = (await session.scalars(select(Approval))).one()
        await decide(isolated_transaction, isolated_world.alice, approval)
        assert decision_of(await agent.post("/hooks/claude", json=hook_body())) == "allow"

    async def test_a_closed_connection_is_noticed(
        self, agent, isolated_transaction, isolated_world
    ) -> None:
        asked = asyncio.create_task(agent.post("/hooks/claude", json=hook_body()))
        approval = await wait_until_held(isolated_transaction)
        asked.cancel()
        with suppress(asyncio.CancelledError):
            await asked
        await wait_until_held(isolated_transaction, 0)
        await decide(isolated_transaction, isolated_world.alice, approval)
        assert decision_of(await agent.post("/hooks/claude", json=hook_body())) == "allow"

    async def test_a_server_that_stops_answers_held_calls(
        self, agent, isolated_transaction
    ) -> None:
        asked = [
            asyncio.create_task(agent.post("/hooks/claude", json=hook_body())) for _ in range(20)
        ]
        await wait_until_held(isolated_transaction, 20)
        with count_all_statements() as statements:
            while not all(one.done() for one in asked):  # they may not wait yet
                end_waits()
                await asyncio.sleep(0.02)
        for response in await asyncio.gather(*asked):
            assert (decision_of(response), "still waiting" in text_of(response)) == ("deny", True)
        assert sum("UPDATE tool_calls" in one for one in statements) < 5

    async def test_each_token_is_verified_before_its_call_is_answered(
        self, agent, isolated_transaction, isolated_world
    ) -> None:
        token = make_agent_token(isolated_world.worker, secret := "mc_agent_another-token")
        async with isolated_transaction() as session:
            session.add(token)
        other = {"Authorization": f"Bearer {secret}"}
        asked = [
            asyncio.create_task(agent.post("/hooks/claude", json=hook_body(), headers=headers))
            for headers in (other, {})
        ]
        approval = await wait_until_held(isolated_transaction, 2)
        async with isolated_transaction() as session:
            revoked = update(AgentToken).where(AgentToken.id == token.id)
            await session.execute(revoked.values(ended_at=now()))
            await approvals.decide_with_undo(
                session,
                isolated_world.alice,
                approval.id,
                status=ApprovalStatus.APPROVED,
                undo_seconds=0,
            )
        answers = [decision_of(one) for one in await asyncio.gather(*asked)]
        assert answers == ["deny", "allow"]

    @pytest.mark.parametrize("change", ["revoked", "expired", "deleted", "moved"])
    async def test_a_call_is_denied_when_its_token_or_agent_changes(
        self, agent, isolated_transaction, isolated_world, change
    ) -> None:
        worker, world = isolated_world.worker, isolated_world
        token = update(AgentToken).where(AgentToken.agent_id == worker.id)
        async with isolated_transaction() as session:
            if change == "expired":
                await session.execute(token.values(expires_at=now() + timedelta(seconds=3)))
        asked = asyncio.create_task(agent.post("/hooks/claude", json=hook_body()))
        approval = await wait_until_held(isolated_transaction)
        async with isolated_transaction() as session:
            if change == "revoked":
                await session.execute(token.values(ended_at=now()))
            elif change == "deleted":
                await agents.delete_agent(session, world.alice, worker.id)
            elif change == "moved":
                move = update(Agent).where(Agent.id == worker.id)
                await session.execute(move.values(board_id=world.garden.id))
        async with asyncio.timeout(20):
            response = await asked
        reason = "moved to another board" if change == "moved" else "no longer valid"
        assert (decision_of(response), reason in text_of(response)) == ("deny", True)
        if change != "moved":
            response = await agent.post("/hooks/claude", json=hook_body())
            assert response.status_code == 401
            return
        await decide(isolated_transaction, world.alice, approval)
        response = await agent.post("/hooks/claude?headless=1", json=hook_body())
        assert decision_of(response) == "defer"  # the people of the other board are asked


class TestOperations:
    """Calls and permissions in /api/v1."""

    async def test_a_person_allows_equal_calls_and_revokes_that(
        self, worker, bob, rita, charlie, session, world
    ) -> None:
        await worker.post(f"{URL}/claude?headless=1", json=hook_body(tool_use_id="toolu_1"))
        approval = (await session.scalars(select(Approval))).one()
        path = f"/boards/{world.board.id}/approvals/{approval.id}"
        for wrong in ({"grant": "session"}, {"status": "rejected", "edited_input": {}}):
            assert (await bob.patch(path, json=wrong)).status_code == 422
        both = {"status": "approved", "grant": "session", "edited_input": {}}
        assert (await bob.patch(path, json=both)).status_code == 422
        assert (await worker.patch(path, json={"status": "approved"})).status_code == 401
        response = await bob.patch(path, json={"status": "approved", "grant": "session"})
        assert (response.status_code, response.json()["status"]) == (200, "approved")

        assert decision_of(await worker.post(f"{URL}/claude", json=hook_body())) == "allow"
        agent = f"/agents/{world.worker.id}"
        for reader in (bob, rita):
            [grant] = (await reader.get(f"{agent}/grants")).json()["items"]
            assert (grant["scope"], grant["granted_by"]) == ("session", "Bob")
            [newest, oldest] = (await reader.get(f"{agent}/tool-calls")).json()["items"]
            assert (newest["reason"], newest["grant_id"]) == ("grant", grant["id"])
            assert newest["decided_by"] is None
            assert (oldest["answer"], oldest["decided_by"]) == ("defer", "Bob")
        [listed] = (await rita.get(f"{agent}/sessions")).json()["items"]
        assert (listed["session_key"], listed["state"]) == ("session-1", "working")
        assert (listed["id"], listed["call_count"]) == (newest["session_id"], 2)
        assert (await charlie.get(f"{agent}/sessions")).status_code == 404
        assert (await charlie.get(f"{agent}/tool-calls")).status_code == 404
        assert (await charlie.get(f"{agent}/grants")).status_code == 404
        assert (await rita.delete(f"{agent}/grants/{grant['id']}")).status_code == 403
        assert (await charlie.delete(f"{agent}/grants/{grant['id']}")).status_code == 404
        assert (await bob.delete(f"{agent}/grants/{grant['id']}")).json() == {"ok": True}
        response = await worker.post(f"{URL}/claude?headless=1", json=hook_body())
        assert decision_of(response) == "defer"

    async def test_a_person_allows_a_call_with_another_input(
        self, worker, bob, session, world
    ) -> None:
        body = hook_body(tool_use_id="toolu_1")
        await worker.post(f"{URL}/claude?headless=1", json=body)
        approval = (await session.scalars(select(Approval))).one()
        path = f"/boards/{world.board.id}/approvals/{approval.id}"
        edited = {"command": "git push --dry-run"}
        change = {"status": "approved", "edited_input": edited}
        assert (await bob.patch(path, json=change)).status_code == 200
        answer = (await worker.post(f"{URL}/claude?headless=1", json=body)).json()
        assert answer["hookSpecificOutput"]["updatedInput"] == edited
