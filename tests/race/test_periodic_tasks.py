"""Several workers run the periodic tasks at the same time: what is due happens once."""

import asyncio
from collections import Counter
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import func, insert, select

from core.clock import now
from core.config.settings import Settings
from core.db.engine import TransactionFactory
from models import (
    Approval,
    ApprovalStatus,
    Event,
    EventType,
    GatewayCleanup,
    GatewayRequest,
    Message,
    MessageState,
    RequestState,
    SignIn,
    new_id,
)
from services import counters, desired_state, events, messages
from services.events import NewEvent
from services.gateways.provisioning import cleanup
from tests.support.board_rows import make_message
from tests.support.gateway_rows import make_gateway, make_gateway_request
from tests.support.rounds import ROUNDS, run_concurrently
from tests.support.world import World
from worker.periodic import PeriodicTasks

WORKERS = 4


def start_workers(settings: Settings, transaction: TransactionFactory) -> list[PeriodicTasks]:
    return [PeriodicTasks(settings, transaction, transaction) for _ in range(WORKERS)]


async def test_workers_finalize_each_decision_once(
    isolated_settings: Settings, isolated_transaction: TransactionFactory, isolated_world: World
) -> None:
    """On two boards, so that the workers are not always at the same one."""
    world = isolated_world
    rows: list[dict[str, Any]] = [
        {"id": new_id(), "board_id": (world.board, world.garden)[number % 2].id}
        | {"action_type": "deploy", "confidence": 90, "status": ApprovalStatus.PENDING}
        | {"decided_status": ApprovalStatus.APPROVED, "decided_by_user_id": world.alice.id}
        | {"created_at": now(), "decided_at": now(), "agent_id": world.worker.id}
        | {"finalizes_at": now() + timedelta(milliseconds=10 * number)}
        for number in range(ROUNDS)
    ]
    async with isolated_transaction() as session:
        await session.execute(insert(Approval), rows)

    async def run(one: PeriodicTasks) -> None:
        while await one.finalize_approvals() is not None:
            pass

    await asyncio.gather(*map(run, start_workers(isolated_settings, isolated_transaction)))
    ids = Counter(row["id"] for row in rows)
    async with isolated_transaction() as session:
        query = select(Event.approval_id).where(Event.type == EventType.APPROVAL_APPROVED)
        assert Counter(await session.scalars(query)) == ids
        to_worker = Message.agent_id == world.worker.id
        assert Counter(await session.scalars(select(Message.approval_id).where(to_worker))) == ids


async def test_workers_expire_each_gateway_request_once(
    isolated_settings: Settings, isolated_transaction: TransactionFactory, isolated_world: World
) -> None:
    gateway, past = make_gateway(isolated_world.tern), now() - timedelta(hours=1)
    requests = [make_gateway_request(gateway, expires_at=past) for _ in range(ROUNDS)]
    async with isolated_transaction() as session:
        session.add(gateway)
        await session.flush()
        session.add_all(requests)
    workers = start_workers(isolated_settings, isolated_transaction)
    for _ in range(ROUNDS // 500 + 1):  # a run expires one batch
        await asyncio.gather(*[one.mark_timeouts() for one in workers])
    async with isolated_transaction() as session:
        assert set(await session.scalars(select(GatewayRequest.state))) == {RequestState.EXPIRED}
        expired = Event.type == EventType.GATEWAY_REQUEST_EXPIRED
        assert await session.scalar(select(func.count()).where(expired)) == ROUNDS


async def test_workers_fail_each_overdue_message_once(
    isolated_settings: Settings, isolated_transaction: TransactionFactory, isolated_world: World
) -> None:
    past = now() - 2 * messages.DELIVERY_TIMEOUT
    rows = [
        make_message(isolated_world.worker, created_at=past, waiting_since=past)
        for _ in range(ROUNDS)
    ]
    async with isolated_transaction() as session:
        session.add_all(rows)
    workers = start_workers(isolated_settings, isolated_transaction)
    await asyncio.gather(*[one.expire_messages() for one in workers])
    async with isolated_transaction() as session:
        assert set(await session.scalars(select(Message.state))) == {MessageState.FAILED}
        failed = Event.type == EventType.MESSAGE_FAILED
        assert await session.scalar(select(func.count()).where(failed)) == ROUNDS


async def test_workers_that_purge_together_delete_what_is_over(
    isolated_settings: Settings, isolated_transaction: TransactionFactory, isolated_world: World
) -> None:
    past = now() - timedelta(days=1)
    rows = [
        {"id": new_id(), "user_id": isolated_world.alice.id, "secret_hash": f"hash {number}"}
        | {"created_at": past, "authenticated_at": past, "last_seen_at": past, "expires_at": past}
        for number in range(ROUNDS)
    ]
    async with isolated_transaction() as session:
        await session.execute(insert(SignIn), rows)
    workers = start_workers(isolated_settings, isolated_transaction)
    await asyncio.gather(*[one.purge() for one in workers])
    async with isolated_transaction() as session:
        is_over = SignIn.expires_at < now()
        assert await session.scalar(select(func.count()).where(is_over)) == 0


async def test_events_are_deleted_while_others_are_recorded(
    isolated_settings: Settings, isolated_transaction: TransactionFactory, isolated_world: World
) -> None:
    """Both change the same counters; nobody fails, and a worker that stops is continued."""
    world, past = isolated_world, now() - timedelta(days=100)
    place = {"organization_id": world.tern.id, "board_id": world.board.id}
    types = (EventType.TASK_CREATED, EventType.TAG_CREATED, EventType.AGENT_STATUS_CHANGED)
    rows = [
        {"id": new_id(), "type": types[number % 3], "agent_id": world.worker.id, **place}
        | {"data": {"left": "inbox", "entered": "done"}, "created_at": past}
        for number in range(4 * ROUNDS)
    ]
    async with isolated_transaction() as session:
        await session.execute(insert(Event), rows)
    settings = isolated_settings.model_copy(update={"event_retention_days": 90})
    workers = start_workers(settings, isolated_transaction)

    async def record() -> None:
        for type in types * (ROUNDS // 3):
            async with isolated_transaction() as session:
                new = [NewEvent(type, world.worker, organization_id=world.tern.id)] * 2
                await events.record_events(session, new)

    stopped = asyncio.create_task(workers[0].purge())
    writer = asyncio.create_task(record())
    async with isolated_transaction() as session:
        await session.execute(select(Event.seq).limit(1))
    stopped.cancel()
    await asyncio.gather(writer, *[one.purge() for one in workers[1:]])
    await workers[1].purge()
    async with isolated_transaction() as session:
        old = Event.created_at < now() - timedelta(days=90)
        assert await session.scalar(select(func.count()).where(old)) == 0
        assert await counters.repair_counters(session) == []


async def test_the_cleanup_of_a_deleted_gateway_is_claimed_once(
    isolated_transaction: TransactionFactory, isolated_world: World
) -> None:
    gateway, moment = make_gateway(isolated_world.tern), now()
    connection = {name: getattr(gateway, name) for name in desired_state.CONNECTION_ATTRIBUTES}
    rows = [
        connection
        | {"id": new_id(), "agent_keys": ["mc"], "attempts": 0, "created_at": moment}
        | {"next_try_at": moment}
        for _ in range(ROUNDS)
    ]
    async with isolated_transaction() as session:
        await session.execute(insert(GatewayCleanup), rows)
    claimed: Counter[Any] = Counter()
    while claimed.total() < ROUNDS:
        found = await run_concurrently(isolated_transaction, *[claiming(moment)] * WORKERS)
        claimed.update(one.id for each in found for one in each)
    assert claimed == Counter(row["id"] for row in rows)


def claiming(moment: datetime) -> Any:
    return lambda session: cleanup.claim_due_cleanups(session, moment)
