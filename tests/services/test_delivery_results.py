"""The results of turns: from events, from status checks, or from sending again."""

import asyncio
from datetime import timedelta

import pytest

from core.clock import now
from models import EventType
from services import messages
from services.messages import rules
from tests.support.delivery_faults import (
    ACKNOWLEDGED,
    FAILED,
    NOTIFIED,
    NOTIFY_FAILED,
    SENT,
    wait_a_moment,
)
from tests.support.delivery_gateway import DeliveryGateway, session_key_of
from tests.support.tiers import IS_COMPLETE_RUN


async def test_a_turn_that_ends_before_the_send_response_counts(
    delivery: DeliveryGateway,
) -> None:
    delivery.fake.sends_event_first, delivery.fake.answer_delay = True, 0.6
    await delivery.enqueue("BOARD CHAT\nOne.", "BOARD CHAT\nTwo.")
    async with delivery.run_worker():
        await delivery.wait_for_states(ACKNOWLEDGED, ACKNOWLEDGED)
    assert not [method for method, _ in delivery.fake.calls if method == "chat.history"]


async def test_a_failed_turn_has_a_reason_and_can_be_retried(delivery: DeliveryGateway) -> None:
    delivery.fake.ends_turns_at_once = False
    await delivery.enqueue("TASK ASSIGNED\nDo it.", on_delivered=NOTIFIED, on_failed=NOTIFY_FAILED)
    async with delivery.run_worker():
        [message] = await delivery.wait_for_states(SENT)
        await delivery.fake.fail_turn(message.run_id, "LLM request failed: no credit.")
        [message] = await delivery.wait_for_states(FAILED)
        assert message.last_error == "LLM request failed: no credit."
        assert await delivery.count_events(NOTIFY_FAILED) == 1
        await wait_a_moment()
        assert len(delivery.sent_run_ids) == 1
        async with delivery.transaction() as session:
            await messages.retry_message(
                session, delivery.world.alice, delivery.world.worker, message.id
            )
        [message] = await delivery.wait_for_states(SENT)
        assert message.last_error is None
        await delivery.fake.end_turn(message.run_id)
        await delivery.wait_for_states(ACKNOWLEDGED)
    assert delivery.sent_run_ids == [str(message.id), f"{message.id}.2"]


async def test_a_stopped_turn_has_failed(delivery: DeliveryGateway) -> None:
    delivery.fake.ends_turns_at_once = False
    await delivery.enqueue("BOARD CHAT\nHello.")
    async with delivery.run_worker():
        [message] = await delivery.wait_for_states(SENT)
        await delivery.fake.abort_turn(message.run_id)
        [message] = await delivery.wait_for_states(FAILED)
    assert message.last_error == "Its turn was stopped before it was complete."


async def test_the_result_of_a_turn_without_an_event_is_checked(delivery: DeliveryGateway) -> None:
    """Events are lost together with the connection."""
    delivery.fake.ends_turns_at_once = False
    await delivery.enqueue("BOARD CHAT\nOne.", "BOARD CHAT\nTwo.", "BOARD CHAT\nThree.")
    await delivery.enqueue("BOARD CHAT\nHello.", to=delivery.world.lead)
    async with delivery.run_worker():
        one, _, _ = await delivery.wait_for_states(SENT, SENT, SENT)
        [hello] = await delivery.wait_for_states(SENT, agent=delivery.world.lead)
    await delivery.fake.end_turn(one.run_id)
    await delivery.fake.fail_turn(hello.run_id, "No credit.")
    async with delivery.run_worker():
        await delivery.wait_for_states(ACKNOWLEDGED, ACKNOWLEDGED, ACKNOWLEDGED)
        [hello] = await delivery.wait_for_states(FAILED, agent=delivery.world.lead)
    assert hello.last_error == "Agent failed before reply: No credit."
    assert len(delivery.sent_run_ids) == 4


async def test_a_message_in_the_history_of_a_killed_gateway_is_not_repeated(
    delivery: DeliveryGateway,
) -> None:
    delivery.fake.ends_turns_at_once = False
    await delivery.enqueue("BOARD CHAT\nHello.")
    async with delivery.run_worker():
        await delivery.wait_for_states(SENT)
        await delivery.fake.restart()
        await delivery.wait_for_states(ACKNOWLEDGED)
    assert delivery.fake.received_messages == ["BOARD CHAT\nHello."]


async def test_a_message_pending_in_a_killed_gateway_gets_a_new_turn(
    delivery: DeliveryGateway,
) -> None:
    delivery.fake.ends_turns_at_once = False
    contents = [f"BOARD CHAT\n{number}" for number in range(3)]
    await delivery.enqueue(*contents, on_delivered=NOTIFIED)
    async with delivery.run_worker():
        _, second, third = await delivery.wait_for_states(SENT, SENT, SENT)
        assert delivery.fake.received_messages == contents[:1]
        await delivery.fake.restart()
        await delivery.wait_for_send(f"{third.id}.2")
        await delivery.fake.end_turn(f"{second.id}.2")
        await delivery.wait_for_states(ACKNOWLEDGED, ACKNOWLEDGED, ACKNOWLEDGED)
    assert delivery.fake.received_messages == contents
    assert delivery.sent_run_ids[3:] == [f"{second.id}.2", f"{third.id}.2"]
    assert await delivery.count_events(NOTIFIED) == 3


async def test_a_message_pending_in_the_session_is_not_acknowledged(
    delivery: DeliveryGateway,
) -> None:
    """A gateway may report the end of a turn before the agent has read its pending input."""
    delivery.fake.ends_turns_at_once = False
    await delivery.enqueue("BOARD CHAT\nOne.", "BOARD CHAT\nTwo.")
    async with delivery.run_worker():
        one, two = await delivery.wait_for_states(SENT, SENT)
        payload = {
            "runId": two.run_id,
            "sessionKey": session_key_of(delivery.world.worker),
            "state": "final",
        }
        await delivery.fake.send_event("chat", payload)
        await wait_a_moment()
        assert await delivery.list_states() == [SENT, SENT]
        await delivery.fake.end_turn(one.run_id)
        await delivery.wait_for_states(ACKNOWLEDGED, ACKNOWLEDGED)


async def test_an_early_event_without_a_result_triggers_a_check(
    delivery: DeliveryGateway,
) -> None:
    """This happens when a message is repeated that the gateway had before its restart."""
    delivery.fake.sends_event_first, delivery.fake.answer_delay = True, 0.6
    await delivery.enqueue("BOARD CHAT\nHello.")
    [message] = await delivery.list_messages()
    session = session_key_of(delivery.world.worker)
    delivery.fake.sessions_of[message.run_id] = session
    delivery.fake.record_message(session, message.run_id, message.content)
    async with delivery.run_worker():
        await delivery.wait_for_states(ACKNOWLEDGED)
    assert delivery.fake.received_messages == ["BOARD CHAT\nHello."]


async def test_silent_turns_are_checked_at_increasing_intervals(
    delivery: DeliveryGateway,
) -> None:
    delivery.fake.ends_turns_at_once = False
    await delivery.enqueue("BOARD CHAT\nHello.")
    async with delivery.run_worker():
        [message] = await delivery.wait_for_states(SENT)
        await wait_a_moment()
        assert not delivery.checked_sessions
        for minutes in (11, 22):
            delivery.clock.offset = timedelta(minutes=minutes)
            await wait_a_moment()
        assert len(delivery.checked_sessions) == 2
        assert await delivery.list_states() == [SENT]
        delivery.fake.ends[message.run_id] = {"status": "ok"}
        del delivery.fake.active[session_key_of(delivery.world.worker)]
        delivery.clock.offset = timedelta(minutes=40)
        await delivery.wait_for_states(ACKNOWLEDGED)
    assert len(delivery.sent_run_ids) == 1


async def test_a_turn_that_is_missing_in_the_history_is_queried_by_run_id(
    delivery: DeliveryGateway,
) -> None:
    delivery.fake.ends_turns_at_once = False
    delivery.fake.hides_history = True
    await delivery.enqueue("BOARD CHAT\nHello.", on_delivered=NOTIFIED)
    async with delivery.run_worker():
        [message] = await delivery.wait_for_states(SENT)
        for times in range(2, 9):
            await delivery.fake.close_connections(1012)
            await delivery.wait_for_send(str(message.id), times=times)
        [message] = await delivery.wait_for_states(SENT)
        await wait_a_moment()
        await delivery.fake.end_turn(message.run_id)
        await delivery.wait_for_states(ACKNOWLEDGED)
    assert delivery.fake.received_messages == ["BOARD CHAT\nHello."]
    assert set(delivery.sent_run_ids) == {str(message.id)}
    for type in (NOTIFIED, EventType.MESSAGE_QUEUED, EventType.MESSAGE_SENT):
        assert await delivery.count_events(type) == 1


async def test_on_a_paused_board_a_possibly_lost_message_is_not_repeated(
    delivery: DeliveryGateway,
) -> None:
    delivery.fake.ends_turns_at_once = False
    await delivery.enqueue("BOARD CHAT\nHello.")
    async with delivery.run_worker():
        await delivery.wait_for_states(SENT)
        await delivery.update_row(delivery.world.board, paused_at=now())
        delivery.fake.transcripts.clear()
        await delivery.fake.restart()
        await wait_a_moment()
        assert len(delivery.sent_run_ids) == 1
        await delivery.update_row(delivery.world.board, paused_at=None)
        delivery.clock.offset = timedelta(minutes=11)
        [message] = await delivery.list_messages()
        await delivery.wait_for_send(str(message.id), times=2)


async def test_the_end_of_a_turn_triggers_checks_in_its_session(
    delivery: DeliveryGateway,
) -> None:
    delivery.fake.ends_turns_at_once = False
    session = session_key_of(delivery.world.worker)
    await delivery.enqueue("BOARD CHAT\nOne.", "BOARD CHAT\nTwo.")
    async with delivery.run_worker():
        one, two = await delivery.wait_for_states(SENT, SENT)
        payload = {"runId": two.run_id, "sessionKey": session, "state": "final"}
        await delivery.fake.send_event("chat", payload)
        async with asyncio.timeout(20):
            while not delivery.checked_sessions:
                await asyncio.sleep(0.02)
        await wait_a_moment()
        [waiting] = delivery.fake.pending.pop(session)
        delivery.fake.record_message(session, two.run_id, waiting["content"])
        assert await delivery.list_states() == [SENT, SENT]
        began = now()
        await delivery.fake.end_turn(one.run_id)
        await delivery.wait_for_states(ACKNOWLEDGED, ACKNOWLEDGED)
    assert now() - began < timedelta(seconds=3)


async def test_a_forgotten_message_is_repeated_a_limited_number_of_times(
    delivery: DeliveryGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    most = rules.MAX_LOST_COUNT if IS_COMPLETE_RUN else 2
    monkeypatch.setattr(rules, "MAX_LOST_COUNT", most)
    delivery.fake.ends_turns_at_once = False
    await delivery.enqueue("BOARD CHAT\nHello.", on_delivered=NOTIFIED)
    async with delivery.run_worker():
        [message] = await delivery.wait_for_states(SENT)
        for times in range(1, most + 1):
            delivery.fake.transcripts.clear()
            await delivery.fake.restart()
            await delivery.wait_for_send(str(message.id), times=times + 1)
        await delivery.wait_for_states(FAILED)
        await wait_a_moment()
        [message] = await delivery.list_messages()
    assert message.last_error == "The gateway has no record of it."
    assert await delivery.count_events(NOTIFIED) == 1


async def test_a_message_acknowledged_by_its_agent_is_not_sent(
    delivery: DeliveryGateway,
) -> None:
    delivery.fake.ends_turns_at_once = False
    await delivery.enqueue(
        "BOARD CHAT\nOne.", "BOARD CHAT\nTwo.", on_delivered=NOTIFIED, on_failed=NOTIFY_FAILED
    )
    first, second = await delivery.list_messages()
    async with delivery.transaction() as session:
        await messages.acknowledge_message(session, delivery.world.worker, first.id)
    async with delivery.run_worker():
        await delivery.wait_for_states(ACKNOWLEDGED, SENT)
        async with delivery.transaction() as session:
            await messages.acknowledge_message(session, delivery.world.worker, second.id)
        await delivery.fake.fail_turn(second.run_id, "No credit.")
        await wait_a_moment()
    assert await delivery.list_states() == [ACKNOWLEDGED, ACKNOWLEDGED]
    assert delivery.sent_run_ids == [str(second.id)]
    assert (await delivery.count_events(NOTIFIED), await delivery.count_events(NOTIFY_FAILED)) == (
        2,
        0,
    )
