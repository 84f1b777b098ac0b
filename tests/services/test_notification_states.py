"""Notifications of states that come and go are resolved when the state is over."""

import asyncio
from collections.abc import Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import Select, select
from sqlalchemy.ext.asyncio import AsyncSession

from core.clock import now
from core.db.engine import TransactionFactory
from models import EventType, Gateway, Notification, NotificationKind, User
from openclaw import ErrorKind
from services import agents, messages, notifications
from services.gateways.health import ProbeResult, record_probe
from services.messages.circuit_breakers import MESSAGE_LIMITS
from services.notifications import Audience, NewNotification
from services.notifications.resolution import resolve_deleted
from tests.support.gateway_rows import make_gateway
from tests.support.lock_waiter import wait_for_lock_waiter
from tests.support.world import World
from web.notifications.texts import describe_body

Kind = NotificationKind


async def list_notified(session: AsyncSession, kind: Kind) -> Sequence[UUID]:
    """Return the users with an open notification of a kind."""
    query = select(Notification.user_id).where(
        Notification.kind == kind, Notification.resolved_at.is_(None)
    )
    return sorted(await session.scalars(query))


def ids(*users: User) -> Sequence[UUID]:
    return sorted(user.id for user in users)


async def probe(session: AsyncSession, gateway: Gateway, code: str | None) -> None:
    """Record a probe that found an error, or none."""
    state, at = "failed" if code else "ok", now()
    check = {"name": "connect", "state": state, "code": code, "since": at.isoformat()}
    result = ProbeResult([check], at, code is None, "2026.11.1", None)
    assert await record_probe(session, gateway, result) is not None


async def test_admins_are_notified_while_a_gateway_is_away(
    session: AsyncSession, world: World
) -> None:
    gateway = make_gateway(world.tern)
    session.add(gateway)
    await session.flush()
    await probe(session, gateway, None)
    await probe(session, gateway, ErrorKind.UNRESPONSIVE)  # it may only be busy
    assert await list_notified(session, Kind.GATEWAY_AWAY) == []
    for code in (ErrorKind.UNREACHABLE, ErrorKind.TIMEOUT):
        await probe(session, gateway, code)
        assert await list_notified(session, Kind.GATEWAY_AWAY) == ids(world.alice, world.dana)
    await probe(session, gateway, None)
    assert await list_notified(session, Kind.GATEWAY_AWAY) == []


async def test_admins_are_notified_while_the_config_of_a_gateway_is_invalid(
    session: AsyncSession, world: World
) -> None:
    gateway = make_gateway(world.tern)
    session.add(gateway)
    await session.flush()
    kind, command = Kind.GATEWAY_CONFIG_INVALID, "openclaw config validate"
    values = {"file": "/c/openclaw.json", "line": "60", "reply": "No JSON."}

    async def check_agents(state: str, code: str | None = None) -> None:
        at = now()
        check: dict[str, Any] = {"name": "agents", "state": state, "code": code}
        check |= {
            "since": at.isoformat(),
            "sentence": "It is invalid.",
            "command": command,
            "values": values,
        }
        result = ProbeResult([check], at, code is None, "2026.11.1", None)
        assert await record_probe(session, gateway, result) is not None

    await check_agents("ok")
    for _ in range(2):
        await check_agents("failed", "config_invalid")
        assert await list_notified(session, kind) == ids(world.alice, world.dana)
        await check_agents("unknown")  # the connection was lost
    shown = await session.scalar(select(Notification).where(Notification.kind == kind))
    assert shown
    body = describe_body(shown)
    assert body.startswith("/c/openclaw.json is invalid in line 60.")
    assert command in body
    await check_agents("ok")
    assert await list_notified(session, kind) == []


async def test_those_who_may_write_are_notified_while_an_agent_is_held(
    session: AsyncSession, world: World
) -> None:
    for number in range(MESSAGE_LIMITS[0].count + 1):
        outgoing = messages.OutgoingMessage(to=world.worker, content=f"BOARD CHAT\n{number}")
        await messages.enqueue_messages(session, [outgoing])
    assert await list_notified(session, Kind.AGENT_HELD) == ids(world.alice, world.bob)
    await agents.release_agent(session, world.alice_member, world.worker.id)
    assert await list_notified(session, Kind.AGENT_HELD) == []


async def test_notifications_are_resolved_in_the_order_in_which_they_are_read(
    isolated_transaction: TransactionFactory, isolated_world: World
) -> None:
    """So who marks them as read at the same time does not wait for the one who waits for them."""
    task = isolated_world.make_task()
    async with isolated_transaction() as session:
        for kind in (Kind.TASK_STALE, Kind.DUE_SOON):
            one = NewNotification(
                kind,
                isolated_world.tern.id,
                str(task.id),
                audience=Audience.USERS,
                user_ids=[isolated_world.alice.id],
                task=task,
            )
            await notifications.notify(session, [one])

    async def resolve_both() -> None:
        async with isolated_transaction() as session:
            await resolve_deleted(session, EventType.TASK_DELETED, [task.id])

    def lock(kind: Kind) -> Select[Any]:
        return select(Notification.id).where(Notification.kind == kind).with_for_update(nowait=True)

    async with isolated_transaction() as session:
        await session.execute(lock(Kind.DUE_SOON))
        resolving = asyncio.create_task(resolve_both())
        await wait_for_lock_waiter(isolated_transaction)
        await session.execute(lock(Kind.TASK_STALE))
    await resolving
    async with isolated_transaction() as session:
        for kind in (Kind.TASK_STALE, Kind.DUE_SOON):
            assert await list_notified(session, kind) == []
