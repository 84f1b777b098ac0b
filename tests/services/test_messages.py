"""The outbox of messages to agents."""

from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import delete, select
from sqlalchemy.ext.asyncio import AsyncSession

from core.clock import now
from core.errors import Conflict, NotFound
from core.paging import Paging
from models import Agent, Event, EventType, Message, MessageState, new_id
from services import events, messages
from tests.support.statement_counter import count_statements
from tests.support.world import World


def build_message(
    to: Agent, content: str = "TASK ASSIGNED\nDo it.", **fields: Any
) -> messages.OutgoingMessage:
    return messages.OutgoingMessage(
        to=to, kind=content.partition("\n")[0], content=content, **fields
    )


async def outbox(session: AsyncSession, agent: Agent) -> list[Message]:
    query = select(Message).where(Message.agent_id == agent.id).order_by(Message.seq)
    return list(await session.scalars(query.execution_options(populate_existing=True)))


async def list_events(session: AsyncSession, type: EventType) -> list[Event]:
    query = select(Event).where(Event.type == type).order_by(Event.seq)
    return list(await session.scalars(query))


async def test_an_enqueued_message_has_the_values_of_the_outgoing_message(
    session: AsyncSession, world: World
) -> None:
    task = world.make_task()
    session.add(task)
    await session.flush()
    delivered = EventType.TASK_ASSIGNEE_NOTIFIED
    failed = EventType.TASK_ASSIGNEE_NOTIFY_FAILED
    outgoing = build_message(
        world.worker,
        board=world.board,
        task=task,
        event_data={"title": task.title},
        sender=world.alice,
        deliver=True,
        on_delivered=delivered,
        on_failed=failed,
    )
    await messages.enqueue_messages(session, [outgoing])
    [message] = await outbox(session, world.worker)
    assert (message.kind, message.content) == ("TASK ASSIGNED", "TASK ASSIGNED\nDo it.")
    assert (message.board_id, message.task_id) == (world.board.id, task.id)
    assert (message.from_user_id, message.from_agent_id) == (world.alice.id, None)
    assert (message.state, message.attempts, message.deliver) == (MessageState.QUEUED, 0, True)
    assert message.delivery_events == {
        "told": delivered,
        "failed": failed,
        "data": {"title": task.title},
    }
    [event] = await list_events(session, EventType.MESSAGE_QUEUED)
    assert event.data == {"message_id": str(message.id), "kind": "TASK ASSIGNED"}
    assert (event.agent_id, event.user_id) == (world.worker.id, world.alice.id)


async def test_an_agent_gets_one_message_per_key(session: AsyncSession, world: World) -> None:
    message = build_message(world.worker, key="task:1:assigned")
    await messages.enqueue_messages(
        session, [message, message, build_message(world.lead, key="task:1:assigned")]
    )
    await messages.enqueue_messages(session, [message])
    assert len(await outbox(session, world.worker)) == 1
    assert len(await outbox(session, world.lead)) == 1
    assert len(await list_events(session, EventType.MESSAGE_QUEUED)) == 2


async def test_messages_without_a_key_are_not_deduplicated(
    session: AsyncSession, world: World
) -> None:
    await messages.enqueue_messages(
        session, [build_message(world.worker), build_message(world.worker)]
    )
    assert len(await outbox(session, world.worker)) == 2


async def test_messages_keep_the_order_in_which_they_were_enqueued(
    session: AsyncSession, world: World
) -> None:
    contents = [f"BOARD CHAT\n{number}" for number in range(50)]
    await messages.enqueue_messages(
        session, [build_message(world.worker, content) for content in contents]
    )
    assert [message.content for message in await outbox(session, world.worker)] == contents


async def test_a_message_to_a_deleted_agent_is_omitted(session: AsyncSession, world: World) -> None:
    await session.execute(delete(Agent).where(Agent.id == world.worker.id))
    await messages.enqueue_messages(
        session, [build_message(world.worker), build_message(world.lead)]
    )
    assert await outbox(session, world.worker) == []
    assert len(await outbox(session, world.lead)) == 1


async def test_a_message_to_the_board_lead_is_resolved_when_enqueued(
    session: AsyncSession, world: World
) -> None:
    to_leads = [messages.BoardLeadRecipient(board) for board in (world.board, world.garden)]
    await messages.enqueue_messages(
        session,
        [messages.OutgoingMessage(to=to, content="BOARD UPDATED\nLook.") for to in to_leads],
    )
    [message] = (await session.scalars(select(Message))).all()
    assert (message.agent_id, message.kind) == (world.lead.id, "BOARD UPDATED")


async def test_events_of_a_change_are_recorded_before_its_messages(
    session: AsyncSession, world: World
) -> None:
    board = world.board
    updated = events.NewEvent(
        EventType.BOARD_UPDATED, world.alice, organization_id=board.organization_id, board=board
    )
    await messages.enqueue_messages(session, [build_message(world.lead)], new_events=[updated])
    recorded = await session.scalars(select(Event).order_by(Event.seq))
    assert [event.type for event in recorded] == [
        EventType.BOARD_UPDATED,
        EventType.MESSAGE_QUEUED,
    ]


async def test_many_messages_and_events_take_three_statements(
    session: AsyncSession, world: World
) -> None:
    """P4."""
    agents = [world.lead, world.worker, world.other_worker]
    outgoing = [build_message(to) for to in agents for _ in range(50)]
    with count_statements(await session.connection()) as sent:
        await messages.enqueue_messages(session, outgoing)
    assert len(sent) == 3  # one of them counts messages for the circuit breakers


NOTIFIED: dict[str, Any] = {
    "on_delivered": EventType.TASK_ASSIGNEE_NOTIFIED,
    "on_failed": EventType.TASK_ASSIGNEE_NOTIFY_FAILED,
    "event_data": {"title": "Write the report"},
}


async def enqueue(session: AsyncSession, to: Agent, **fields: Any) -> Message:
    await messages.enqueue_messages(session, [build_message(to, **fields)])
    return (await outbox(session, to))[-1]


async def list_inbox(session: AsyncSession, agent: Agent, **fields: Any) -> list[Message]:
    return list((await messages.list_inbox(session, agent, Paging(), **fields)).items)


async def set_age(session: AsyncSession, message: Message, age: timedelta) -> None:
    message.waiting_since = now() - age
    await session.flush()


async def test_the_notification_is_recorded_when_the_message_is_acknowledged(
    session: AsyncSession, world: World
) -> None:
    message = await enqueue(session, world.worker, board=world.board, **NOTIFIED)
    assert await list_events(session, EventType.TASK_ASSIGNEE_NOTIFIED) == []
    await messages.acknowledge_message(session, world.worker, message.id)
    [notified] = await list_events(session, EventType.TASK_ASSIGNEE_NOTIFIED)
    assert (notified.agent_id, notified.board_id) == (world.worker.id, world.board.id)
    assert notified.data["title"] == "Write the report"
    [acknowledged] = await list_events(session, EventType.MESSAGE_ACKNOWLEDGED)
    assert acknowledged.data["message_id"] == str(message.id)


async def test_acknowledging_twice_changes_nothing(session: AsyncSession, world: World) -> None:
    message = await enqueue(session, world.worker, **NOTIFIED)
    first = await messages.acknowledge_message(session, world.worker, message.id)
    at = first.acknowledged_at
    again = await messages.acknowledge_message(session, world.worker, message.id)
    assert (again.state, again.acknowledged_at) == (MessageState.ACKNOWLEDGED, at)
    assert len(await list_events(session, EventType.MESSAGE_ACKNOWLEDGED)) == 1
    assert len(await list_events(session, EventType.TASK_ASSIGNEE_NOTIFIED)) == 1


async def test_messages_are_acknowledged_together(session: AsyncSession, world: World) -> None:
    found = [await enqueue(session, world.worker, content=f"{number}") for number in range(5)]
    ids = [message.id for message in found]
    with pytest.raises(NotFound):
        await messages.acknowledge_messages(session, world.worker, [*ids, new_id()])
    assert await list_events(session, EventType.MESSAGE_ACKNOWLEDGED) == []
    with count_statements(await session.connection()) as sent:
        await messages.acknowledge_messages(session, world.worker, ids)
    assert len(sent) <= 3, sent
    assert len(await list_events(session, EventType.MESSAGE_ACKNOWLEDGED)) == 5


async def test_a_sent_message_is_not_recorded_as_delivered_again(
    session: AsyncSession, world: World
) -> None:
    message = await enqueue(session, world.worker, **NOTIFIED)
    message.state = MessageState.SENT
    message.sent_at = at = now()
    await session.flush()
    acknowledged = await messages.acknowledge_message(session, world.worker, message.id)
    assert acknowledged.sent_at == at
    assert await list_events(session, EventType.TASK_ASSIGNEE_NOTIFIED) == []


async def test_the_inbox_lists_pending_messages_oldest_first(
    session: AsyncSession, world: World
) -> None:
    first, second, third = [await enqueue(session, world.worker) for _ in range(3)]
    await enqueue(session, world.lead)
    await messages.acknowledge_message(session, world.worker, second.id)
    assert await list_inbox(session, world.worker) == [first, third]
    assert await list_inbox(session, world.worker, state=MessageState.ACKNOWLEDGED) == [second]


async def test_an_agent_cannot_acknowledge_or_retry_messages_of_others(
    session: AsyncSession, world: World
) -> None:
    message = await enqueue(session, world.worker)
    for stranger in (world.lead, world.other_worker, world.charlies_worker):
        with pytest.raises(NotFound):
            await messages.acknowledge_message(session, stranger, message.id)
        with pytest.raises(NotFound):
            await messages.retry_message(session, world.alice, stranger, message.id)
    assert message.state is MessageState.QUEUED


async def test_messages_of_a_board_that_the_agent_left_are_hidden(
    session: AsyncSession, world: World
) -> None:
    board_message = await enqueue(session, world.worker, board=world.board)
    other_message = await enqueue(session, world.worker)
    world.worker.board_id = world.garden.id
    assert await list_inbox(session, world.worker) == [other_message]
    with pytest.raises(NotFound):
        await messages.acknowledge_message(session, world.worker, board_message.id)


async def test_a_message_that_is_not_fetched_for_seven_days_expires_once(
    session: AsyncSession, world: World
) -> None:
    old = await enqueue(session, world.worker, board=world.board, **NOTIFIED)
    young = await enqueue(session, world.worker)
    await set_age(session, old, timedelta(days=7, seconds=1))
    await set_age(session, young, timedelta(days=6, hours=23))
    assert [
        await messages.expire_undelivered(session),
        await messages.expire_undelivered(session),
    ] == [1, 0]
    assert (old.state, young.state) == (MessageState.FAILED, MessageState.QUEUED)
    assert old.last_error == "The agent has not fetched it for 7 days."
    [failed] = await list_events(session, EventType.TASK_ASSIGNEE_NOTIFY_FAILED)
    assert failed.data["error"] == old.last_error
    assert len(await list_events(session, EventType.MESSAGE_FAILED)) == 1


async def test_a_retried_message_waits_for_the_full_time_again(
    session: AsyncSession, world: World
) -> None:
    message = await enqueue(session, world.worker, **NOTIFIED)
    await set_age(session, message, timedelta(days=8))
    await messages.expire_undelivered(session)
    for _ in range(2):
        await messages.retry_message(session, world.alice, world.worker, message.id)
    assert await list_inbox(session, world.worker) == [message]
    assert await messages.expire_undelivered(session) == 0
    assert len(await list_events(session, EventType.MESSAGE_QUEUED)) == 2
    await messages.acknowledge_message(session, world.worker, message.id)
    assert len(await list_events(session, EventType.TASK_ASSIGNEE_NOTIFIED)) == 1


async def test_an_acknowledged_message_cannot_be_retried(
    session: AsyncSession, world: World
) -> None:
    message = await enqueue(session, world.worker)
    await messages.acknowledge_message(session, world.worker, message.id)
    with pytest.raises(Conflict):
        await messages.retry_message(session, world.alice, world.worker, message.id)


async def test_an_agent_can_acknowledge_an_expired_message(
    session: AsyncSession, world: World
) -> None:
    message = await enqueue(session, world.worker, **NOTIFIED)
    await set_age(session, message, timedelta(days=8))
    await messages.expire_undelivered(session)
    acknowledged = await messages.acknowledge_message(session, world.worker, message.id)
    assert (acknowledged.state, acknowledged.last_error) == (MessageState.ACKNOWLEDGED, None)


async def test_the_messages_of_an_agent_are_listed_newest_first(
    session: AsyncSession, world: World
) -> None:
    first, second = [await enqueue(session, world.worker) for _ in range(2)]
    await enqueue(session, world.lead)
    await messages.acknowledge_message(session, world.worker, first.id)
    page = await messages.list_agent_messages(session, world.worker, Paging())
    assert (list(page.items), page.total) == ([second, first], 2)
    state = MessageState.QUEUED
    pending = await messages.list_agent_messages(session, world.worker, Paging(), state=state)
    assert list(pending.items) == [second]
