"""The lease of a gateway: one process at a time is connected to it."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import event, select, update
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker, create_async_engine

import worker.main
from core.clock import now
from core.config.settings import Settings
from core.db.engine import TransactionFactory
from core.db.transactions import lock_name
from models import Board, Event, EventType, Gateway
from openclaw import GatewayClient, GatewayError
from services.events import record_event
from services.gateways import GatewayConnector
from tests.support.fake_gateway import FakeGateway, run_fake_gateway
from tests.support.gateway_supervisors import (
    create_gateway,
    failed_check_name,
    is_true,
    load_gateway,
    run_supervisor,
    wait_for,
)
from tests.support.lock_waiter import wait_for_lock_waiter
from tests.support.statement_counter import count_all_statements
from tests.support.world import World
from worker.gateway_supervisor import GatewaySupervisor, LeaseExpired, LeaseTerm


async def test_a_renewal_of_the_leases_is_a_single_statement(
    isolated_settings: Settings, connector: GatewayConnector
) -> None:
    """Without BEGIN and COMMIT."""
    engine = create_async_engine(isolated_settings.sqlalchemy_url)
    sent: list[str] = []

    @event.listens_for(engine.sync_engine, "connect")
    def record(connection: Any, _record: object) -> None:
        connection.driver_connection.add_query_logger(lambda logged: sent.append(logged.query))

    def list_renewals() -> list[str]:
        return [one for one in statements if "UPDATE gateways" in one]

    transaction = async_sessionmaker(engine, expire_on_commit=False).begin
    with count_all_statements() as statements:
        async with run_supervisor(connector, transaction):
            await wait_for(lambda: is_true(len(list_renewals()) >= 3))
    await engine.dispose()
    control = [one for one in sent if one.startswith(("BEGIN", "COMMIT"))]
    assert len(control) <= 2, "only the release of the leases needs a transaction"


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


async def test_a_lease_that_ends_is_taken_over_without_a_wait_for_the_next_renewal(
    isolated_transaction: TransactionFactory, isolated_world: World, connector: GatewayConnector
) -> None:
    async with run_fake_gateway(FakeGateway()) as fake:
        await create_gateway(isolated_transaction, isolated_world, connector, fake)
        await set_dead_lease(isolated_transaction, until=now() + timedelta(seconds=1))
        async with run_supervisor(connector, isolated_transaction, interval=600.0):
            await wait_for(lambda: is_true(fake.is_connected))


async def test_a_transaction_waits_for_a_certain_lease_and_never_outlives_it(
    isolated_transaction: TransactionFactory, isolated_world: World
) -> None:
    """As in a process that was frozen before the transaction, or in it."""
    term = LeaseTerm(margin=3.0)
    transaction = term.fence(isolated_transaction)

    async def rename_board(name: str, remaining: float) -> None:
        async with transaction() as session:
            await session.execute(update(Board).values(name=name))
            term.renew(remaining)

    term.renew(2.0)
    waiting = asyncio.create_task(rename_board("Confirmed", 9.0))
    for _ in range(20):
        async with isolated_transaction() as session:
            assert "Confirmed" not in await session.scalars(select(Board.name))
    term.renew(9.0)
    await waiting
    with pytest.raises(LeaseExpired):
        await rename_board("Too late", 2.0)
    async with isolated_transaction() as session:
        assert set(await session.scalars(select(Board.name))) == {"Confirmed"}


async def test_a_transaction_waits_for_the_locks_of_its_events_before_it_compares_its_lease(
    isolated_transaction: TransactionFactory, isolated_world: World
) -> None:
    """A commit that waits for them could end after the lease."""
    term = LeaseTerm(margin=3.0)
    transaction = term.fence(isolated_transaction)

    async def record() -> None:
        async with transaction() as session:
            await record_event(
                session, EventType.BOARD_UPDATED, None, organization_id=isolated_world.tern.id
            )

    term.renew(9.0)
    async with isolated_transaction() as other:
        await lock_name(other, str(isolated_world.tern.id))
        waiting = asyncio.create_task(record())
        await wait_for_lock_waiter(isolated_transaction)
        term.renew(2.0)
    with pytest.raises(LeaseExpired):
        await waiting
    async with isolated_transaction() as session:
        assert not [*await session.scalars(select(Event))]


async def test_a_process_calls_no_gateway_while_its_lease_may_have_ended(
    isolated_transaction: TransactionFactory, isolated_world: World, connector: GatewayConnector
) -> None:
    """As one that was frozen, before it has renewed its leases. Its connection is open."""
    term = LeaseTerm(margin=3.0)
    renewals = {"interval": 600.0, "term": term}
    async with run_calling_job(isolated_transaction, isolated_world, connector, **renewals) as (
        fake,
        gateway,
    ):

        async def is_seen() -> bool:
            return failed_check_name(await load_gateway(isolated_transaction, gateway)) == "nothing"

        await wait_for(is_seen)
        term.renew(2.0)
        await asyncio.sleep(0.1)
        calls = len(fake.calls)
        await asyncio.sleep(0.3)
        assert (len(fake.calls), fake.is_connected) == (calls, True)
        term.renew(9.0)
        await wait_for(lambda: is_true(len(fake.calls) > calls))


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
        await asyncio.wait_for(work, 20)
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

        async with run_supervisor(connector, transaction, term=LeaseTerm(2.5, margin=0.5)):
            await wait_for(is_seen)
            is_away = True
            await wait_for(lambda: is_true(failures >= 2))
            assert fake.is_connected
            is_away = False
            await asyncio.sleep(0.2)
            assert (fake.is_connected, fake.connection_count) == (True, 1)
            is_away = True
            await wait_for(lambda: is_true(not fake.is_connected))


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
        run_calling_job(
            isolated_transaction, isolated_world, connector, term=LeaseTerm(1.0, margin=0.1)
        ) as (
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
            isolated_transaction,
            isolated_world,
            connector,
            fake,
            name="Shed",
            url=f"{fake.url}/shed",
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
            await wait_for(lambda: is_true(bool(fake.calls)))
            yield fake, gateway


async def require_no_more_calls(fake: FakeGateway) -> None:
    await wait_for(lambda: is_true(not fake.is_connected))
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
            with suppress(GatewayError):
                await client.wait_connected()
                await client.call_with_retry("health", is_idempotent=True)
                answered.append(fake.connection_count)
            await asyncio.sleep(0.02)

    async with run_fake_gateway(FakeGateway()) as fake:
        fake.handlers["health"] = lambda _: {"ok": True}
        await create_gateway(isolated_transaction, isolated_world, connector, fake)
        async with run_supervisor(connector, isolated_transaction, jobs=[job]):
            await wait_for(lambda: is_true(bool(answered)))
            await fake.close_connections(1012)
            await wait_for(lambda: is_true(answered[-1] > 1))
        assert fake.max_connections == 1
        assert {"exec-approvals", "plugin-approvals", "tool-events"} == set(
            fake.connect_params[0]["caps"]
        )
