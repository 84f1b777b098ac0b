"""Holding gateways: one process at a time, and what it finds is known without asking."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import select, update
from sqlalchemy.ext.asyncio import AsyncSession

import worker
from holder import Holder
from kit.clock import now
from kit.settings import Settings
from models import Event, EventType, Gateway
from openclaw import Budget, GatewayError, Guard, Link
from services import gateways
from services.gateways import Carrier, GatewayDraft
from tests.conftest import Transaction
from tests.openclaw.fake import TOKEN, Fake, running
from tests.world import SEAL, World

QUICK = Budget(first_rest=0.01, longest_rest=0.05, rest_for_people=0.05)


@pytest.fixture
def carrier() -> Carrier:
    return Carrier(SEAL, Guard())


@asynccontextmanager
async def holding(carrier: Carrier, transaction: Transaction, **how: Any) -> AsyncGenerator[Holder]:
    """Let a process hold gateways."""
    stop = asyncio.Event()
    how = {"every": 0.05, "budget": QUICK} | how
    holder = Holder(carrier, transaction, **how)
    running = asyncio.create_task(holder.run(stop))
    try:
        yield holder
    finally:
        stop.set()
        await asyncio.wait_for(running, 5)


async def entered(
    transaction: Transaction, world: World, carrier: Carrier, fake: Fake, **more: Any
) -> Gateway:
    fields: dict[str, Any] = {"name": "Workshop", "url": fake.url, "workspace_root": "/x"}
    fields |= {"token": TOKEN, **more}
    async with transaction() as session:
        return await gateways.create(session, world.alices, carrier, GatewayDraft(**fields))


async def row(transaction: Transaction, gateway: Gateway) -> Gateway | None:
    async with transaction() as session:
        return await session.scalar(select(Gateway).where(Gateway.id == gateway.id))


async def until(is_so: Callable[[], Awaitable[object]]) -> None:
    async with asyncio.timeout(10):
        while not await is_so():
            await asyncio.sleep(0.02)


def failed(gateway: Gateway | None) -> str | None:
    """Return the rung that is not well, `nothing` if all are, and None if nobody has looked."""
    if gateway is None or gateway.checks is None:
        return None
    return next((one["name"] for one in gateway.checks if one["state"] == "failed"), "nothing")


async def test_what_is_mended_is_known_without_asking(
    real_transaction: Transaction, real_world: World, carrier: Carrier
) -> None:
    """Market need 1: it turns well by itself, without anything being entered again."""
    async with running(Fake(asks_for_pairing=True)) as fake:
        gateway = await entered(real_transaction, real_world, carrier, fake)

        async def is_stuck_at(rung: str) -> bool:
            return failed(await row(real_transaction, gateway)) == rung

        async with holding(carrier, real_transaction):
            await until(lambda: is_stuck_at("device"))
            fake.approve()
            await until(lambda: is_stuck_at("nothing"))
            found = await row(real_transaction, gateway)
            assert found
            assert (found.version, found.gateway_version) == (1, "2026.9.6")
            assert carrier.opened(found).device_token.startswith("device token")
            fake.grants = ("operator.read",)
            await fake.drop(4001)
            await until(lambda: is_stuck_at("scopes"))
    async with real_transaction() as session:
        query = select(Event).where(Event.type == EventType.GATEWAY_UPDATED)
        told = (await session.scalars(query.order_by(Event.seq))).all()
    assert len(told) == 3
    assert all(event.data["changed"] == ["checks"] and event.user_id is None for event in told)


@pytest.mark.parametrize("code", [1012, 1000])
async def test_a_gateway_that_takes_nobody_back_is_not_said_to_be_connected(
    real_transaction: Transaction, real_world: World, carrier: Carrier, code: int
) -> None:
    """As a proxy does whose gateway is gone: it takes every connection, and closes it."""
    async with running(Fake()) as fake:
        gateway = await entered(real_transaction, real_world, carrier, fake)

        async def is_stuck_at(rung: str) -> bool:
            return failed(await row(real_transaction, gateway)) == rung

        async with holding(carrier, real_transaction):
            await until(lambda: is_stuck_at("nothing"))
            await fake.drop(1012)
            await until(lambda: _is(fake.times_connected > 1))
            assert await is_stuck_at("nothing")
            fake.turns_away = code
            await fake.drop(1012)
            await until(lambda: is_stuck_at("handshake"))
            fake.turns_away = None
            await until(lambda: is_stuck_at("nothing"))


async def test_a_gateway_is_held_by_one_process_and_by_the_next_when_that_is_gone(
    real_transaction: Transaction, real_world: World, carrier: Carrier
) -> None:
    """A27.8. One who holds a gateway at a time."""
    async with running(Fake()) as fake:
        gateway = await entered(real_transaction, real_world, carrier, fake)

        async def is_held_by(holder: Holder) -> bool:
            found = await row(real_transaction, gateway)
            return bool(found and found.held_by == holder.name and fake.is_connected)

        async def is_held_by_one_of(*holders: Holder) -> bool:
            return any([await is_held_by(holder) for holder in holders])

        async with holding(carrier, real_transaction) as second:
            async with holding(carrier, real_transaction, every=0.02) as first:
                await until(lambda: is_held_by_one_of(first, second))
                await asyncio.sleep(0.3)
                assert fake.most_connected == 1
            await until(lambda: is_held_by(second))

        found = await row(real_transaction, gateway)
        assert found
        assert (found.held_by, found.held_until) == (None, None)


async def test_of_a_process_that_died_a_gateway_is_taken_when_its_time_is_over(
    real_transaction: Transaction, real_world: World, carrier: Carrier
) -> None:
    async with running(Fake()) as fake:
        gateway = await entered(real_transaction, real_world, carrier, fake)
        await held_by_the_dead(real_transaction, until=now() + timedelta(minutes=1))
        async with holding(carrier, real_transaction):
            await asyncio.sleep(0.3)
            assert not fake.connects
            await held_by_the_dead(real_transaction, until=now() - timedelta(seconds=1))

            async def is_seen() -> bool:
                return failed(await row(real_transaction, gateway)) == "nothing"

            await until(is_seen)


async def test_what_is_changed_is_reached_anew_and_what_is_removed_is_left(
    real_transaction: Transaction, real_world: World, carrier: Carrier
) -> None:
    async with running(Fake()) as fake, running(Fake()) as other:
        gateway = await entered(real_transaction, real_world, carrier, fake, token="wrong")

        async def is_stuck_at(rung: str) -> bool:
            return failed(await row(real_transaction, gateway)) == rung

        async def is_with(here: Fake) -> bool:
            return here.is_connected and not (fake if here is other else other).is_connected

        async def change(**fields: object) -> None:
            async with real_transaction() as session:
                await gateways.change(session, real_world.alices, carrier, gateway.id, fields)

        async with holding(carrier, real_transaction):
            await until(lambda: is_stuck_at("token"))
            await change(token=TOKEN)
            await until(lambda: is_with(fake))
            await change(url=other.url)
            await until(lambda: is_with(other))
            async with real_transaction() as session:
                await gateways.delete(session, real_world.alices, gateway.id)

            async def is_left() -> bool:
                return not (fake.is_connected or other.is_connected)

            await until(is_left)


async def test_secrets_that_cannot_be_opened_are_told_and_hold_up_no_other_gateway(
    real_transaction: Transaction, real_world: World, carrier: Carrier
) -> None:
    """As after a backup was restored without its key: what was well before is not well now."""
    async with running(Fake()) as fake:
        broken = await entered(real_transaction, real_world, carrier, fake)

        async def is_stuck_at(rung: str) -> bool:
            return failed(await row(real_transaction, broken)) == rung

        async with holding(carrier, real_transaction):
            await until(lambda: is_stuck_at("nothing"))
        async with real_transaction() as session:
            values = update(Gateway).where(Gateway.id == broken.id).values(sealed_device="-")
            await session.execute(values)
        gateway = await entered(real_transaction, real_world, carrier, fake, name="Shed")

        async def is_seen() -> bool:
            return failed(await row(real_transaction, gateway)) == "nothing"

        async with holding(carrier, real_transaction):
            await until(is_seen)
            await until(lambda: is_stuck_at("token"))
            found = await row(real_transaction, broken)
            assert found
            assert gateways.standing(found, now()) is gateways.Standing.FAILED
            rung = gateways.in_the_way(found)
            assert rung
            assert rung["code"] == "gateway_secrets_unreadable"
            assert "SECRET_KEY" in rung["sentence"]
            async with real_transaction() as session:
                given = {"token": TOKEN}
                await gateways.change(session, real_world.alices, carrier, broken.id, given)
            await until(lambda: is_stuck_at("nothing"))


async def test_the_worker_holds_gateways_and_lets_them_go_when_it_stops(
    own_settings: Settings, real_transaction: Transaction, real_world: World, carrier: Carrier
) -> None:
    async with running(Fake()) as fake:
        gateway = await entered(real_transaction, real_world, carrier, fake)
        stop = asyncio.Event()
        work = asyncio.create_task(worker.run(own_settings, stop, pace=worker.Pace(hold=0.1)))

        async def is_seen() -> bool:
            return failed(await row(real_transaction, gateway)) == "nothing"

        await until(is_seen)
        stop.set()
        await asyncio.wait_for(work, 2)
        assert not fake.is_connected
        found = await row(real_transaction, gateway)
        assert found
        assert found.held_by is None


async def test_one_look_that_fails_cuts_no_connection_and_all_that_do_leave_the_gateways(
    real_transaction: Transaction, real_world: World, carrier: Carrier
) -> None:
    is_away, failures = False, 0

    @asynccontextmanager
    async def transaction() -> AsyncGenerator[AsyncSession]:
        nonlocal failures
        if is_away:
            failures += 1
            raise ConnectionError("There is no database.")
        async with real_transaction() as session:
            yield session

    async with running(Fake()) as fake:
        gateway = await entered(real_transaction, real_world, carrier, fake)

        async def is_seen() -> bool:
            return failed(await row(real_transaction, gateway)) == "nothing"

        async with holding(carrier, transaction, lease=5.0):
            await until(is_seen)
            is_away = True
            await until(lambda: _is(failures >= 2))
            assert fake.is_connected
            is_away = False
            await asyncio.sleep(0.2)
            assert (fake.is_connected, fake.times_connected) == (True, 1)
            is_away = True
            await until(lambda: _is(not fake.is_connected))


async def test_who_has_lost_a_gateway_to_another_leaves_it_and_works_there_no_more(
    real_transaction: Transaction, real_world: World, carrier: Carrier
) -> None:
    """As after a sleep that was longer than the lease."""
    async with at_work(real_transaction, real_world, carrier) as (fake, gateway):
        await held_by_the_dead(real_transaction, until=now() + timedelta(minutes=1))
        await works_there_no_more(fake)
        found = await row(real_transaction, gateway)
        assert found
        assert found.held_by == "the dead"


async def test_who_cannot_renew_its_lease_leaves(
    real_transaction: Transaction, real_world: World, carrier: Carrier
) -> None:
    async with (
        at_work(real_transaction, real_world, carrier, lease=1.0) as (fake, gateway),
        real_transaction() as session,
    ):
        held = select(Gateway).where(Gateway.id == gateway.id).with_for_update()
        await session.execute(held)
        await works_there_no_more(fake)


async def test_who_stops_lets_go_of_what_it_holds_and_of_nothing_else(
    real_transaction: Transaction, real_world: World, carrier: Carrier
) -> None:
    async with at_work(real_transaction, real_world, carrier) as (fake, gateway):
        theirs = await entered(real_transaction, real_world, carrier, fake, name="Shed")
        async with real_transaction() as session:
            taken = {"held_by": "another", "held_until": now() + timedelta(minutes=1)}
            its = update(Gateway).where(Gateway.id == theirs.id)
            await session.execute(its.values(**taken))
    found, other = [await row(real_transaction, one) for one in (gateway, theirs)]
    assert found
    assert other
    assert (found.held_by, other.held_by) == (None, "another")


@asynccontextmanager
async def at_work(
    transaction: Transaction, world: World, carrier: Carrier, **how: Any
) -> AsyncGenerator[tuple[Fake, Gateway]]:
    """Let a process hold a gateway, and a station ask it for something again and again."""

    async def station(_gateway: Gateway, link: Link) -> None:
        while True:
            await link.up()
            with suppress(GatewayError):
                await link.ask("health")
            await asyncio.sleep(0.02)

    async with running(Fake()) as fake:
        fake.methods["health"] = lambda _: {"ok": True}
        gateway = await entered(transaction, world, carrier, fake)
        async with holding(carrier, transaction, stations=[station], **how):
            await until(lambda: _is(bool(fake.calls)))
            yield fake, gateway


async def works_there_no_more(fake: Fake) -> None:
    await until(lambda: _is(not fake.is_connected))
    calls, times = len(fake.calls), fake.times_connected
    await asyncio.sleep(0.3)
    assert (len(fake.calls), fake.times_connected) == (calls, times)


async def held_by_the_dead(transaction: Transaction, *, until: Any) -> None:
    async with transaction() as session:
        await session.execute(update(Gateway).values(held_by="the dead", held_until=until))


async def test_stations_work_over_the_connection_that_is_held_and_go_on_after_it_was_lost(
    carrier: Carrier, real_transaction: Transaction, real_world: World
) -> None:
    answered: list[int] = []

    async def station(gateway: Gateway, link: Link) -> None:
        while True:
            await link.up()
            with suppress(GatewayError):
                await link.call("health", repeatable=True)
                answered.append(fake.times_connected)
            await asyncio.sleep(0.02)

    async with running(Fake()) as fake:
        fake.methods["health"] = lambda _: {"ok": True}
        await entered(real_transaction, real_world, carrier, fake)
        async with holding(carrier, real_transaction, stations=[station]):
            await until(lambda: _is(bool(answered)))
            await fake.drop(1012)
            await until(lambda: _is(answered[-1] > 1))
        assert fake.most_connected == 1
        assert {"exec-approvals", "tool-events"} == set(fake.connects[0]["caps"])


async def _is(true: bool) -> bool:
    return true
