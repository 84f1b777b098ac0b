"""A person tests the connection of a client: the next call of a harmless command is held."""

import asyncio

import pytest
from sqlalchemy import select

from core.http.long_wait import LongWait, WaitEnd
from models import Approval, ClientConnection, CodingClient, ToolAnswer, ToolCall
from services import coding_sessions
from services.coding_sessions import CONNECTION_TEST, TEST_COMMAND
from services.tool_calls import HeldCall, ToolReply
from tests.support.approval_helpers import APPROVED, decide_approval
from tests.support.tool_calls import answer_held, ask, prepare

CLAUDE = CodingClient.CLAUDE


async def test_the_next_test_command_is_held_once_although_it_is_allowed(session, world) -> None:
    reply = await ask(session, world.worker, prepare(TEST_COMMAND))
    assert isinstance(reply, ToolReply)
    assert reply.answer is ToolAnswer.ALLOW
    await coding_sessions.request_test(session, world.worker, CLAUDE)

    held = await ask(session, world.worker, prepare(TEST_COMMAND))

    assert isinstance(held, HeldCall)
    assert held.is_test
    call = await coding_sessions.LATEST_TEST.first(session, agent_id=world.worker.id, client=CLAUDE)
    assert call is not None
    assert (call.id, call.reason, call.answer) == (held.call_id, CONNECTION_TEST, None)
    assert await session.scalar(select(ClientConnection.test_requested_at)) is None
    again = await ask(session, world.worker, prepare(TEST_COMMAND))
    assert isinstance(again, ToolReply)
    approval = await session.get_one(Approval, held.approval_id)
    await decide_approval(session, world.alice, approval, APPROVED, undo_seconds=0)
    answer = await answer_held(session, held)
    assert answer is not None
    assert answer.answer is ToolAnswer.ALLOW


@pytest.mark.parametrize(
    "fields",
    [
        {"command": "ls"},
        {"command": f"{TEST_COMMAND}; ls"},
        {"command": TEST_COMMAND, "is_headless": True},
        {"command": TEST_COMMAND, "client": CodingClient.CODEX},
    ],
)
async def test_other_calls_are_no_test(session, world, fields) -> None:
    await coding_sessions.request_test(session, world.worker, CLAUDE)
    await ask(session, world.worker, prepare(**fields))
    assert await session.scalar(select(ToolCall.reason)) != CONNECTION_TEST
    assert await session.scalar(select(ClientConnection.test_requested_at)) is not None


async def test_a_decision_during_a_test_is_noticed_after_it() -> None:
    notified = asyncio.Event()
    wait = LongWait(notified, 60)
    notified.set()
    await wait.sleep(0.01)
    assert await wait.next() is WaitEnd.NOTIFIED


async def test_a_closed_connection_ends_a_test() -> None:
    wait = LongWait(asyncio.Event(), 60)
    asyncio.get_running_loop().call_soon(wait.stop, WaitEnd.CLOSED)
    await wait.sleep(60)
    assert await wait.next() is WaitEnd.CLOSED
