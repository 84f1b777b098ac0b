"""Gateways: stored fields, and secrets that only their installation can read."""

import asyncio
from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from core.clock import now
from core.config.settings import Settings
from core.db.engine import TransactionFactory
from core.errors import Conflict, Forbidden, Invalid, NotFound, UpstreamError
from core.security.encryption import SecretCipher
from models import Agent, Event, EventType, Gateway
from openclaw import AddressPolicy, ConnectionDiagnosis
from services import boards, gateways
from services.gateways import GatewayConnector, GatewayCreate, GatewayUpdate, ProbeResult
from tests.support.fake_gateway import TOKEN, FakeGateway, run_fake_gateway
from tests.support.gateway_rows import make_gateway
from tests.support.lock_waiter import wait_for_lock_waiter
from tests.support.people_rows import make_organization
from tests.support.secret_key import CIPHER
from tests.support.world import World

DRAFT = GatewayCreate(name="Workshop", url="ws://127.0.0.1:9", workspace_root="/x", token=TOKEN)


@pytest.fixture
def connector() -> GatewayConnector:
    return GatewayConnector(CIPHER, AddressPolicy())


def make_connector_with_other_key() -> GatewayConnector:
    return GatewayConnector(
        SecretCipher(Settings(secret_key="another key, which is long enough too")), AddressPolicy()
    )


async def test_secrets_are_encrypted_for_their_row_and_column(
    session: AsyncSession, world: World, connector: GatewayConnector
) -> None:
    """W-23."""
    one = await gateways.create_gateway(session, world.alice_member, connector, DRAFT)
    other = await gateways.create_gateway(
        session,
        world.alice_member,
        connector,
        DRAFT.model_copy(update={"name": "Shed", "url": "wss://shed.example"}),
    )
    assert connector.make_target(one).token == TOKEN
    for column in ("encrypted_token", "encrypted_device"):
        kept = getattr(one, column)
        assert TOKEN not in kept
        setattr(one, column, getattr(other, column))
        with pytest.raises(Conflict):
            connector.make_target(one)
        setattr(one, column, kept)
    one.encrypted_device_token = one.encrypted_token
    with pytest.raises(Conflict):
        connector.make_target(one)
    for shown in (repr(connector.make_target(other)), repr(connector.decrypt_secrets(other))):
        assert TOKEN not in shown


async def test_a_new_token_repairs_a_gateway_with_another_key(
    session: AsyncSession, world: World, connector: GatewayConnector
) -> None:
    gateway = await gateways.create_gateway(session, world.alice_member, connector, DRAFT)
    device = connector.decrypt_secrets(gateway).device.id
    theirs = make_connector_with_other_key()
    with pytest.raises(Conflict, match="SECRET_KEY") as refused:
        theirs.make_target(gateway)
    assert refused.value.code == "gateway_secrets_unreadable"
    renamed = await gateways.update_gateway(
        session, world.alice_member, theirs, gateway.id, GatewayUpdate.of(name="Shed")
    )
    assert renamed.name == "Shed"
    await gateways.update_gateway(
        session, world.alice_member, theirs, gateway.id, GatewayUpdate.of(token="new")
    )
    assert theirs.make_target(gateway).token == "new"
    assert theirs.decrypt_secrets(gateway).device.id != device


async def test_disabled_pairing_uses_no_device(
    session: AsyncSession, world: World, connector: GatewayConnector
) -> None:
    draft = DRAFT.model_copy(update={"disable_device_pairing": True, "allow_insecure_tls": True})
    gateway = await gateways.create_gateway(session, world.alice_member, connector, draft)
    target = connector.make_target(gateway)
    assert target.device is None
    assert target.allow_insecure_tls is True


async def test_a_probe_does_not_overwrite_a_concurrent_change(
    session: AsyncSession, world: World, connector: GatewayConnector
) -> None:
    gateway = await gateways.create_gateway(session, world.alice_member, connector, DRAFT)
    probe = await ProbeResult.probe_gateway(connector, gateway)
    assert probe.is_well is False
    seen = await gateways.record_user_probe(session, world.alice_member, gateway, probe)
    assert seen.checks == probe.checks
    assert seen.version == 1
    before = Gateway(id=gateway.id, version=1)
    await gateways.update_gateway(
        session,
        world.alice_member,
        connector,
        gateway.id,
        GatewayUpdate.of(url="ws://127.0.0.1:8", token=""),
    )
    kept = await gateways.record_user_probe(session, world.alice_member, before, probe)
    assert (kept.version, kept.checks, kept.checked_at) == (2, None, None)
    await gateways.delete_gateway(session, world.alice_member, gateway.id)
    with pytest.raises(NotFound):
        await gateways.record_user_probe(session, world.alice_member, before, probe)


async def test_a_probe_keeps_what_the_connection_has_learned_meanwhile(
    session: AsyncSession, world: World, connector: GatewayConnector
) -> None:
    async with run_fake_gateway(FakeGateway()) as fake:
        draft = DRAFT.model_copy(update={"url": fake.url})
        gateway = await gateways.create_gateway(session, world.alice_member, connector, draft)
        before = Gateway(id=gateway.id, version=1)
        probe = await ProbeResult.probe_gateway(connector, gateway)
        *others, agents_check = probe.checks
        assert agents_check["state"] == "ok"
    failed = agents_check | {"state": "failed", "code": "agents_unsupported"}
    capabilities = {**(probe.capabilities or {}), "unsupported": "unknown method: agents.create"}
    learned = replace(probe, checks=[*others, failed], capabilities=capabilities)
    await gateways.record_probe(session, gateway, learned)

    recorded = await gateways.record_user_probe(session, world.alice_member, before, probe)

    assert recorded.capabilities == capabilities
    assert [one["code"] for one in recorded.checks or () if one["state"] == "failed"] == [
        "agents_unsupported"
    ]
    recorded = await gateways.record_user_probe(session, world.alice_member, recorded, probe)
    assert recorded.capabilities == probe.capabilities


async def test_a_probe_of_one_user_updates_the_pages_of_others(
    session: AsyncSession, world: World, connector: GatewayConnector
) -> None:
    gateway = await gateways.create_gateway(session, world.alice_member, connector, DRAFT)
    query = select(Event).where(Event.type == EventType.GATEWAY_UPDATED)
    for _ in range(2):
        probe = await ProbeResult.probe_gateway(connector, gateway)
        gateway = await gateways.record_user_probe(session, world.alice_member, gateway, probe)
    [event] = await session.scalars(query)
    assert event.data["changed"] == ["checks"]
    assert event.user_id is None


async def test_a_device_token_is_kept_until_a_newer_one_is_issued(
    session: AsyncSession, world: World, connector: GatewayConnector
) -> None:
    async with run_fake_gateway(FakeGateway()) as fake:
        draft = DRAFT.model_copy(update={"url": fake.url})
        gateway = await gateways.create_gateway(session, world.alice_member, connector, draft)
        probe = await ProbeResult.probe_gateway(connector, gateway)
        gateway = await gateways.record_user_probe(session, world.alice_member, gateway, probe)
        given = connector.decrypt_secrets(gateway).device_token
        assert given.startswith("device token of")
        assert gateway.gateway_version == "2026.9.6"
    nothing = ProbeResult.from_diagnosis(connector, gateway.id, ConnectionDiagnosis([], now()))
    gateway = await gateways.record_user_probe(session, world.alice_member, gateway, nothing)
    assert connector.decrypt_secrets(gateway).device_token == given
    assert gateway.gateway_version == "2026.9.6"


async def test_members_and_other_users_cannot_change_gateways(
    session: AsyncSession, world: World, connector: GatewayConnector
) -> None:
    gateway = await gateways.create_gateway(session, world.alice_member, connector, DRAFT)
    events = await session.scalar(select(func.count()).select_from(Event))
    for member, error in ((world.bob_member, Forbidden), (world.charlie_member, NotFound)):
        with pytest.raises(error):
            await gateways.get_gateway(session, member, gateway.id)
        with pytest.raises(error):
            await gateways.update_gateway(
                session, member, connector, gateway.id, GatewayUpdate.of(name="Mine")
            )
        with pytest.raises(error):
            await gateways.delete_gateway(session, member, gateway.id)
    with pytest.raises(Forbidden):
        await gateways.create_gateway(
            session, world.bob_member, connector, DRAFT.model_copy(update={"name": "Mine"})
        )
    with pytest.raises(Forbidden):
        await gateways.find_gateway_by_url(session, world.bob_member, gateway.url)
    assert await gateways.find_gateway_by_url(session, world.charlie_member, gateway.url) is None
    assert await gateways.find_gateway_by_url(session, world.alice_member, gateway.url) is gateway
    assert await session.scalar(select(func.count()).select_from(Event)) == events


async def test_events_name_changed_fields_and_no_secrets(
    session: AsyncSession, world: World, connector: GatewayConnector
) -> None:
    gateway = await gateways.create_gateway(session, world.alice_member, connector, DRAFT)
    changes = GatewayUpdate.of(token="another secret", name="Workshop", url=DRAFT.url)
    await gateways.update_gateway(session, world.alice_member, connector, gateway.id, changes)
    query = select(Event).where(Event.type == EventType.GATEWAY_UPDATED)
    [event] = await session.scalars(query)
    assert event.data == {
        "gateway_id": str(gateway.id),
        "name": "Workshop",
        "changed": ["token"],
    }
    assert event.user_id == world.alice.id


async def test_one_agent_manages_a_gateway(
    session: AsyncSession, world: World, connector: GatewayConnector
) -> None:
    gateway = await gateways.create_gateway(session, world.alice_member, connector, DRAFT)
    mains = select(Agent).where(Agent.gateway_id == gateway.id, Agent.board_id.is_(None))
    [main] = await session.scalars(mains)
    assert main.organization_id == world.tern.id
    assert main.openclaw_session_id == gateway.session_key
    await gateways.delete_gateway(session, world.alice_member, gateway.id)
    assert (await session.scalars(mains)).all() == []


async def test_gateway_errors_become_upstream_errors_with_their_code(
    connector: GatewayConnector,
) -> None:
    gateway = make_gateway_at("ws://127.0.0.1:9")
    with pytest.raises(UpstreamError) as refused:
        async with connector.connect(gateway) as client:
            await gateways.list_sessions(client)
    assert refused.value.code == "gateway_refused"
    assert "127.0.0.1, port 9" in refused.value.message


async def test_of_two_concurrent_uses_of_a_name_one_succeeds(
    isolated_transaction: TransactionFactory, isolated_world: World, connector: GatewayConnector
) -> None:
    """W-50."""

    async def second() -> Any:
        async with isolated_transaction() as session:
            return await gateways.create_gateway(
                session, isolated_world.alice_member, connector, elsewhere
            )

    elsewhere = DRAFT.model_copy(update={"url": "ws://127.0.0.1:10"})
    async with isolated_transaction() as session:
        await gateways.create_gateway(session, isolated_world.alice_member, connector, DRAFT)
        racing = asyncio.create_task(second())
        await wait_for_lock_waiter(isolated_transaction)
    with pytest.raises(Conflict) as refused:
        await racing
    assert refused.value.code == "gateway_name_taken"


async def test_a_board_cannot_join_a_gateway_that_is_being_deleted(
    isolated_transaction: TransactionFactory, isolated_world: World, connector: GatewayConnector
) -> None:
    async with isolated_transaction() as session:
        gateway = await gateways.create_gateway(
            session, isolated_world.alice_member, connector, DRAFT
        )

    async def put() -> None:
        async with isolated_transaction() as session:
            board = await boards.lock_board(session, isolated_world.alice, isolated_world.board.id)
            await boards.update_board(
                session, isolated_world.alice, board, boards.BoardUpdate.of(gateway_id=gateway.id)
            )

    async with isolated_transaction() as session:
        await gateways.delete_gateway(session, isolated_world.alice_member, gateway.id)
        racing = asyncio.create_task(put())
        await wait_for_lock_waiter(isolated_transaction)
    with pytest.raises(Invalid) as refused:
        await racing
    assert refused.value.code == "gateway_not_found"


def make_gateway_at(url: str) -> Gateway:
    return make_gateway(make_organization("Elsewhere"), url=url)
