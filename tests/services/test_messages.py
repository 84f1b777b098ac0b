"""The outbox of messages to agents."""

from typing import Any

from sqlalchemy import delete, select
from sqlalchemy.event import listen
from sqlalchemy.ext.asyncio import AsyncSession

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
    connection = (await session.connection()).sync_connection
    sent: list[str] = []
    listen(connection, "before_cursor_execute", lambda *told: sent.append(told[2]))
    agents = [world.lead, world.worker, world.other_worker]
    await messages.queue(session, [draft(to) for to in agents for _ in range(50)])
    assert len(sent) == 2
