"""Circuit breakers hold agents that are in a loop, or that fail again and again."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta

import pytest
from sqlalchemy import select, update
from sqlalchemy.ext.asyncio import AsyncSession

from core.clock import now
from core.db.engine import TransactionFactory
from core.errors import Forbidden
from core.paging import Paging
from models import Actor, Agent, Event, EventType, Message, Run, RunStatus
from services import agents, boards, memory, messages, tasks
from services.messages import HoldCause, circuit_breakers
from services.messages.circuit_breakers import MAX_FAILURES
from tests.support.gateway_rows import make_gateway, make_run
from tests.support.world import World

FLOOD, DAILY_FLOOD = 20, 100
LOOP, DAILY_LOOP = 8, 24
BASE_URL = "http://mission.test"


@pytest.fixture(autouse=True)
def low_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Limits for the real times that few messages reach."""
    for name, counts in [
        ("MESSAGE_LIMITS", (FLOOD, DAILY_FLOOD)),
        ("LOOP_LIMITS", (LOOP, DAILY_LOOP)),
    ]:
        pairs = zip(getattr(circuit_breakers, name), counts, strict=True)
        low = tuple(replace(limit, count=count) for limit, count in pairs)
        monkeypatch.setattr(circuit_breakers, name, low)


async def send(
    session: AsyncSession, to: Agent, sender: Actor | None = None, count: int = 1
) -> None:
    """Send messages, each in an enqueue of its own."""
    for number in range(count):
        outgoing = messages.OutgoingMessage(to=to, content=f"BOARD CHAT\n{number}", sender=sender)
        await messages.enqueue_messages(session, [outgoing])


async def read_hold(session: AsyncSession, agent: Agent) -> dict[str, str] | None:
    query = select(Agent.hold).where(Agent.id == agent.id)
    return (await session.scalars(query)).one()


async def list_events(session: AsyncSession, type: EventType) -> Sequence[Event]:
    query = select(Event).where(Event.type == type).order_by(Event.seq)
    return (await session.scalars(query)).all()


async def make_older(session: AsyncSession, time: timedelta) -> None:
    await session.execute(update(Message).values(created_at=Message.created_at - time))


async def fetch(session: AsyncSession, agent: Agent) -> list[Message]:
    """Return the messages that an agent gets, and acknowledge them."""
    page = await messages.list_inbox(session, agent, Paging(limit=200))
    for message in page.items:
        await messages.acknowledge_message(session, agent, message.id)
    return list(page.items)


@pytest.mark.parametrize("sender", [None, "lead"])
async def test_too_many_messages_hold_an_agent(
    session: AsyncSession, world: World, sender: str | None
) -> None:
    actor = world.lead if sender else None
    await send(session, world.worker, actor, FLOOD)
    assert await read_hold(session, world.worker) is None
    await send(session, world.worker, actor)
    hold = await read_hold(session, world.worker)
    assert hold == {
        "cause": HoldCause.MESSAGES,
        "reason": f"It received more than {FLOOD} messages in 10 minutes that no person sent.",
        "values": {"limit": "10 minutes", "count": FLOOD},
    }
    [event] = await list_events(session, EventType.AGENT_HELD)
    assert event.agent_id == world.worker.id
    assert event.data == {"name": "Worker", **hold}
    await send(session, world.worker, actor, 3)  # they wait, and nothing more is recorded
    assert len(await list_events(session, EventType.AGENT_HELD)) == 1
    assert await read_hold(session, world.other_worker) is None


async def test_messages_of_a_day_hold_an_agent(session: AsyncSession, world: World) -> None:
    for _ in range(DAILY_FLOOD // FLOOD):
        await send(session, world.worker, None, FLOOD)
        await make_older(session, timedelta(hours=1))
    assert await read_hold(session, world.worker) is None
    await send(session, world.worker)
    hold = await read_hold(session, world.worker)
    assert hold is not None
    assert "in a day" in hold["reason"]


async def test_messages_of_people_never_hold_an_agent(session: AsyncSession, world: World) -> None:
    await send(session, world.worker, world.alice, FLOOD + 10)
    await send(session, world.worker, world.lead, 5)
    assert await read_hold(session, world.worker) is None


async def test_one_large_batch_holds_an_agent(session: AsyncSession, world: World) -> None:
    batch = [
        messages.OutgoingMessage(to=world.worker, content=f"BOARD CHAT\n{number}")
        for number in range(FLOOD + 1)
    ]
    await messages.enqueue_messages(session, batch)
    assert await read_hold(session, world.worker) is not None


async def test_two_agents_that_answer_each_other_stop_after_a_bounded_number_of_messages(
    session: AsyncSession, world: World
) -> None:
    """Each mentions the other in every answer, as fast as it gets a message."""
    task = world.make_task("Count")
    session.add(task)
    await session.flush()
    board = await boards.lock_board(session, world.alice, world.board.id)
    names = {world.worker: world.other_worker, world.other_worker: world.worker}

    async def comment(author: Agent) -> None:
        text = f"@{names[author].name.lower().replace(' ', '-')} your turn"
        await tasks.create_comment(session, author, board, task.id, text)

    await comment(world.worker)
    answers = 0
    while answers < 10 * LOOP:
        turns = [agent for agent in names for _ in await fetch(session, agent)]
        if not turns:
            break
        for agent in turns:
            answers += 1
            await comment(agent)
    assert 2 * LOOP - 2 <= answers <= 2 * LOOP + 2
    holds = [await read_hold(session, agent) for agent in names]
    [hold] = [hold for hold in holds if hold is not None]
    assert hold["cause"] == HoldCause.LOOP
    assert f"answer each other: {LOOP} messages each in 10 minutes." in hold["reason"]


@pytest.mark.parametrize("is_first", [True, False])
async def test_a_loop_is_found_among_several_senders(
    session: AsyncSession, world: World, is_first: bool
) -> None:
    """Whichever of them comes first in a batch."""
    for _ in range(LOOP):
        await send(session, world.lead, world.worker)
    await send(session, world.worker, world.lead, LOOP - 1)
    batch = [
        messages.OutgoingMessage(to=world.worker, content="BOARD CHAT", sender=sender)
        for sender in (world.lead, world.other_worker)
    ]
    await messages.enqueue_messages(session, batch if is_first else batch[::-1])
    hold = await read_hold(session, world.worker)
    assert hold is not None
    assert hold["cause"] == HoldCause.LOOP


async def test_a_slow_loop_is_held_within_a_day(session: AsyncSession, world: World) -> None:
    new = Message.created_at > now() - timedelta(minutes=1)
    for left in range(DAILY_LOOP, 0, -1):
        await send(session, world.worker, world.lead)
        await send(session, world.lead, world.worker)
        sent_at = now() - left * timedelta(minutes=3)
        await session.execute(update(Message).where(new).values(created_at=sent_at))
    hold = await read_hold(session, world.lead)
    assert hold is not None
    assert (hold["cause"], "in a day" in hold["reason"]) == (HoldCause.LOOP, True)


async def test_a_loop_in_the_chat_ends_too(session: AsyncSession, world: World) -> None:
    board = await boards.lock_board(session, world.alice, world.board.id)
    scope = memory.board_scope(board)
    sent = 0
    for author, text in [(world.worker, "@lead hm?"), (world.lead, "@worker hm!")] * 2 * LOOP:
        waiting = await fetch(session, author) if sent else [author]
        if not waiting:
            break
        draft = memory.NoteCreate(content=text, tags=["chat"])
        await memory.create_note(session, author, scope, draft, base_url=BASE_URL)
        sent += 1
    assert sent <= 2 * LOOP + 2
    assert [await read_hold(session, one) for one in (world.worker, world.lead)].count(None) == 1


async def test_a_held_agent_gets_its_messages_in_order_when_it_is_released(
    session: AsyncSession, world: World
) -> None:
    await send(session, world.worker, None, FLOOD + 1)
    assert await fetch(session, world.worker) == []
    assert world.alice_member.is_admin
    with pytest.raises(Forbidden):
        await agents.release_agent(session, world.bob_member, world.worker.id)
    await agents.release_agent(session, world.alice_member, world.worker.id)
    assert await read_hold(session, world.worker) is None
    got = await fetch(session, world.worker)
    assert [message.content for message in got] == [
        f"BOARD CHAT\n{number}" for number in range(FLOOD + 1)
    ]
    await send(session, world.worker, None, FLOOD)  # it counts anew
    assert await read_hold(session, world.worker) is None
    await send(session, world.worker)
    assert await read_hold(session, world.worker) is not None


async def fail_runs(session: AsyncSession, world: World, statuses: Sequence[RunStatus]) -> None:
    """Add runs of the worker that have ended one after the other, and check the last one."""
    gateway = make_gateway(world.tern)
    session.add(gateway)
    await session.flush()
    for number, status in enumerate(statuses):
        ended_at = now() - timedelta(minutes=30) + timedelta(minutes=number)
        run = make_run(gateway, world.worker, run_id=str(number), status=status, ended_at=ended_at)
        run.error = "No model." if status is RunStatus.FAILED else None
        session.add(run)
    await session.flush()
    found = await messages.hold_failing_agents(session, {(world.worker.id, None)})
    assert [event.type for event in found] in ([], [EventType.AGENT_HELD])


FAILED, ENDED = RunStatus.FAILED, RunStatus.ENDED


@pytest.mark.parametrize(
    ("statuses", "is_held"),
    [
        ([FAILED] * MAX_FAILURES, True),
        ([FAILED] * (MAX_FAILURES - 1), False),
        ([ENDED, *[FAILED] * MAX_FAILURES], True),
        ([*[FAILED] * (MAX_FAILURES - 1), ENDED, FAILED], False),
        ([FAILED, RunStatus.ABORTED, *[FAILED] * (MAX_FAILURES - 1)], False),
    ],
)
async def test_an_agent_whose_runs_fail_in_succession_is_held(
    session: AsyncSession, world: World, statuses: Sequence[RunStatus], is_held: bool
) -> None:
    await fail_runs(session, world, statuses)
    hold = await read_hold(session, world.worker)
    assert (hold is not None) == is_held
    if hold is not None:
        assert hold["reason"] == f"Its last {MAX_FAILURES} runs failed. No model."


async def test_failures_before_a_release_do_not_count(session: AsyncSession, world: World) -> None:
    released = update(Agent).where(Agent.id == world.worker.id)
    await session.execute(released.values(released_at=now()))
    await fail_runs(session, world, [FAILED] * MAX_FAILURES)
    assert await read_hold(session, world.worker) is None
    assert len((await session.scalars(select(Run))).all()) == MAX_FAILURES


async def test_failures_on_different_tasks_do_not_hold_an_agent(
    transaction: TransactionFactory, world: World
) -> None:
    gateway = make_gateway(world.tern)
    rows = [world.make_task(f"Task {number}") for number in range(MAX_FAILURES)]
    async with transaction() as session:
        session.add_all([gateway, *rows])
        await session.flush()
        for number, row in enumerate(rows):
            run = make_run(gateway, world.worker, run_id=str(number), status=FAILED)
            run.task_id, run.ended_at = row.id, now()
            session.add(run)
        await session.flush()
        failed = {(world.worker.id, row.id) for row in rows}
        assert await messages.hold_failing_agents(session, failed) == []
