"""The delivery status of messages. Most tests need no database."""

from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy.ext.asyncio import AsyncSession

from core.clock import now
from models import Agent, DesiredState, Gateway, Message, MessageState, ProvisioningStep
from services import pending_reasons
from services.pending_reasons import DeliveryConditions, PendingReason
from tests.support.board_rows import make_message
from tests.support.gateway_rows import make_gateway
from tests.support.world import World, make_world

MOMENT = now()
SINCE = MOMENT - timedelta(minutes=20)
WORLD = make_world()


def make_check(state: str) -> dict[str, Any]:
    sentence = "Nobody listens on port 9." if state == "failed" else "It is well."
    return {"name": "port", "state": state, "sentence": sentence, "since": SINCE.isoformat()}


def make_connected_gateway(**fields: Any) -> Gateway:
    """Build a gateway to which a worker is connected."""
    defaults: dict[str, Any] = {"checks": [make_check("ok")], "lease_holder": "a worker"}
    defaults["lease_expires_at"] = MOMENT + timedelta(seconds=10)
    return make_gateway(WORLD.tern, "Workshop", **(defaults | fields))


def make_gateway_agent(**fields: Any) -> Agent:
    defaults: dict[str, Any] = {"desired_state": DesiredState.RUNNING, "observed_generation": 1}
    defaults |= {"openclaw_session_id": "agent:mc-1:main", "is_linked": False}
    return Agent(**(defaults | fields))


def make_pending_message(content: str = "BOARD CHAT\nHello.", **fields: Any) -> Message:
    defaults = {"state": MessageState.QUEUED, "waiting_since": SINCE}
    return make_message(WORLD.worker, content, **(defaults | fields))


def reason(message: Message, context: DeliveryConditions) -> str | None:
    status = context.pending_status(message, MOMENT)
    return status.reason if status else None


def test_without_a_gateway_a_message_is_pending_for_its_agent() -> None:
    status = DeliveryConditions(WORLD.worker).pending_status(make_pending_message(), MOMENT)
    assert status
    assert (status.reason, status.since) == (PendingReason.AGENT, SINCE)


def test_a_finished_message_has_no_pending_status() -> None:
    for state in (MessageState.ACKNOWLEDGED, MessageState.FAILED):
        assert (
            reason(
                make_pending_message(state=state),
                DeliveryConditions(make_gateway_agent(), make_connected_gateway()),
            )
            is None
        )


def test_the_status_says_why_and_since_when_a_gateway_is_away() -> None:
    away = DeliveryConditions(
        make_gateway_agent(),
        make_connected_gateway(checks=[make_check("failed")]),
        paused_at=MOMENT,
    )
    for state in (MessageState.QUEUED, MessageState.SENT):
        status = away.pending_status(make_pending_message(state=state), MOMENT)
        assert status
        assert (status.reason, status.since) == (PendingReason.GATEWAY_AWAY, SINCE)
        assert status.sentence == "Workshop is away. Nobody listens on port 9."


@pytest.mark.parametrize(
    "fields",
    [
        {"lease_holder": None, "lease_expires_at": None},
        {"lease_expires_at": SINCE},
        {"checks": None},
    ],
)
def test_the_status_says_that_no_worker_is_connected(fields: dict[str, Any]) -> None:
    status = DeliveryConditions(
        make_gateway_agent(), make_connected_gateway(**fields)
    ).pending_status(make_pending_message(), MOMENT)
    assert status
    assert status.reason is PendingReason.GATEWAY_AWAY
    assert "worker" in status.sentence


def test_a_message_is_pending_while_its_agent_starts() -> None:
    for fields in (
        {"observed_generation": 0},
        {"step": ProvisioningStep.WAKE},
        {"openclaw_session_id": None},
        {"desired_state": DesiredState.GONE},
        {"desired_state": None, "is_linked": True},
    ):
        agent = make_gateway_agent(**fields)
        assert (
            reason(make_pending_message(), DeliveryConditions(agent, make_connected_gateway()))
            == PendingReason.AGENT_STARTING
        )
    linked = make_gateway_agent(desired_state=None, is_linked=True, listed_at=SINCE)
    assert (
        reason(make_pending_message(), DeliveryConditions(linked, make_connected_gateway()))
        == PendingReason.WORKER
    )


def test_the_status_says_why_an_agent_was_not_provisioned() -> None:
    failure = {"step": "create", "code": "rejected", "reason": "The disk is full."}
    agent = make_gateway_agent(observed_generation=0, provision_failure=failure)
    status = DeliveryConditions(agent, make_connected_gateway()).pending_status(
        make_pending_message(), MOMENT
    )
    assert status
    assert status.sentence.endswith("The disk is full.")


def test_on_a_paused_board_all_messages_except_commands_are_pending() -> None:
    paused = DeliveryConditions(make_gateway_agent(), make_connected_gateway(), paused_at=SINCE)
    assert reason(make_pending_message(), paused) == PendingReason.BOARD_PAUSED
    assert reason(make_pending_message("/pause"), paused) == PendingReason.WORKER
    assert reason(make_pending_message(state=MessageState.SENT), paused) == PendingReason.TURN


def test_the_status_contains_the_error_of_a_busy_gateway() -> None:
    later = MOMENT + timedelta(seconds=8)
    busy = make_pending_message(
        last_error="Model catalog is not ready", next_attempt_at=later, attempts=3
    )
    status = DeliveryConditions(make_gateway_agent(), make_connected_gateway()).pending_status(
        busy, MOMENT
    )
    assert status
    assert status.reason is PendingReason.GATEWAY_BUSY
    assert "Model catalog is not ready" in status.sentence


async def test_the_context_has_the_gateway_and_the_pause_of_the_board(
    session: AsyncSession, world: World
) -> None:
    gateway = make_gateway(world.tern)
    session.add(gateway)
    await session.flush()
    world.board.paused_at = SINCE
    worker = world.worker
    assert await pending_reasons.load_delivery_conditions(session, worker) == DeliveryConditions(
        worker
    )
    worker.gateway_id = gateway.id
    assert await pending_reasons.load_delivery_conditions(session, worker) == DeliveryConditions(
        worker
    )
    worker.desired_state = DesiredState.RUNNING
    session.add_all([worker, world.board])
    await session.flush()
    assert await pending_reasons.load_delivery_conditions(session, worker) == DeliveryConditions(
        worker, gateway, SINCE
    )
