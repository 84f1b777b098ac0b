"""The gateway supervisor: one process per gateway, which records the connection state."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import select, update
from sqlalchemy.ext.asyncio import AsyncSession

import worker.main
from core.clock import now
from core.config.settings import Settings
from core.db.engine import TransactionFactory
from models import Event, EventType, Gateway
from openclaw import AddressPolicy, GatewayClient, GatewayError, RetryPolicy
from services import gateways
from services.gateways import GatewayConnector, GatewayDraft
from tests.support.fake_gateway import TOKEN, FakeGateway, run_fake_gateway
from tests.support.world import CIPHER, World
from worker.gateway_supervisor import GatewaySupervisor

QUICK_POLICY = RetryPolicy(first_delay=0.01, max_delay=0.05, operator_delay=0.05)


@pytest.fixture
def connector() -> GatewayConnector:
    return GatewayConnector(CIPHER, AddressPolicy())


@asynccontextmanager
async def run_supervisor(
    connector: GatewayConnector, transaction: TransactionFactory, **how: Any
) -> AsyncGenerator[GatewaySupervisor]:
    """Run the supervisor of a process."""
    stop = asyncio.Event()
    how = {"interval": 0.05, "retry_policy": QUICK_POLICY} | how
    holder = GatewaySupervisor(connector, transaction, **how)
    running = asyncio.create_task(holder.run(stop))
    try:
        yield holder
    finally:
        stop.set()
        await asyncio.wait_for(running, 5)


async def create_gateway(
    transaction: TransactionFactory,
    world: World,
    connector: GatewayConnector,
    fake: FakeGateway,
    **more: Any,
) -> Gateway:
    fields: dict[str, Any] = {"name": "Workshop", "url": fake.url, "workspace_root": "/x"}
    fields |= {"token": TOKEN, **more}
    async with transaction() as session:
        return await gateways.create_gateway(
            session, world.alice_member, connector, GatewayDraft(**fields)
        )


async def load_gateway(transaction: TransactionFactory, gateway: Gateway) -> Gateway | None:
    async with transaction() as session:
        return await session.scalar(select(Gateway).where(Gateway.id == gateway.id))


async def wait_for(is_so: Callable[[], Awaitable[object]]) -> None:
    async with asyncio.timeout(10):
        while not await is_so():
            await asyncio.sleep(0.02)


def failed_check_name(gateway: Gateway | None) -> str | None:
    """Return the failed check, `nothing` if there is none, and None without checks."""
    if gateway is None or gateway.checks is None:
        return None
    return next((one["name"] for one in gateway.checks if one["state"] == "failed"), "nothing")


async def test_a_repaired_gateway_is_detected_automatically(
    isolated_transaction: TransactionFactory, isolated_world: World, connector: GatewayConnector
) -> None:
    """Market need 1: it recovers by itself, without new settings."""
    async with run_fake_gateway(FakeGateway(requires_pairing=True)) as fake:
        gateway = await create_gateway(isolated_transaction, isolated_world, connector, fake)

        async def is_stuck_at(check: str) -> bool:
            return failed_check_name(await load_gateway(isolated_transaction, gateway)) == check

        async with run_supervisor(connector, isolated_transaction):
            await wait_for(lambda: is_stuck_at("device"))
            fake.approve_device()
            await wait_for(lambda: is_stuck_at("nothing"))
            found = await load_gateway(isolated_transaction, gateway)
            assert found
            assert (found.version, found.gateway_version) == (1, "2026.9.6")
            assert connector.decrypt_secrets(found).device_token.startswith("device token")
            fake.granted_scopes = ("operator.read",)
            await fake.close_connections(4001)
            await wait_for(lambda: is_stuck_at("scopes"))
    async with isolated_transaction() as session:
        query = select(Event).where(Event.type == EventType.GATEWAY_UPDATED)
        reported = (await session.scalars(query.order_by(Event.seq))).all()
    assert len(reported) == 3
    assert all(event.data["changed"] == ["checks"] and event.user_id is None for event in reported)


@pytest.mark.parametrize("code", [1012, 1000])
async def test_a_gateway_that_rejects_reconnects_is_not_shown_as_connected(
    isolated_transaction: TransactionFactory,
    isolated_world: World,
    connector: GatewayConnector,
    code: int,
) -> None:
    """Like a proxy without its gateway: it accepts every connection and closes it."""
    async with run_fake_gateway(FakeGateway()) as fake:
        gateway = await create_gateway(isolated_transaction, isolated_world, connector, fake)

        async def is_stuck_at(check: str) -> bool:
            return failed_check_name(await load_gateway(isolated_transaction, gateway)) == check

        async with run_supervisor(connector, isolated_transaction):
            await wait_for(lambda: is_stuck_at("nothing"))
            await fake.close_connections(1012)
            await wait_for(lambda: _is(fake.connection_count > 1))
            assert await is_stuck_at("nothing")
            fake.connect_close_code = code
            await fake.close_connections(1012)
            await wait_for(lambda: is_stuck_at("handshake"))
            fake.connect_close_code = None
            await wait_for(lambda: is_stuck_at("nothing"))


async def test_the_lease_of_a_stopped_process_passes_to_the_next_one(
    isolated_transaction: TransactionFactory, isolated_world: World, connector: GatewayConnector
) -> None:
    """A27.8. One lease holder at a time."""
    async with run_fake_gateway(FakeGateway()) as fake:
        gateway = await create_gateway(isolated_transaction, isolated_world, connector, fake)

        async def has_lease(holder: GatewaySupervisor) -> bool:
            found = await load_gateway(isolated_transaction, gateway)
            return bool(found and found.lease_holder == holder.name and fake.is_connected)

        async def one_has_lease(*holders: GatewaySupervisor) -> bool:
            return any([await has_lease(holder) for holder in holders])

        async with run_supervisor(connector, isolated_transaction) as second:
            async with run_supervisor(connector, isolated_transaction, interval=0.02) as first:
                await wait_for(lambda: one_has_lease(first, second))
                await asyncio.sleep(0.3)
                assert fake.max_connections == 1
            await wait_for(lambda: has_lease(second))

        found = await load_gateway(isolated_transaction, gateway)
        assert found
        assert (found.lease_holder, found.lease_expires_at) == (None, None)


async def test_the_lease_of_a_killed_process_expires(
    isolated_transaction: TransactionFactory, isolated_world: World, connector: GatewayConnector
) -> None:
    async with run_fake_gateway(FakeGateway()) as fake:
        gateway = await create_gateway(isolated_transaction, isolated_world, connector, fake)
        await set_dead_lease(isolated_transaction, until=now() + timedelta(minutes=1))
        async with run_supervisor(connector, isolated_transaction):
            await asyncio.sleep(0.3)
            assert not fake.connect_params
            await set_dead_lease(isolated_transaction, until=now() - timedelta(seconds=1))

            async def is_seen() -> bool:
                return (
                    failed_check_name(await load_gateway(isolated_transaction, gateway))
                    == "nothing"
                )

            await wait_for(is_seen)


async def test_changed_gateways_are_reconnected_and_deleted_ones_closed(
    isolated_transaction: TransactionFactory, isolated_world: World, connector: GatewayConnector
) -> None:
    async with run_fake_gateway(FakeGateway()) as fake, run_fake_gateway(FakeGateway()) as other:
        gateway = await create_gateway(
            isolated_transaction, isolated_world, connector, fake, token="wrong"
        )

        async def is_stuck_at(check: str) -> bool:
            return failed_check_name(await load_gateway(isolated_transaction, gateway)) == check

        async def is_with(here: FakeGateway) -> bool:
            return here.is_connected and not (fake if here is other else other).is_connected

        async def change(**fields: object) -> None:
            async with isolated_transaction() as session:
                await gateways.update_gateway(
                    session, isolated_world.alice_member, connector, gateway.id, fields
                )

        async with run_supervisor(connector, isolated_transaction):
            await wait_for(lambda: is_stuck_at("token"))
            await change(token=TOKEN)
            await wait_for(lambda: is_with(fake))
            await change(url=other.url, token=TOKEN)
            await wait_for(lambda: is_with(other))
            async with isolated_transaction() as session:
                await gateways.delete_gateway(session, isolated_world.alice_member, gateway.id)

            async def is_left() -> bool:
                return not (fake.is_connected or other.is_connected)

            await wait_for(is_left)


async def test_undecryptable_secrets_are_reported_and_affect_no_other_gateway(
    isolated_transaction: TransactionFactory, isolated_world: World, connector: GatewayConnector
) -> None:
    """As after a restored backup without its key: an earlier success does not count."""
    async with run_fake_gateway(FakeGateway()) as fake:
        broken = await create_gateway(isolated_transaction, isolated_world, connector, fake)

        async def is_stuck_at(check: str) -> bool:
            return failed_check_name(await load_gateway(isolated_transaction, broken)) == check

        async with run_supervisor(connector, isolated_transaction):
            await wait_for(lambda: is_stuck_at("nothing"))
        async with isolated_transaction() as session:
            values = update(Gateway).where(Gateway.id == broken.id).values(encrypted_device="-")
            await session.execute(values)
        gateway = await create_gateway(
            isolated_transaction, isolated_world, connector, fake, name="Shed"
        )

        async def is_seen() -> bool:
            return failed_check_name(await load_gateway(isolated_transaction, gateway)) == "nothing"

        async with run_supervisor(connector, isolated_transaction):
            await wait_for(is_seen)
            await wait_for(lambda: is_stuck_at("token"))
            found = await load_gateway(isolated_transaction, broken)
            assert found
            assert gateways.gateway_status(found, now()) is gateways.GatewayStatus.FAILED
            check = gateways.failing_check(found)
            assert check
            assert check["code"] == "gateway_secrets_unreadable"
            assert "SECRET_KEY" in check["sentence"]
            async with isolated_transaction() as session:
                given = {"token": TOKEN}
                await gateways.update_gateway(
                    session, isolated_world.alice_member, connector, broken.id, given
                )
            await wait_for(lambda: is_stuck_at("nothing"))


async def test_the_worker_acquires_leases_and_releases_them_at_its_stop(
    isolated_settings: Settings,
    isolated_transaction: TransactionFactory,
    isolated_world: World,
    connector: GatewayConnector,
) -> None:
    async with run_fake_gateway(FakeGateway()) as fake:
        gateway = await create_gateway(isolated_transaction, isolated_world, connector, fake)
        stop = asyncio.Event()
        work = asyncio.create_task(
            worker.main.run(
                isolated_settings, stop, intervals=worker.main.WorkerIntervals(leases=0.1)
            )
        )

        async def is_seen() -> bool:
            return failed_check_name(await load_gateway(isolated_transaction, gateway)) == "nothing"

        await wait_for(is_seen)
        stop.set()
        await asyncio.wait_for(work, 2)
        assert not fake.is_connected
        found = await load_gateway(isolated_transaction, gateway)
        assert found
        assert found.lease_holder is None


async def test_only_repeated_lease_failures_close_the_connections(
    isolated_transaction: TransactionFactory, isolated_world: World, connector: GatewayConnector
) -> None:
    is_away, failures = False, 0

    @asynccontextmanager
    async def transaction() -> AsyncGenerator[AsyncSession]:
        nonlocal failures
        if is_away:
            failures += 1
            raise ConnectionError("There is no database.")
        async with isolated_transaction() as session:
            yield session

    async with run_fake_gateway(FakeGateway()) as fake:
        gateway = await create_gateway(isolated_transaction, isolated_world, connector, fake)

        async def is_seen() -> bool:
            return failed_check_name(await load_gateway(isolated_transaction, gateway)) == "nothing"

        async with run_supervisor(connector, transaction, lease_seconds=5.0):
            await wait_for(is_seen)
            is_away = True
            await wait_for(lambda: _is(failures >= 2))
            assert fake.is_connected
            is_away = False
            await asyncio.sleep(0.2)
            assert (fake.is_connected, fake.connection_count) == (True, 1)
            is_away = True
            await wait_for(lambda: _is(not fake.is_connected))


async def test_a_process_that_lost_its_lease_stops_its_jobs(
    isolated_transaction: TransactionFactory, isolated_world: World, connector: GatewayConnector
) -> None:
    """As after a sleep longer than the lease."""
    async with run_calling_job(isolated_transaction, isolated_world, connector) as (fake, gateway):
        await set_dead_lease(isolated_transaction, until=now() + timedelta(minutes=1))
        await require_no_more_calls(fake)
        found = await load_gateway(isolated_transaction, gateway)
        assert found
        assert found.lease_holder == "the dead"


async def test_a_process_that_cannot_renew_its_lease_disconnects(
    isolated_transaction: TransactionFactory, isolated_world: World, connector: GatewayConnector
) -> None:
    async with (
        run_calling_job(isolated_transaction, isolated_world, connector, lease_seconds=1.0) as (
            fake,
            gateway,
        ),
        isolated_transaction() as session,
    ):
        lease_taken = select(Gateway).where(Gateway.id == gateway.id).with_for_update()
        await session.execute(lease_taken)
        await require_no_more_calls(fake)


async def test_a_stopping_process_releases_only_its_own_leases(
    isolated_transaction: TransactionFactory, isolated_world: World, connector: GatewayConnector
) -> None:
    async with run_calling_job(isolated_transaction, isolated_world, connector) as (fake, gateway):
        theirs = await create_gateway(
            isolated_transaction, isolated_world, connector, fake, name="Shed"
        )
        async with isolated_transaction() as session:
            taken = {"lease_holder": "another", "lease_expires_at": now() + timedelta(minutes=1)}
            its = update(Gateway).where(Gateway.id == theirs.id)
            await session.execute(its.values(**taken))
    found, other = [await load_gateway(isolated_transaction, one) for one in (gateway, theirs)]
    assert found
    assert other
    assert (found.lease_holder, other.lease_holder) == (None, "another")


@asynccontextmanager
async def run_calling_job(
    transaction: TransactionFactory, world: World, connector: GatewayConnector, **how: Any
) -> AsyncGenerator[tuple[FakeGateway, Gateway]]:
    """Run a supervisor with a job that calls the gateway repeatedly."""

    async def job(_gateway: Gateway, client: GatewayClient) -> None:
        while True:
            await client.wait_connected()
            with suppress(GatewayError):
                await client.call_once("health")
            await asyncio.sleep(0.02)

    async with run_fake_gateway(FakeGateway()) as fake:
        fake.handlers["health"] = lambda _: {"ok": True}
        gateway = await create_gateway(transaction, world, connector, fake)
        async with run_supervisor(connector, transaction, jobs=[job], **how):
            await wait_for(lambda: _is(bool(fake.calls)))
            yield fake, gateway


async def require_no_more_calls(fake: FakeGateway) -> None:
    await wait_for(lambda: _is(not fake.is_connected))
    calls, times = len(fake.calls), fake.connection_count
    await asyncio.sleep(0.3)
    assert (len(fake.calls), fake.connection_count) == (calls, times)


async def set_dead_lease(transaction: TransactionFactory, *, until: Any) -> None:
    async with transaction() as session:
        await session.execute(
            update(Gateway).values(lease_holder="the dead", lease_expires_at=until)
        )


async def test_jobs_use_the_leased_connection_and_survive_its_loss(
    connector: GatewayConnector, isolated_transaction: TransactionFactory, isolated_world: World
) -> None:
    answered: list[int] = []

    async def job(gateway: Gateway, client: GatewayClient) -> None:
        while True:
            await client.wait_connected()
            with suppress(GatewayError):
                await client.call_with_retry("health", is_idempotent=True)
                answered.append(fake.connection_count)
            await asyncio.sleep(0.02)

    async with run_fake_gateway(FakeGateway()) as fake:
        fake.handlers["health"] = lambda _: {"ok": True}
        await create_gateway(isolated_transaction, isolated_world, connector, fake)
        async with run_supervisor(connector, isolated_transaction, jobs=[job]):
            await wait_for(lambda: _is(bool(answered)))
            await fake.close_connections(1012)
            await wait_for(lambda: _is(answered[-1] > 1))
        assert fake.max_connections == 1
        assert {"exec-approvals", "tool-events"} == set(fake.connect_params[0]["caps"])


async def _is(true: bool) -> bool:
    return true
