"""The outbox of messages to agents."""

from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import delete, select
from sqlalchemy.event import listen
from sqlalchemy.ext.asyncio import AsyncSession

from kit.clock import now
from kit.errors import Conflict, NotFound
from kit.paging import Paging
from models import Agent, Event, EventType, Message, MessageState
from services import events, messages
from tests.world import World


def draft(to: Agent, content: str = "TASK ASSIGNED\nDo it.", **more: Any) -> messages.Draft:
    return messages.Draft(to=to, kind=content.partition("\n")[0], content=content, **more)


async def outbox(session: AsyncSession, agent: Agent) -> list[Message]:
    query = select(Message).where(Message.agent_id == agent.id).order_by(Message.seq)
    return list(await session.scalars(query.execution_options(populate_existing=True)))


async def recorded(session: AsyncSession, type: EventType) -> list[Event]:
    query = select(Event).where(Event.type == type).order_by(Event.seq)
    return list(await session.scalars(query))


async def test_a_queued_message_waits_with_all_that_was_said_of_it(
    session: AsyncSession, world: World
) -> None:
    task = world.task()
    session.add(task)
    await session.flush()
    told, failed = EventType.TASK_ASSIGNEE_NOTIFIED, EventType.TASK_ASSIGNEE_NOTIFY_FAILED
    about: dict[str, Any] = {"board": world.board, "task": task, "data": {"title": task.title}}
    what = draft(world.worker, **about, sender=world.alice, deliver=True, told=told, failed=failed)
    await messages.queue(session, [what])
    [message] = await outbox(session, world.worker)
    assert (message.kind, message.content) == ("TASK ASSIGNED", "TASK ASSIGNED\nDo it.")
    assert (message.board_id, message.task_id) == (world.board.id, task.id)
    assert (message.from_user_id, message.from_agent_id) == (world.alice.id, None)
    assert (message.state, message.attempts, message.deliver) == (MessageState.QUEUED, 0, True)
    assert message.told_as == {"told": told, "failed": failed, "data": {"title": task.title}}
    [event] = await recorded(session, EventType.MESSAGE_QUEUED)
    assert event.data == {"message_id": str(message.id), "kind": "TASK ASSIGNED"}
    assert (event.agent_id, event.user_id) == (world.worker.id, world.alice.id)


async def test_one_thing_is_told_once(session: AsyncSession, world: World) -> None:
    once = draft(world.worker, key="task:1:assigned")
    await messages.queue(session, [once, once, draft(world.lead, key="task:1:assigned")])
    await messages.queue(session, [once])
    assert len(await outbox(session, world.worker)) == 1
    assert len(await outbox(session, world.lead)) == 1
    assert len(await recorded(session, EventType.MESSAGE_QUEUED)) == 2


async def test_without_a_key_the_same_words_are_another_message(
    session: AsyncSession, world: World
) -> None:
    await messages.queue(session, [draft(world.worker), draft(world.worker)])
    assert len(await outbox(session, world.worker)) == 2


async def test_messages_wait_in_the_order_in_which_they_were_written(
    session: AsyncSession, world: World
) -> None:
    contents = [f"BOARD CHAT\n{number}" for number in range(50)]
    await messages.queue(session, [draft(world.worker, content) for content in contents])
    assert [message.content for message in await outbox(session, world.worker)] == contents


async def test_an_agent_that_is_gone_gets_nothing(session: AsyncSession, world: World) -> None:
    await session.execute(delete(Agent).where(Agent.id == world.worker.id))
    await messages.queue(session, [draft(world.worker), draft(world.lead)])
    assert await outbox(session, world.worker) == []
    assert len(await outbox(session, world.lead)) == 1


async def test_a_boards_lead_is_found_when_it_is_written_to(
    session: AsyncSession, world: World
) -> None:
    to_leads = [messages.LeadOf(board) for board in (world.board, world.garden)]
    await messages.queue(
        session, [messages.Draft(to=to, content="BOARD UPDATED\nLook.") for to in to_leads]
    )
    [message] = (await session.scalars(select(Message))).all()
    assert (message.agent_id, message.kind) == (world.lead.id, "BOARD UPDATED")


async def test_what_happened_is_recorded_before_what_is_said_about_it(
    session: AsyncSession, world: World
) -> None:
    board = world.board
    happened = events.Happened(
        EventType.BOARD_UPDATED, world.alice, organization_id=board.organization_id, board=board
    )
    await messages.queue(session, [draft(world.lead)], happened=[happened])
    written = await session.scalars(select(Event).order_by(Event.seq))
    assert [event.type for event in written] == [
        EventType.BOARD_UPDATED,
        EventType.MESSAGE_QUEUED,
    ]


async def test_messages_and_events_are_two_statements_however_many_there_are(
    session: AsyncSession, world: World
) -> None:
    """P4."""
    connection = (await session.connection()).sync_connection
    sent: list[str] = []
    listen(connection, "before_cursor_execute", lambda *told: sent.append(told[2]))
    agents = [world.lead, world.worker, world.other_worker]
    await messages.queue(session, [draft(to) for to in agents for _ in range(50)])
    assert len(sent) == 2


NOTIFIED: dict[str, Any] = {
    "told": EventType.TASK_ASSIGNEE_NOTIFIED,
    "failed": EventType.TASK_ASSIGNEE_NOTIFY_FAILED,
    "data": {"title": "Write the report"},
}


async def queued(session: AsyncSession, to: Agent, **more: Any) -> Message:
    await messages.queue(session, [draft(to, **more)])
    return (await outbox(session, to))[-1]


async def waits(session: AsyncSession, agent: Agent, **more: Any) -> list[Message]:
    return list((await messages.for_agent(session, agent, Paging(), **more)).items)


async def grow_old(session: AsyncSession, message: Message, age: timedelta) -> None:
    message.next_try_at = now() - age
    await session.flush()


async def test_only_who_has_the_message_was_told(session: AsyncSession, world: World) -> None:
    message = await queued(session, world.worker, board=world.board, **NOTIFIED)
    assert await recorded(session, EventType.TASK_ASSIGNEE_NOTIFIED) == []
    await messages.acknowledge(session, world.worker, message.id)
    [told] = await recorded(session, EventType.TASK_ASSIGNEE_NOTIFIED)
    assert (told.agent_id, told.board_id) == (world.worker.id, world.board.id)
    assert told.data["title"] == "Write the report"
    [taken] = await recorded(session, EventType.MESSAGE_ACKNOWLEDGED)
    assert taken.data["message_id"] == str(message.id)


async def test_saying_twice_that_one_has_it_changes_nothing(
    session: AsyncSession, world: World
) -> None:
    message = await queued(session, world.worker, **NOTIFIED)
    first = await messages.acknowledge(session, world.worker, message.id)
    at = first.acknowledged_at
    again = await messages.acknowledge(session, world.worker, message.id)
    assert (again.state, again.acknowledged_at) == (MessageState.ACKNOWLEDGED, at)
    assert len(await recorded(session, EventType.MESSAGE_ACKNOWLEDGED)) == 1
    assert len(await recorded(session, EventType.TASK_ASSIGNEE_NOTIFIED)) == 1


async def test_what_a_carrier_has_handed_over_is_not_told_once_more(
    session: AsyncSession, world: World
) -> None:
    message = await queued(session, world.worker, **NOTIFIED)
    message.state = MessageState.SENT
    message.sent_at = at = now()
    await session.flush()
    taken = await messages.acknowledge(session, world.worker, message.id)
    assert taken.sent_at == at
    assert await recorded(session, EventType.TASK_ASSIGNEE_NOTIFIED) == []


async def test_an_agent_has_to_take_what_it_has_not_taken_oldest_first(
    session: AsyncSession, world: World
) -> None:
    first, second, third = [await queued(session, world.worker) for _ in range(3)]
    await queued(session, world.lead)
    await messages.acknowledge(session, world.worker, second.id)
    assert await waits(session, world.worker) == [first, third]
    assert await waits(session, world.worker, state=MessageState.ACKNOWLEDGED) == [second]


async def test_nobody_takes_a_message_of_somebody_else(session: AsyncSession, world: World) -> None:
    message = await queued(session, world.worker)
    for stranger in (world.lead, world.other_worker, world.charlies_worker):
        with pytest.raises(NotFound):
            await messages.acknowledge(session, stranger, message.id)
        with pytest.raises(NotFound):
            await messages.retry(session, world.alice, stranger, message.id)
    assert message.state is MessageState.QUEUED


async def test_who_has_left_a_board_hears_no_more_of_it(
    session: AsyncSession, world: World
) -> None:
    of_board = await queued(session, world.worker, board=world.board)
    of_none = await queued(session, world.worker)
    world.worker.board_id = world.garden.id
    assert await waits(session, world.worker) == [of_none]
    with pytest.raises(NotFound):
        await messages.acknowledge(session, world.worker, of_board.id)


async def test_what_nobody_fetches_for_seven_days_fails_once(
    session: AsyncSession, world: World
) -> None:
    old = await queued(session, world.worker, board=world.board, **NOTIFIED)
    young = await queued(session, world.worker)
    await grow_old(session, old, timedelta(days=7, seconds=1))
    await grow_old(session, young, timedelta(days=6, hours=23))
    assert [await messages.give_up(session), await messages.give_up(session)] == [1, 0]
    assert (old.state, young.state) == (MessageState.FAILED, MessageState.QUEUED)
    assert old.last_error == "The agent has not fetched it for 7 days."
    [failed] = await recorded(session, EventType.TASK_ASSIGNEE_NOTIFY_FAILED)
    assert failed.data["error"] == old.last_error
    assert len(await recorded(session, EventType.MESSAGE_FAILED)) == 1


async def test_what_has_failed_is_sent_again_and_waits_as_long_as_before(
    session: AsyncSession, world: World
) -> None:
    message = await queued(session, world.worker, **NOTIFIED)
    await grow_old(session, message, timedelta(days=8))
    await messages.give_up(session)
    for _ in range(2):
        await messages.retry(session, world.alice, world.worker, message.id)
    assert await waits(session, world.worker) == [message]
    assert await messages.give_up(session) == 0
    assert len(await recorded(session, EventType.MESSAGE_QUEUED)) == 2
    await messages.acknowledge(session, world.worker, message.id)
    assert len(await recorded(session, EventType.TASK_ASSIGNEE_NOTIFIED)) == 1


async def test_what_the_agent_has_is_not_sent_again(session: AsyncSession, world: World) -> None:
    message = await queued(session, world.worker)
    await messages.acknowledge(session, world.worker, message.id)
    with pytest.raises(Conflict):
        await messages.retry(session, world.alice, world.worker, message.id)


async def test_an_agent_may_take_what_was_given_up(session: AsyncSession, world: World) -> None:
    message = await queued(session, world.worker, **NOTIFIED)
    await grow_old(session, message, timedelta(days=8))
    await messages.give_up(session)
    taken = await messages.acknowledge(session, world.worker, message.id)
    assert (taken.state, taken.last_error) == (MessageState.ACKNOWLEDGED, None)


async def test_what_was_written_to_an_agent_is_listed_newest_first(
    session: AsyncSession, world: World
) -> None:
    first, second = [await queued(session, world.worker) for _ in range(2)]
    await queued(session, world.lead)
    await messages.acknowledge(session, world.worker, first.id)
    page = await messages.of_agent(session, world.worker, Paging())
    assert (list(page.items), page.total) == ([second, first], 2)
    state = MessageState.QUEUED
    waiting = await messages.of_agent(session, world.worker, Paging(), state=state)
    assert list(waiting.items) == [second]
