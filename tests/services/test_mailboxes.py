"""What people see of an agent's messages: what each waits for. The rules need no database."""

from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy.ext.asyncio import AsyncSession

from kit.clock import now
from models import Agent, DesiredState, Gateway, Message, MessageState, Step
from services import mailboxes
from services.mailboxes import Mailbox, Reason
from tests.world import World, a_gateway, a_message, a_world

MOMENT = now()
SINCE = MOMENT - timedelta(minutes=20)
WORLD = a_world()


def rung(state: str) -> dict[str, Any]:
    sentence = "Nobody listens on port 9." if state == "failed" else "It is well."
    return {"name": "port", "state": state, "sentence": sentence, "since": SINCE.isoformat()}


def a_place(**fields: Any) -> Gateway:
    """Make a gateway that is there, and to which a worker is connected."""
    defaults: dict[str, Any] = {"checks": [rung("ok")], "held_by": "a worker"}
    defaults["held_until"] = MOMENT + timedelta(seconds=10)
    return a_gateway(WORLD.tern, "Workshop", **(defaults | fields))


def an_agent_there(**fields: Any) -> Agent:
    defaults: dict[str, Any] = {"desired_state": DesiredState.RUNNING, "observed_generation": 1}
    defaults |= {"openclaw_session_id": "agent:mc-1:main", "is_linked": False}
    return Agent(**(defaults | fields))


def a_letter(content: str = "BOARD CHAT\nHello.", **fields: Any) -> Message:
    defaults = {"state": MessageState.QUEUED, "next_try_at": SINCE}
    return a_message(WORLD.worker, content, **(defaults | fields))


def reason(message: Message, mailbox: Mailbox) -> str | None:
    wait = mailbox.wait_of(message, MOMENT)
    return wait.reason if wait else None


def test_a_message_waits_for_an_agent_that_fetches_it() -> None:
    wait = Mailbox(WORLD.worker).wait_of(a_letter(), MOMENT)
    assert wait
    assert (wait.reason, wait.since) == (Reason.AGENT, SINCE)


def test_nothing_is_waited_for_when_a_message_has_come_to_its_end() -> None:
    for state in (MessageState.ACKNOWLEDGED, MessageState.FAILED):
        assert reason(a_letter(state=state), Mailbox(an_agent_there(), a_place())) is None


def test_it_is_told_since_when_a_gateway_is_away_and_why() -> None:
    away = Mailbox(an_agent_there(), a_place(checks=[rung("failed")]), paused_at=MOMENT)
    for state in (MessageState.QUEUED, MessageState.SENT):
        wait = away.wait_of(a_letter(state=state), MOMENT)
        assert wait
        assert (wait.reason, wait.since) == (Reason.GATEWAY_AWAY, SINCE)
        assert wait.sentence == "Workshop is away. Nobody listens on port 9."


@pytest.mark.parametrize(
    "fields", [{"held_by": None, "held_until": None}, {"held_until": SINCE}, {"checks": None}]
)
def test_it_is_told_that_nobody_is_connected_to_a_gateway(fields: dict[str, Any]) -> None:
    wait = Mailbox(an_agent_there(), a_place(**fields)).wait_of(a_letter(), MOMENT)
    assert wait
    assert wait.reason is Reason.GATEWAY_AWAY
    assert "worker" in wait.sentence


def test_an_agent_that_is_being_started_is_waited_for() -> None:
    for fields in (
        {"observed_generation": 0},
        {"step": Step.WAKE},
        {"openclaw_session_id": None},
        {"desired_state": DesiredState.GONE},
        {"desired_state": None, "is_linked": True},
    ):
        agent = an_agent_there(**fields)
        assert reason(a_letter(), Mailbox(agent, a_place())) == Reason.AGENT_STARTING
    linked = an_agent_there(desired_state=None, is_linked=True, listed_at=SINCE)
    assert reason(a_letter(), Mailbox(linked, a_place())) == Reason.CARRIER


def test_it_is_told_why_an_agent_is_not_there() -> None:
    failure = {"step": "create", "code": "rejected", "reason": "The disk is full."}
    agent = an_agent_there(observed_generation=0, provision_failure=failure)
    wait = Mailbox(agent, a_place()).wait_of(a_letter(), MOMENT)
    assert wait
    assert wait.sentence.endswith("The disk is full.")


def test_on_a_paused_board_all_but_commands_wait() -> None:
    paused = Mailbox(an_agent_there(), a_place(), paused_at=SINCE)
    assert reason(a_letter(), paused) == Reason.BOARD_PAUSED
    assert reason(a_letter("/pause"), paused) == Reason.CARRIER
    assert reason(a_letter(state=MessageState.SENT), paused) == Reason.TURN


def test_a_gateway_that_does_not_take_a_message_is_told_of_with_its_words() -> None:
    later = MOMENT + timedelta(seconds=8)
    busy = a_letter(last_error="Model catalog is not ready", due_at=later, attempts=3)
    wait = Mailbox(an_agent_there(), a_place()).wait_of(busy, MOMENT)
    assert wait
    assert wait.reason is Reason.GATEWAY_BUSY
    assert "Model catalog is not ready" in wait.sentence


async def test_a_mailbox_knows_the_agents_gateway_and_whether_its_board_is_paused(
    session: AsyncSession, world: World
) -> None:
    gateway = a_gateway(world.tern)
    session.add(gateway)
    await session.flush()
    world.board.paused_at = SINCE
    worker = world.worker
    assert await mailboxes.of_agent(session, worker) == Mailbox(worker)
    worker.gateway_id = gateway.id
    assert await mailboxes.of_agent(session, worker) == Mailbox(worker)
    worker.desired_state = DesiredState.RUNNING
    session.add_all([worker, world.board])
    await session.flush()
    assert await mailboxes.of_agent(session, worker) == Mailbox(worker, gateway, SINCE)
