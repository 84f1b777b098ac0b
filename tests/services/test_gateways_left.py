"""Gateways that are known here no more are rid of our agents, once they are there to be asked."""

import asyncio
import logging
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import select, update

import worker
from bin import doctor
from kit.settings import Settings
from models import Agent, DesiredState, Gateway, GatewayDeparture, GatewayLeftover, Organization
from openclaw import Guard
from services import accounts, agents, boards, demo, gateways, organizations
from services.gateways import Carrier
from tests.conftest import Transaction
from tests.openclaw.fake import TOKEN, Refused, soon
from tests.openclaw.workshop import Fault
from tests.services.yard import QUICK, Yard, a_yard
from tests.world import SEAL, World, a_gateway, a_main, an_agent

SECOND = timedelta(seconds=1)
MINUTE = timedelta(minutes=1)
CARRIER = Carrier(SEAL, Guard(), budget=QUICK)


@pytest.fixture
async def yard(transaction: Transaction, world: World) -> AsyncIterator[Yard]:
    async with a_yard(transaction, world) as yard:
        await can_be_reached(yard)
        yield yard


async def can_be_reached(yard: Yard) -> None:
    """Seal the gateway's token in its row: who leaves it has nothing else."""
    async with yard.transaction() as session:
        sealed = CARRIER.seal(yard.gateway.id, "token", TOKEN)
        await session.execute(update(Gateway).values(sealed_token=sealed))


async def delete_organization(yard: Yard) -> None:
    async with yard.transaction() as session:
        await organizations.delete_organization(session, yard.world.alices)


async def take_leave(yard: Yard) -> None:
    await gateways.take_leave(yard.transaction, CARRIER, clock=yard.now)


async def take_leave_for(yard: Yard, time: timedelta) -> None:
    """Let it be looked every ten seconds what is to be left, as a worker does."""
    until = yard.moment + time
    while yard.moment < until:
        yard.moment += 10 * SECOND
        await take_leave(yard)


async def departures(transaction: Transaction) -> list[GatewayDeparture]:
    async with transaction() as session:
        return list(await session.scalars(select(GatewayDeparture)))


async def link_one(yard: Yard) -> None:
    """Link an agent that others made there."""
    key = "theirs"
    yard.workshop.entries[key] = {"name": "Theirs", "workspace": key}
    yard.workshop.files[key] = {}
    there = {"gateway_id": yard.gateway.id, "openclaw_session_id": f"agent:{key}:main"}
    async with yard.transaction() as session:
        board = await boards.hold(session, yard.world.alice, yard.world.board.id)
        session.add(an_agent("Theirs", board, is_linked=True, **there))


async def test_agents_of_an_organization_that_is_deleted_go_and_who_was_linked_stays(
    yard: Yard,
) -> None:
    await yard.there("Writer")
    leads = await yard.there("Lead", is_board_lead=True)
    goes = await yard.there("Goes")
    left = await yard.there("Left")
    await link_one(yard)
    async with yard.transaction() as session:
        await agents.delete(session, yard.world.alice, goes.id)
        await agents.delete(session, yard.world.alice, left.id, force=True)
        at = {"next_try_at": yard.moment, "created_at": yard.moment}
        session.add(GatewayLeftover(gateway_id=yard.gateway.id, agent_key=left.gateway_key, **at))
    assert len(yard.workshop.listed()) == 5
    await delete_organization(yard)
    calls = len(yard.workshop.calls)
    await yard.look()
    assert len(yard.workshop.calls) == calls
    [departure] = await departures(yard.transaction)
    assert len(departure.agent_keys) == 4
    assert leads.gateway_key in departure.agent_keys
    assert TOKEN not in f"{vars(departure)}"
    await take_leave(yard)
    assert yard.workshop.listed() == ["theirs"]
    await take_leave_for(yard, 2 * MINUTE)
    assert await departures(yard.transaction) == []
    gone = [params["agentId"] for method, params in yard.workshop.calls if "delete" in method]
    assert sorted(gone) == sorted(departure.agent_keys)


async def test_a_gateway_that_was_tried_for_days_is_tried_on_and_holds_up_no_other(
    yard: Yard,
) -> None:
    await yard.there()
    await delete_organization(yard)
    async with yard.transaction() as session:
        await session.execute(update(GatewayDeparture).values(attempts=1_000))
    await take_leave(yard)
    [departure] = await departures(yard.transaction)
    assert departure.attempts == 1_001
    assert departure.next_try_at == yard.moment + timedelta(minutes=10)
    assert yard.workshop.listed() == []


async def test_an_organization_goes_though_its_gateway_is_away_which_is_rid_of_all_when_back(
    yard: Yard,
) -> None:
    await yard.there()
    await yard.workshop.drop(1001)
    yard.workshop.upgrade_status = (404, "Not Found")
    calls = len(yard.workshop.requests)
    await delete_organization(yard)
    assert len(yard.workshop.requests) == calls
    async with yard.transaction() as session:
        assert await session.get(Organization, yard.world.tern.id) is None
    await take_leave_for(yard, timedelta(hours=1))
    [departure] = await departures(yard.transaction)
    assert departure.last_error
    assert 8 <= departure.attempts <= 12
    assert len(yard.workshop.listed()) == 1
    yard.workshop.upgrade_status = None
    await take_leave_for(yard, 10 * MINUTE)
    assert yard.workshop.listed() == []
    assert await departures(yard.transaction) == []


async def test_who_was_just_being_made_does_not_stay(yard: Yard) -> None:
    """A gateway answers before it has what it was asked to make."""
    yard.workshop.late = 2
    agent = await yard.add()
    while not yard.workshop.changes:
        await yard.look()
    await delete_organization(yard)
    await take_leave(yard)
    assert yard.workshop.listed() == []
    await take_leave_for(yard, 2 * MINUTE)
    assert agent.gateway_key not in yard.workshop.entries
    assert ("agents.delete", {"agentId": agent.gateway_key, "deleteFiles": True}) in (
        yard.workshop.changes
    )
    assert await departures(yard.transaction) == []


async def test_when_who_is_at_it_dies_another_goes_on(yard: Yard) -> None:
    crew = [await yard.there(f"Writer {number}") for number in range(3)]
    await delete_organization(yard)

    def kill(method: str, _params: Any) -> Fault:
        if method == "agents.delete" and len(yard.workshop.listed()) < len(crew):
            process.cancel()
        return None

    yard.workshop.fault = kill
    process = asyncio.create_task(take_leave(yard))
    await asyncio.wait({process})
    assert process.cancelled()
    assert 0 < len(yard.workshop.listed()) < len(crew)
    yard.workshop.fault = lambda _method, _params: None
    await take_leave(yard)
    assert yard.workshop.listed(), "it has only just been tried"
    await take_leave_for(yard, 2 * MINUTE)
    assert yard.workshop.listed() == []
    assert await departures(yard.transaction) == []


async def test_one_that_does_not_go_keeps_no_other_and_is_named_when_it_is_given_up(
    yard: Yard, caplog: pytest.LogCaptureFixture
) -> None:
    stays, *_ = [await yard.there(f"Writer {number}") for number in range(3)]

    def refuse(method: str, params: Any) -> Fault:
        is_it = method == "agents.delete" and params["agentId"] == stays.gateway_key
        return Refused("INVALID_REQUEST", "it is at work") if is_it else None

    yard.workshop.fault = refuse
    await delete_organization(yard)
    await take_leave(yard)
    assert yard.workshop.listed() == [stays.gateway_key]
    [departure] = await departures(yard.transaction)
    assert "it is at work" in (departure.last_error or "")
    yard.moment += timedelta(days=6, hours=23)
    await take_leave(yard)
    assert len(await departures(yard.transaction)) == 1
    yard.moment += timedelta(hours=2)
    with caplog.at_level(logging.WARNING):
        await take_leave(yard)
    assert await departures(yard.transaction) == []
    [told] = [record.getMessage() for record in caplog.records]
    assert yard.workshop.url in told
    assert stays.gateway_key
    assert stays.gateway_key in told
    assert "it is at work" in told


async def test_what_nobody_had_a_chance_to_try_for_a_month_is_tried_before_it_is_given_up(
    yard: Yard,
) -> None:
    await yard.there()
    await delete_organization(yard)
    yard.moment += timedelta(days=30)
    await take_leave(yard)
    assert yard.workshop.listed() == []


async def test_nonsense_from_one_gateway_is_no_end(yard: Yard) -> None:
    await yard.there()
    await delete_organization(yard)
    listed, yard.workshop.methods["agents.list"] = (
        yard.workshop.methods["agents.list"],
        lambda _: {"agents": 5},
    )
    await take_leave(yard)
    [departure] = await departures(yard.transaction)
    assert departure.last_error
    yard.workshop.methods["agents.list"] = listed
    await take_leave_for(yard, 2 * MINUTE)
    assert yard.workshop.listed() == []


async def test_of_two_who_leave_a_gateway_at_once_one_asks(
    real_transaction: Transaction, real_world: World
) -> None:
    async with a_yard(real_transaction, real_world) as yard:
        await can_be_reached(yard)
        await yard.there()
        await delete_organization(yard)
        before = yard.workshop.times_connected
        await asyncio.gather(*(take_leave(yard) for _ in range(4)))
        assert yard.workshop.times_connected == before + 1
        assert yard.workshop.listed() == []


async def brought(transaction: Transaction, organization: Organization, **more: Any) -> Agent:
    """Put a gateway into an organization, with its agent, of which it may have something."""
    gateway = a_gateway(organization)
    async with transaction() as session:
        session.add(gateway)
        await session.flush()
        main, _ = a_main(gateway, **({"desired_state": DesiredState.RUNNING} | more))
        session.add(main)
    return main


@pytest.mark.parametrize("by", ["account", "demo", "gateway", "organization"])
async def test_whatever_takes_a_gateway_away_here_our_agents_go_from_it(
    transaction: Transaction, world: World, by: str
) -> None:
    main = await brought(transaction, world.plover)
    async with transaction() as session:
        await session.execute(update(Organization).values(is_demo=Organization.name == "Plover"))
    async with transaction() as session:
        match by:
            case "account":
                await accounts.close(session, world.charlie)
            case "demo":
                assert await demo.remove(session)
            case "gateway":
                assert main.gateway_id
                await gateways.delete(session, world.charlies, main.gateway_id)
            case _:
                await organizations.delete_organization(session, world.charlies)
    async with transaction() as session:
        assert await session.scalar(select(Gateway)) is None
    [departure] = await departures(transaction)
    assert (departure.id, departure.agent_keys) == (main.gateway_id, [main.gateway_key])


async def test_a_gateway_that_has_nothing_of_ours_is_not_kept_nor_is_a_stranger_s(
    transaction: Transaction, world: World
) -> None:
    await brought(transaction, world.tern, desired_state=None)
    await brought(transaction, world.plover)
    async with transaction() as session:
        await organizations.delete_organization(session, world.alices)
    assert await departures(transaction) == []


async def test_the_worker_leaves_what_is_to_be_left(
    own_settings: Settings, real_transaction: Transaction, real_world: World
) -> None:
    async with a_yard(real_transaction, real_world) as yard:
        await can_be_reached(yard)
        await yard.there()
        await delete_organization(yard)
        stop = asyncio.Event()
        work = asyncio.create_task(worker.run(own_settings, stop, pace=worker.Pace(leave=1)))
        await soon(lambda: not yard.workshop.listed())
        stop.set()
        await asyncio.wait_for(work, 2)


async def test_the_worker_stops_in_time_though_a_gateway_that_is_to_be_left_is_silent(
    own_settings: Settings, real_transaction: Transaction, real_world: World
) -> None:
    async with a_yard(real_transaction, real_world) as yard:
        await can_be_reached(yard)
        await yard.there()
        await delete_organization(yard)
        yard.workshop.is_silent = True
        asked = len(yard.workshop.requests)
        stop = asyncio.Event()
        work = asyncio.create_task(worker.run(own_settings, stop, pace=worker.Pace(leave=1)))
        await soon(lambda: len(yard.workshop.requests) > asked)
        stop.set()
        await asyncio.wait_for(work, 2)


async def test_the_doctor_names_the_gateways_that_are_still_to_be_left(
    own_settings: Settings, real_transaction: Transaction, real_world: World
) -> None:
    well = await asyncio.to_thread(doctor.database, own_settings)
    await brought(real_transaction, real_world.plover)
    async with real_transaction() as session:
        await organizations.delete_organization(session, real_world.charlies)
    await gateways.take_leave(real_transaction, CARRIER)
    [departure] = await departures(real_transaction)
    told = await asyncio.to_thread(doctor.database, own_settings)
    assert departure.last_error
    assert told.startswith(well)
    assert f"{departure.url}: {departure.last_error}" in told
