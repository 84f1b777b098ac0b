"""Agents that no gateway starts have a deadline for their first call."""

from datetime import datetime, timedelta

import pytest
from sqlalchemy import select, update

from core.clock import now
from models import Agent, DesiredState, Event, EventType, Notification, NotificationKind, Status
from services import agents
from services.agents import AgentState
from services.agents.heartbeats import MAX_UNCALLED, MAX_WAITING_TASKS
from services.inbox import load_waiting_items
from tests.support.board_rows import make_agent

MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)
JUST_NOW = "just now"


async def store_uncalled(session, agent: Agent, age: timedelta, **values) -> Agent:
    """Store an agent that was created some time ago and has never called, and reload it."""
    fields = {"status": "provisioning", "last_seen_at": None, "created_at": now() - age}
    await session.execute(update(Agent).where(Agent.id == agent.id).values(fields | values))
    found = select(Agent).where(Agent.id == agent.id)
    return await session.scalar(found.execution_options(populate_existing=True))


async def load_card(session, world, agent: Agent) -> agents.AgentCard:
    [card] = await agents.list_board_agent_cards(session, world.board, agent_id=agent.id)
    return card


@pytest.mark.parametrize(
    ("age", "values", "status"),
    [
        (9 * MINUTE, {}, "provisioning"),
        (11 * MINUTE, {}, "offline"),
        (19 * MINUTE, {"heartbeat_config": {"every": "10m"}}, "provisioning"),
        (21 * MINUTE, {"heartbeat_config": {"every": "1h"}}, "provisioning"),
        (11 * MINUTE, {"heartbeat_config": {"every": "0m"}}, "offline"),
        (HOUR, {"desired_state": DesiredState.RUNNING}, "provisioning"),
        (HOUR, {"last_seen_at": datetime(2000, 1, 1).astimezone()}, "offline"),
        (HOUR, {"is_linked": True}, "offline"),
        (HOUR, {"is_linked": True, "listed_at": JUST_NOW}, "online"),
    ],
)
async def test_an_agent_that_never_called_is_offline_after_its_deadline(
    session, world, age, values, status
) -> None:
    if values.get("listed_at") is JUST_NOW:
        values = values | {"listed_at": now()}
    agent = await store_uncalled(session, world.worker, age, **values)
    assert agents.compute_status(agent, None, now()) == status


async def test_a_missed_first_call_is_recorded_once_and_people_are_notified(session, world) -> None:
    await store_uncalled(session, world.worker, 40 * MINUTE)
    await store_uncalled(session, world.lead, 5 * MINUTE)
    await store_uncalled(session, world.other_worker, HOUR, desired_state=DesiredState.RUNNING)

    assert await agents.mark_silent_agents_offline(session) == 1
    assert await agents.mark_silent_agents_offline(session) == 0

    query = select(Event).where(Event.type == EventType.AGENT_STATUS_CHANGED)
    [event] = await session.scalars(query)
    assert event.agent_id == world.worker.id
    assert event.data == {
        "name": "Worker",
        "from": "provisioning",
        "to": "offline",
        "code": "never_called",
    }
    notified = list(await session.scalars(select(Notification)))
    assert {one.user_id for one in notified} == {world.alice.id, world.bob.id}
    assert {one.kind for one in notified} == {NotificationKind.AGENT_STUCK}
    assert all(one.data["code"] == "never_called" for one in notified)


async def test_the_first_call_ends_the_state_and_its_notifications(session, world) -> None:
    agent = await store_uncalled(session, world.worker, 40 * MINUTE)
    await agents.mark_silent_agents_offline(session)
    await agents.touch_agent(session, agent)
    assert agents.compute_status(agent, None, now()) == "online"
    resolved = await session.scalars(select(Notification.resolved_at))
    assert all(resolved.all())
    assert (await load_card(session, world, agent)).uncalled_for is None


async def test_a_card_shows_for_how_long_an_agent_never_called(session, world) -> None:
    agent = await store_uncalled(session, world.worker, 40 * MINUTE)
    card = await load_card(session, world, agent)
    assert card.state is AgentState.OFFLINE
    assert card.uncalled_for
    assert 40 * MINUTE <= card.uncalled_for < 41 * MINUTE
    agent = await store_uncalled(session, world.worker, HOUR, desired_state=DesiredState.RUNNING)
    card = await load_card(session, world, agent)
    assert (card.state, card.uncalled_for) == (AgentState.PROVISIONING, None)


async def test_people_see_for_which_agents_tasks_wait(session, world) -> None:
    for agent in (world.worker, world.other_worker, world.gardener):
        await store_uncalled(session, agent, 40 * MINUTE)
    session.add_all(
        [
            world.make_task("Write", assignee=world.worker),
            world.make_task("Print", assignee=world.worker, status=Status.IN_PROGRESS),
            world.make_task("Send", assignee=world.worker, status=Status.DONE),
            world.make_task("Sell", assignee=world.other_worker, status=Status.DONE),
        ]
    )
    await session.flush()
    for member, found in [
        (world.alice_member, [("Worker", "Launch", 2)]),
        (world.rita_member, [("Worker", "Launch", 2)]),
        (world.dana_member, []),
        (world.charlie_member, []),
    ]:
        waiting = (await load_waiting_items(session, member)).summary.uncalled_agents
        assert [(one.agent.name, one.board.name, one.task_count) for one in waiting] == found
    await store_uncalled(session, world.worker, 5 * MINUTE)
    assert not (await load_waiting_items(session, world.alice_member)).summary.uncalled_agents


async def test_waiting_tasks_and_agents_are_looked_for_up_to_a_limit(session, world) -> None:
    await store_uncalled(session, world.worker, 40 * MINUTE)
    session.add_all(
        [
            world.make_task(f"Task {number}", assignee=world.worker)
            for number in range(MAX_WAITING_TASKS + 2)
        ]
    )
    await session.flush()
    [waiting] = (await load_waiting_items(session, world.alice_member)).summary.uncalled_agents
    assert (waiting.task_count, waiting.has_more_tasks) == (MAX_WAITING_TASKS + 1, True)

    newer = [
        make_agent(f"A{number}", world.board, status="provisioning", last_seen_at=None)
        for number in range(MAX_UNCALLED)
    ]
    for number, agent in enumerate(newer):
        agent.created_at = now() - 30 * MINUTE + timedelta(seconds=number)
    session.add_all(newer)
    await session.flush()
    for agent in newer[-2:]:
        session.add(world.make_task("Write", assignee=agent))
    await session.flush()
    shown = (await load_waiting_items(session, world.alice_member)).summary.uncalled_agents
    assert [(one.agent.name, one.has_more_tasks) for one in shown] == [
        (world.worker.name, True),
        (newer[-2].name, False),
        (newer[-1].name, False),
    ]
    session.add_all(world.make_task("Write", assignee=agent) for agent in newer[:-2])
    await session.flush()
    shown = (await load_waiting_items(session, world.alice_member)).summary.uncalled_agents
    names = [world.worker.name, *(agent.name for agent in newer[:-1])]
    assert [one.agent.name for one in shown] == names


@pytest.mark.parametrize(
    ("every", "minimum", "is_found"),
    [
        ("10m", 10 * MINUTE, True),
        ("10m", HOUR, False),
        ("0m", MINUTE, True),
        ("24h", 10 * MINUTE, False),
    ],
)
async def test_nobody_is_told_of_an_agent_before_its_first_call_is_due(
    session, world, every: str, minimum: timedelta, is_found: bool
) -> None:
    await store_uncalled(session, world.worker, 40 * MINUTE, heartbeat_config={"every": every})
    session.add(world.make_task("Write", assignee=world.worker))
    await session.flush()
    items = await load_waiting_items(session, world.alice_member, offline_after=minimum)
    assert bool(items.summary.uncalled_agents) is is_found
