"""Gateways: what is kept of them, and what only their own installation can read."""

import asyncio
from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from kit.clock import now
from kit.errors import Conflict, Forbidden, Invalid, NotFound, OutsideFailed
from kit.sealing import Seal
from kit.settings import Settings
from models import Agent, Event, EventType, Gateway
from openclaw import Guard, Ladder
from services import boards, gateways
from services.gateways import Carrier, GatewayDraft, Look
from tests.conftest import Transaction
from tests.openclaw.fake import TOKEN, Fake, running
from tests.race.waiting import somebody_waits
from tests.world import SEAL, World, a_gateway, an_organization

DRAFT = GatewayDraft(name="Workshop", url="ws://127.0.0.1:9", workspace_root="/x", token=TOKEN)


@pytest.fixture
def carrier() -> Carrier:
    return Carrier(SEAL, Guard())


def with_another_key() -> Carrier:
    return Carrier(Seal(Settings(secret_key="another key, which is long enough too")), Guard())


async def test_what_is_secret_is_sealed_for_its_own_row_and_column(
    session: AsyncSession, world: World, carrier: Carrier
) -> None:
    """W-23."""
    one = await gateways.create(session, world.alices, carrier, DRAFT)
    other = await gateways.create(session, world.alices, carrier, replace(DRAFT, name="Shed"))
    assert carrier.target(one).token == TOKEN
    for column in ("sealed_token", "sealed_device"):
        kept = getattr(one, column)
        assert TOKEN not in kept
        setattr(one, column, getattr(other, column))
        with pytest.raises(Conflict):
            carrier.target(one)
        setattr(one, column, kept)
    one.sealed_device_token = one.sealed_token
    with pytest.raises(Conflict):
        carrier.target(one)
    for shown in (repr(carrier.target(other)), repr(carrier.opened(other))):
        assert TOKEN not in shown


async def test_with_another_key_a_token_is_entered_again_and_all_is_well(
    session: AsyncSession, world: World, carrier: Carrier
) -> None:
    gateway = await gateways.create(session, world.alices, carrier, DRAFT)
    device = carrier.opened(gateway).device.id
    theirs = with_another_key()
    with pytest.raises(Conflict, match="SECRET_KEY") as refused:
        theirs.target(gateway)
    assert refused.value.code == "gateway_secrets_unreadable"
    renamed = await gateways.change(session, world.alices, theirs, gateway.id, {"name": "Shed"})
    assert renamed.name == "Shed"
    await gateways.change(session, world.alices, theirs, gateway.id, {"token": "new"})
    assert theirs.target(gateway).token == "new"
    assert theirs.opened(gateway).device.id != device


async def test_a_pairing_switched_off_shows_no_device(
    session: AsyncSession, world: World, carrier: Carrier
) -> None:
    draft = replace(DRAFT, disable_device_pairing=True, allow_insecure_tls=True)
    gateway = await gateways.create(session, world.alices, carrier, draft)
    target = carrier.target(gateway)
    assert target.device is None
    assert target.allow_insecure_tls is True


async def test_what_was_seen_is_not_written_over_what_was_changed_meanwhile(
    session: AsyncSession, world: World, carrier: Carrier
) -> None:
    gateway = await gateways.create(session, world.alices, carrier, DRAFT)
    look = await Look.at_gateway(carrier, gateway)
    assert look.is_well is False
    seen = await gateways.record(session, world.alices, gateway, look)
    assert seen.checks == look.checks
    assert seen.version == 1
    before = Gateway(id=gateway.id, version=1)
    await gateways.change(session, world.alices, carrier, gateway.id, {"url": "ws://127.0.0.1:8"})
    kept = await gateways.record(session, world.alices, before, look)
    assert (kept.version, kept.checks, kept.checked_at) == (2, None, None)
    await gateways.delete(session, world.alices, gateway.id)
    with pytest.raises(NotFound):
        await gateways.record(session, world.alices, before, look)


async def test_what_somebody_sees_of_a_gateway_is_told_to_all_who_have_it_open(
    session: AsyncSession, world: World, carrier: Carrier
) -> None:
    gateway = await gateways.create(session, world.alices, carrier, DRAFT)
    query = select(Event).where(Event.type == EventType.GATEWAY_UPDATED)
    for _ in range(2):
        look = await Look.at_gateway(carrier, gateway)
        gateway = await gateways.record(session, world.alices, gateway, look)
    [event] = await session.scalars(query)
    assert event.data["changed"] == ["checks"]
    assert event.user_id is None


async def test_a_device_token_is_kept_until_there_is_a_newer_one(
    session: AsyncSession, world: World, carrier: Carrier
) -> None:
    async with running(Fake()) as fake:
        draft = replace(DRAFT, url=fake.url)
        gateway = await gateways.create(session, world.alices, carrier, draft)
        look = await Look.at_gateway(carrier, gateway)
        gateway = await gateways.record(session, world.alices, gateway, look)
        given = carrier.opened(gateway).device_token
        assert given.startswith("device token of")
        assert gateway.gateway_version == "2026.9.6"
    nothing = Look.of(carrier, gateway.id, Ladder([], now()))
    gateway = await gateways.record(session, world.alices, gateway, nothing)
    assert carrier.opened(gateway).device_token == given
    assert gateway.gateway_version == "2026.9.6"


async def test_members_and_strangers_do_nothing(
    session: AsyncSession, world: World, carrier: Carrier
) -> None:
    gateway = await gateways.create(session, world.alices, carrier, DRAFT)
    events = await session.scalar(select(func.count()).select_from(Event))
    for member, refusal in ((world.bobs, Forbidden), (world.charlies, NotFound)):
        with pytest.raises(refusal):
            await gateways.get(session, member, gateway.id)
        with pytest.raises(refusal):
            await gateways.change(session, member, carrier, gateway.id, {"name": "Mine"})
        with pytest.raises(refusal):
            await gateways.delete(session, member, gateway.id)
    with pytest.raises(Forbidden):
        await gateways.create(session, world.bobs, carrier, replace(DRAFT, name="Mine"))
    with pytest.raises(Forbidden):
        await gateways.with_url(session, world.bobs, gateway.url)
    assert await gateways.with_url(session, world.charlies, gateway.url) is None
    assert await gateways.with_url(session, world.alices, gateway.url) is gateway
    assert await session.scalar(select(func.count()).select_from(Event)) == events


async def test_an_event_tells_what_was_changed_and_no_secret(
    session: AsyncSession, world: World, carrier: Carrier
) -> None:
    gateway = await gateways.create(session, world.alices, carrier, DRAFT)
    changes: dict[str, object] = {"token": "another secret", "name": "Workshop", "url": DRAFT.url}
    await gateways.change(session, world.alices, carrier, gateway.id, changes)
    query = select(Event).where(Event.type == EventType.GATEWAY_UPDATED)
    [event] = await session.scalars(query)
    assert event.data == {
        "gateway_id": str(gateway.id),
        "name": "Workshop",
        "changed": ["token"],
    }
    assert event.user_id == world.alice.id


async def test_one_agent_looks_after_a_gateway(
    session: AsyncSession, world: World, carrier: Carrier
) -> None:
    gateway = await gateways.create(session, world.alices, carrier, DRAFT)
    mains = select(Agent).where(Agent.gateway_id == gateway.id, Agent.board_id.is_(None))
    [main] = await session.scalars(mains)
    assert main.organization_id == world.tern.id
    assert main.openclaw_session_id == gateway.session_key
    await gateways.delete(session, world.alices, gateway.id)
    assert (await session.scalars(mains)).all() == []


async def test_what_fails_at_a_gateway_is_a_refusal_with_its_name(carrier: Carrier) -> None:
    gateway = a_gateway_at("ws://127.0.0.1:9")
    with pytest.raises(OutsideFailed) as refused:
        async with carrier.link(gateway) as link:
            await gateways.sessions(link)
    assert refused.value.code == "gateway_refused"
    assert "127.0.0.1, port 9" in refused.value.message


async def test_of_two_who_take_a_name_at_once_one_gets_it(
    real_transaction: Transaction, real_world: World, carrier: Carrier
) -> None:
    """W-50."""

    async def second() -> Any:
        async with real_transaction() as session:
            return await gateways.create(session, real_world.alices, carrier, DRAFT)

    async with real_transaction() as session:
        await gateways.create(session, real_world.alices, carrier, DRAFT)
        racing = asyncio.create_task(second())
        await somebody_waits(real_transaction)
    with pytest.raises(Conflict) as refused:
        await racing
    assert refused.value.code == "gateway_name_taken"


async def test_a_board_that_comes_while_its_gateway_goes_comes_too_late(
    real_transaction: Transaction, real_world: World, carrier: Carrier
) -> None:
    async with real_transaction() as session:
        gateway = await gateways.create(session, real_world.alices, carrier, DRAFT)

    async def put() -> None:
        async with real_transaction() as session:
            board = await boards.hold(session, real_world.alice, real_world.board.id)
            await boards.change(session, real_world.alice, board, {"gateway_id": gateway.id})

    async with real_transaction() as session:
        await gateways.delete(session, real_world.alices, gateway.id)
        racing = asyncio.create_task(put())
        await somebody_waits(real_transaction)
    with pytest.raises(Invalid) as refused:
        await racing
    assert refused.value.code == "gateway_not_found"


def a_gateway_at(url: str) -> Gateway:
    return a_gateway(an_organization("Elsewhere"), url=url)
