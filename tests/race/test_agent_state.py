"""Events of agents that must happen once: heartbeats, holds, releases, leases and messages."""

import asyncio
from collections import Counter
from collections.abc import Sequence
from datetime import timedelta
from uuid import UUID

from sqlalchemy import func, select, update

from core.clock import now
from core.db.engine import TransactionFactory
from models import (
    Agent,
    AgentStatus,
    Event,
    EventType,
    Gateway,
    Message,
    MessageState,
    Organization,
    Run,
    RunStatus,
)
from services import agents, gateways, messages, organizations
from services.gateways import runs
from services.messages import gateway_delivery
from services.messages.circuit_breakers import MESSAGE_LIMITS
from tests.support.board_rows import make_agent, make_message
from tests.support.gateway_rows import make_gateway, make_run
from tests.support.rounds import ROUNDS, Operation, run_concurrently, run_rounds
from tests.support.world import World


async def add_agents(
    transaction: TransactionFactory, world: World, **fields: object
) -> Sequence[Agent]:
    """Add an agent for each round."""
    rows = [make_agent(f"Agent {number}", world.board, **fields) for number in range(ROUNDS)]
    async with transaction() as session:
        session.add_all([await session.merge(agent) for agent in rows])
    return rows


async def count_events(transaction: TransactionFactory, type: EventType) -> Counter[UUID | None]:
    async with transaction() as session:
        return Counter(await session.scalars(select(Event.agent_id).where(Event.type == type)))


def check_all_succeeded(results: Sequence[object]) -> None:
    assert not [one for one in results if isinstance(one, BaseException)], results


async def test_a_return_from_offline_is_recorded_once(
    isolated_transaction: TransactionFactory, isolated_world: World
) -> None:
    """An agent sends two heartbeats; both requests have loaded it while it was offline."""
    rows = await add_agents(isolated_transaction, isolated_world, status=AgentStatus.OFFLINE)

    async def beat_twice(agent: Agent) -> None:
        async def load_and_beat() -> None:
            async with isolated_transaction() as session:
                loaded = await session.get_one(Agent, agent.id)
                await both_loaded.wait()
                await agents.record_heartbeat(session, loaded)

        both_loaded = asyncio.Barrier(2)
        await asyncio.gather(load_and_beat(), load_and_beat())

    await run_rounds(rows, beat_twice)
    changed = await count_events(isolated_transaction, EventType.AGENT_STATUS_CHANGED)
    assert changed == Counter(agent.id for agent in rows)


async def test_silence_is_recorded_once_by_several_workers(
    isolated_transaction: TransactionFactory, isolated_world: World
) -> None:
    long_ago = now() - timedelta(days=1)
    rows = await add_agents(isolated_transaction, isolated_world, last_seen_at=long_ago)
    counts = await run_concurrently(isolated_transaction, *[agents.mark_silent_agents_offline] * 4)
    assert sum(counts) == ROUNDS
    changed = await count_events(isolated_transaction, EventType.AGENT_STATUS_CHANGED)
    assert changed == Counter(agent.id for agent in rows)


async def test_a_circuit_breaker_holds_an_agent_once(
    isolated_transaction: TransactionFactory, isolated_world: World
) -> None:
    rows = await add_agents(isolated_transaction, isolated_world)
    limit = MESSAGE_LIMITS[0].count
    async with isolated_transaction() as session:
        for agent in rows:
            session.add_all([make_message(agent) for _ in range(limit)])

    def sending(agent: Agent) -> Operation:
        outgoing = messages.OutgoingMessage(to=agent, content="BOARD CHAT\nAgain.")
        return lambda session: messages.enqueue_messages(session, [outgoing])

    async def send_thrice(agent: Agent) -> None:
        check_all_succeeded(await run_concurrently(isolated_transaction, *[sending(agent)] * 3))

    await run_rounds(rows, send_thrice, at_once=3)
    held = await count_events(isolated_transaction, EventType.AGENT_HELD)
    assert held == Counter(agent.id for agent in rows)


async def test_an_agent_is_released_once(
    isolated_transaction: TransactionFactory, isolated_world: World
) -> None:
    world = isolated_world
    hold = {"held_at": now(), "hold": {"cause": "loop", "reason": "A test"}}
    rows = await add_agents(isolated_transaction, world, **hold)
    async with isolated_transaction() as session:
        session.add_all([make_message(agent) for agent in rows])

    async def release_twice(agent: Agent) -> None:
        release = [lambda session: agents.release_agent(session, world.alice_member, agent.id)] * 2
        check_all_succeeded(await run_concurrently(isolated_transaction, *release))

    await run_rounds(rows, release_twice)
    for type in (EventType.AGENT_RELEASED, EventType.MESSAGE_QUEUED):
        events = await count_events(isolated_transaction, type)
        assert events == Counter(agent.id for agent in rows)


async def test_several_workers_mark_a_silent_run_as_lost_once(
    isolated_transaction: TransactionFactory, isolated_world: World
) -> None:
    gateway = make_gateway(isolated_world.tern)
    long_ago = now() - timedelta(days=1)
    async with isolated_transaction() as session:
        session.add(gateway)
        await session.flush()
        session.add_all([make_run(gateway, isolated_world.worker) for _ in range(ROUNDS)])
        await session.flush()
        await session.execute(update(Run).values(updated_at=long_ago))
    counts = [0]
    while sum(counts) < ROUNDS:  # in batches
        found = await run_concurrently(isolated_transaction, *[runs.mark_lost_runs] * 4)
        check_all_succeeded(found)
        counts += found
    assert sum(counts) == ROUNDS
    async with isolated_transaction() as session:
        assert set(await session.scalars(select(Run.status))) == {RunStatus.LOST}
        lost = select(func.count()).where(Event.type.in_(runs.RUN_EVENTS))
        assert await session.scalar(lost) == ROUNDS


async def test_a_lease_is_acquired_by_one_process(
    isolated_transaction: TransactionFactory, isolated_world: World
) -> None:
    """Each process gets its leases again until another one takes over the expired ones."""
    rows = [make_gateway(isolated_world.tern, f"Harbour {number}") for number in range(3)]
    async with isolated_transaction() as session:
        session.add_all(rows)
    names = [f"process {number}" for number in range(3)]

    def acquiring(name: str) -> Operation:
        return lambda session: gateways.acquire_leases(session, name, timedelta(seconds=20))

    for _ in range(ROUNDS):
        async with isolated_transaction() as session:
            past = now() - timedelta(seconds=1)
            await session.execute(
                update(Gateway).values(lease_expires_at=past, lease_holder="ended")
            )
        results = await run_concurrently(isolated_transaction, *map(acquiring, names))
        check_all_succeeded(results)
        leased = [
            (gateway.id, name)
            for name, (got, _) in zip(names, results, strict=True)
            for gateway in got
        ]
        assert Counter(id for id, _ in leased) == Counter(gateway.id for gateway in rows)
        async with isolated_transaction() as session:
            stored = await session.execute(select(Gateway.id, Gateway.lease_holder))
            assert {tuple(row) for row in stored} == set(leased)


async def test_a_message_is_claimed_by_one_of_three_workers(
    isolated_transaction: TransactionFactory, isolated_world: World
) -> None:
    gateway = make_gateway(isolated_world.tern)
    linked = {"is_linked": True, "listed_at": now(), "openclaw_session_id": "agent:worker:main"}
    async with isolated_transaction() as session:
        session.add(gateway)
        await session.flush()
        worker = await session.get_one(Agent, isolated_world.worker.id)
        worker.gateway_id = gateway.id
        for name, value in linked.items():
            setattr(worker, name, value)
        session.add_all([make_message(worker, f"BOARD CHAT\n{n}") for n in range(ROUNDS)])

    def claim(session):
        return gateway_delivery.claim_next(session, gateway.id, worker.id, now())

    claimed = []
    for _ in range(ROUNDS):
        results = await run_concurrently(isolated_transaction, *[claim] * 3)
        check_all_succeeded(results)
        found = [one.message.id for one in results if one is not None]
        assert len(found) == 1
        claimed += found
        async with isolated_transaction() as session:
            done = update(Message).where(Message.id.in_(found))
            await session.execute(done.values(state=MessageState.ACKNOWLEDGED))
    assert len(set(claimed)) == ROUNDS
    async with isolated_transaction() as session:
        assert set(await session.scalars(select(Message.attempts))) == {1}


async def test_a_stop_and_a_resume_are_recorded_once(
    isolated_transaction: TransactionFactory, isolated_world: World
) -> None:
    """Each of two admins stops and resumes; the state of the organization is that of the events."""
    members = [isolated_world.alice_member, isolated_world.dana_member]
    stopping = [
        lambda session, member=member: organizations.stop_agents(
            session, member, organizations.AgentStopCreate(reason="A test")
        )
        for member in members
    ]
    resuming = [
        lambda session, member=member: organizations.resume_agents(session, member)
        for member in members
    ]
    for _ in range(ROUNDS):
        check_all_succeeded(await run_concurrently(isolated_transaction, *stopping))
        check_all_succeeded(await run_concurrently(isolated_transaction, *resuming))
    async with isolated_transaction() as session:
        types = [EventType.ORGANIZATION_STOPPED, EventType.ORGANIZATION_RESUMED]
        query = select(Event.type).where(Event.type.in_(types)).order_by(Event.seq)
        assert list(await session.scalars(query)) == types * ROUNDS
        stopped = select(Organization.stopped_at).where(Organization.id == isolated_world.tern.id)
        assert await session.scalar(stopped) is None
