"""The gateway supervisor: one process per gateway, which records the connection state."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from sqlalchemy import select, update

from core.clock import now
from core.config.settings import Settings
from core.db.engine import TransactionFactory
from core.db.listen import PostgresListener
from models import Agent, Event, EventType, Gateway
from openclaw import connection
from services import gateway_status, gateways
from services.gateways import GatewayConnector
from tests.support.fake_gateway import TOKEN, FakeGateway, run_fake_gateway
from tests.support.gateway_supervisors import (
    create_gateway,
    failed_check_name,
    is_true,
    load_gateway,
    run_supervisor,
    wait_for,
)
from tests.support.older_gateways import fake_version
from tests.support.world import World
from worker.gateway_supervisor import LeaseTerm


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
            await wait_for(lambda: is_true(fake.connection_count > 1))
            assert await is_stuck_at("nothing")
            fake.connect_close_code = code
            await fake.close_connections(1012)
            await wait_for(lambda: is_stuck_at("handshake"))
            fake.connect_close_code = None
            await wait_for(lambda: is_stuck_at("nothing"))


async def test_a_frozen_gateway_is_shown_and_is_not_reported_as_lost(
    isolated_transaction: TransactionFactory,
    isolated_world: World,
    connector: GatewayConnector,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(connection, "PROBE_INTERVAL", 0.05)
    monkeypatch.setattr(connection, "PONG_TIMEOUT", 0.2)
    async with run_fake_gateway(FakeGateway()) as fake:
        gateway = await create_gateway(isolated_transaction, isolated_world, connector, fake)

        async def find_code() -> object:
            found = await load_gateway(isolated_transaction, gateway)
            failing = gateway_status.failing_check(found) if found and found.checks else None
            return failing["code"] if failing else "nothing" if found and found.checks else ""

        async def is_stuck_with(code: str) -> bool:
            return await find_code() == code

        async with run_supervisor(connector, isolated_transaction):
            await wait_for(lambda: is_stuck_with("nothing"))
            fake.freeze()
            await wait_for(lambda: is_stuck_with("unresponsive"))
            fake.resume()
            await wait_for(lambda: is_stuck_with("nothing"))
    async with isolated_transaction() as session:
        events = await session.scalars(
            select(Event.data).where(Event.type == EventType.GATEWAY_UPDATED)
        )
        assert not any({"is_away", "is_back"} & data.keys() for data in events)


async def test_a_status_that_an_outage_of_the_database_prevents_is_stored_later(
    isolated_transaction: TransactionFactory,
    isolated_world: World,
    connector: GatewayConnector,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The connection is opened again for it. An outage is no error of the program."""
    record, lost = gateways.record_probe, []

    async def lose_first(*arguments: Any) -> object:
        if not lost:
            lost.append(ConnectionResetError("The database has closed the connection."))
            raise lost[0]
        return await record(*arguments)

    monkeypatch.setattr(gateways, "record_probe", lose_first)
    async with run_fake_gateway(FakeGateway()) as fake:
        gateway = await create_gateway(isolated_transaction, isolated_world, connector, fake)

        async def is_connected() -> bool:
            return failed_check_name(await load_gateway(isolated_transaction, gateway)) == "nothing"

        async with run_supervisor(connector, isolated_transaction):
            await wait_for(is_connected)
    [logged] = [one for one in caplog.records if "has failed" in one.getMessage()]
    assert logged.levelname == "WARNING"
    assert not logged.exc_info


@pytest.fixture
async def listener(isolated_settings: Settings) -> AsyncIterator[PostgresListener]:
    listener = PostgresListener()
    listening = asyncio.create_task(listener.listen(isolated_settings.dsn))
    await asyncio.wait_for(listener.connected.wait(), 10)
    yield listener
    listening.cancel()


async def test_new_changed_and_deleted_gateways_are_noticed_at_once(
    isolated_transaction: TransactionFactory,
    isolated_world: World,
    connector: GatewayConnector,
    listener: PostgresListener,
) -> None:
    """The next renewal of the leases would be after the test."""
    async with (
        run_fake_gateway(FakeGateway()) as fake,
        run_fake_gateway(FakeGateway()) as other,
        run_supervisor(connector, isolated_transaction, listener, interval=600.0),
    ):
        first = await create_gateway(
            isolated_transaction, isolated_world, connector, other, name="First"
        )
        await wait_for(lambda: is_true(other.is_connected))
        async with isolated_transaction() as session:
            await gateways.delete_gateway(session, isolated_world.alice_member, first.id)
        await wait_for(lambda: is_true(not other.is_connected))
        gateway = await create_gateway(
            isolated_transaction, isolated_world, connector, fake, token="wrong"
        )

        async def is_stuck_at(check: str) -> bool:
            return failed_check_name(await load_gateway(isolated_transaction, gateway)) == check

        async def is_with(here: FakeGateway) -> bool:
            return here.is_connected and not (fake if here is other else other).is_connected

        async def change(**fields: object) -> None:
            async with isolated_transaction() as session:
                changes = gateways.GatewayUpdate.of(**fields)
                await gateways.update_gateway(
                    session, isolated_world.alice_member, connector, gateway.id, changes
                )

        await wait_for(lambda: is_stuck_at("token"))
        await change(token=TOKEN)
        await wait_for(lambda: is_with(fake))
        await change(url=other.url, token=TOKEN)
        await wait_for(lambda: is_with(other))


async def test_undecryptable_secrets_are_reported_and_affect_no_other_gateway(
    isolated_transaction: TransactionFactory, isolated_world: World, connector: GatewayConnector
) -> None:
    """As after a restored backup without its key: an earlier success does not count."""
    async with run_fake_gateway(FakeGateway()) as fake, run_fake_gateway(FakeGateway()) as other:
        broken = await create_gateway(isolated_transaction, isolated_world, connector, fake)

        async def is_stuck_at(check: str) -> bool:
            return failed_check_name(await load_gateway(isolated_transaction, broken)) == check

        async with run_supervisor(connector, isolated_transaction):
            await wait_for(lambda: is_stuck_at("nothing"))
        async with isolated_transaction() as session:
            values = update(Gateway).where(Gateway.id == broken.id).values(encrypted_device="-")
            await session.execute(values)
        gateway = await create_gateway(
            isolated_transaction, isolated_world, connector, other, name="Shed"
        )

        async def is_seen() -> bool:
            return failed_check_name(await load_gateway(isolated_transaction, gateway)) == "nothing"

        async with run_supervisor(connector, isolated_transaction):
            await wait_for(is_seen)
            await wait_for(lambda: is_stuck_at("token"))
            found = await load_gateway(isolated_transaction, broken)
            assert found
            assert (
                gateway_status.compute_status(found, now()) is gateway_status.GatewayStatus.FAILED
            )
            check = gateway_status.failing_check(found)
            assert check
            assert check["code"] == "gateway_secrets_unreadable"
            assert "SECRET_KEY" in check["sentence"]
            async with isolated_transaction() as session:
                given = gateways.GatewayUpdate.of(token=TOKEN)
                await gateways.update_gateway(
                    session, isolated_world.alice_member, connector, broken.id, given
                )
            await wait_for(lambda: is_stuck_at("nothing"))


async def test_an_update_of_a_gateway_syncs_its_agents(
    isolated_transaction: TransactionFactory, isolated_world: World, connector: GatewayConnector
) -> None:
    """Older versions have the text of heartbeats in another place."""
    async with run_fake_gateway(FakeGateway(**fake_version("2026.7.1"))) as fake:
        gateway = await create_gateway(isolated_transaction, isolated_world, connector, fake)

        async def is_known(version: str, generation: int) -> bool:
            found = await load_gateway(isolated_transaction, gateway)
            async with isolated_transaction() as session:
                query = select(Agent.generation).where(Agent.gateway_id == gateway.id)
                is_synced = await session.scalar(query) == generation
            stored = (found.capabilities or {}) if found else {}
            return stored.get("version") == version and is_synced

        async with isolated_transaction() as session:
            query = select(Agent.generation).where(Agent.gateway_id == gateway.id)
            before = await session.scalar(query)
            assert before is not None
        async with run_supervisor(connector, isolated_transaction):
            await wait_for(lambda: is_known("2026.7.1", before))
            fake.version, fake.missing = "2026.9.6", frozenset()
            await fake.close_connections(1012)
            await wait_for(lambda: is_known("2026.9.6", before + 1))


async def test_a_probe_that_is_not_recorded_requests_no_sync(
    isolated_transaction: TransactionFactory,
    isolated_world: World,
    connector: GatewayConnector,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The gateway was changed meanwhile, so it is connected again, and that requests the sync."""
    record, missed = gateways.record_probe, list[str | None]()

    async def record_or_note(session: Any, gateway: Gateway, result: Any) -> Gateway | None:
        row = await record(session, gateway, result)
        if row is None:
            missed.append(result.gateway_version)
        return row

    monkeypatch.setattr(gateways, "record_probe", record_or_note)
    async with run_fake_gateway(FakeGateway(**fake_version("2026.7.1"))) as fake:
        gateway = await create_gateway(isolated_transaction, isolated_world, connector, fake)

        async def is_known(version: str) -> bool:
            found = await load_gateway(isolated_transaction, gateway)
            return found is not None and (found.capabilities or {}).get("version") == version

        async def load_generation() -> int | None:
            async with isolated_transaction() as session:
                query = select(Agent.generation).where(Agent.gateway_id == gateway.id)
                return await session.scalar(query)

        before = await load_generation()
        assert before is not None
        late: dict[str, Any] = {
            "interval": 60,
            "term": LeaseTerm(600),
        }  # it does not see the change
        async with run_supervisor(connector, isolated_transaction, **late):
            await wait_for(lambda: is_known("2026.7.1"))
            async with isolated_transaction() as session:
                await session.execute(update(Gateway).values(version=Gateway.version + 1))
            fake.version, fake.missing = "2026.9.6", frozenset()
            for number in (1, 2):  # the first one has ended when the second one is missed
                await fake.close_connections(1012)
                await wait_for(lambda: is_true(missed.count("2026.9.6") >= number))  # noqa: B023
        assert await load_generation() == before
        async with run_supervisor(connector, isolated_transaction):
            await wait_for(lambda: is_known("2026.9.6"))
        assert await load_generation() == before + 1
