"""Our agents are removed from deleted gateways when these are reachable."""

import asyncio
import logging
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import select, update
from sqlalchemy.ext.asyncio import AsyncSession

import worker.main
from cli import demo_data, doctor
from core.clock import now
from core.config.settings import Settings
from core.db.engine import TransactionFactory
from models import (
    Agent,
    DesiredState,
    Gateway,
    GatewayCleanup,
    Organization,
    OrphanedGatewayAgent,
)
from openclaw import AddressPolicy
from services import agents, boards, desired_state, gateways, identity, organizations
from services.gateways import GatewayConnector, provisioning
from tests.support.board_rows import make_agent
from tests.support.fake_agents_gateway import Fault
from tests.support.fake_gateway import TOKEN, ErrorResponse, wait_until
from tests.support.gateway_rows import make_gateway, make_main_agent
from tests.support.provisioning_harness import (
    QUICK_POLICY,
    ProvisioningHarness,
    run_provisioning_harness,
)
from tests.support.secret_key import CIPHER
from tests.support.tiers import repetition
from tests.support.world import World

SECOND = timedelta(seconds=1)
MINUTE = timedelta(minutes=1)
CONNECTOR = GatewayConnector(CIPHER, AddressPolicy(), retry_policy=QUICK_POLICY)


@pytest.fixture
async def harness(
    transaction: TransactionFactory, world: World
) -> AsyncIterator[ProvisioningHarness]:
    async with run_provisioning_harness(transaction, world) as harness:
        await encrypt_token(harness)
        yield harness


async def encrypt_token(harness: ProvisioningHarness) -> None:
    """Store the gateway's token encrypted: the cleanup has nothing else."""
    async with harness.transaction() as session:
        encrypted = CONNECTOR.encrypt(harness.gateway.id, "token", TOKEN)
        await session.execute(update(Gateway).values(encrypted_token=encrypted))


async def delete_organization(harness: ProvisioningHarness) -> None:
    async with harness.transaction() as session:
        await organizations.delete_organization(
            session, harness.world.alice_member, signed_in_at=now()
        )


async def run_cleanup(harness: ProvisioningHarness) -> None:
    await provisioning.run_cleanup(
        harness.transaction, CONNECTOR, open_read=harness.transaction, clock=harness.now
    )


async def run_cleanups_for(harness: ProvisioningHarness, time: timedelta) -> None:
    """Run the cleanup every ten seconds, as a worker does."""
    until = harness.moment + time
    while harness.moment < until:
        harness.moment += 10 * SECOND
        await run_cleanup(harness)


async def list_cleanups(transaction: TransactionFactory) -> list[GatewayCleanup]:
    async with transaction() as session:
        return list(await session.scalars(select(GatewayCleanup)))


async def link_agent(harness: ProvisioningHarness) -> None:
    """Link an agent that others created on the gateway."""
    key = "theirs"
    harness.fake.entries[key] = {"name": "Theirs", "workspace": key}
    harness.fake.files[key] = {}
    there = {"gateway_id": harness.gateway.id, "openclaw_session_id": f"agent:{key}:main"}
    async with harness.transaction() as session:
        board = await boards.lock_board(session, harness.world.alice, harness.world.board.id)
        session.add(make_agent("Theirs", board, is_linked=True, **there))


async def test_cleanup_after_an_organization_spares_linked_agents(
    harness: ProvisioningHarness,
) -> None:
    await harness.create_online_agent("Writer")
    leads = await harness.create_online_agent("Lead", is_board_lead=True)
    goes = await harness.create_online_agent("Goes")
    left = await harness.create_online_agent("Left")
    await link_agent(harness)
    async with harness.transaction() as session:
        await agents.delete_agent(session, harness.world.alice, goes.id)
        await agents.delete_agent(session, harness.world.alice, left.id, force=True)
        at = {"next_try_at": harness.moment, "created_at": harness.moment}
        session.add(
            OrphanedGatewayAgent(gateway_id=harness.gateway.id, agent_key=left.gateway_key, **at)
        )
    assert len(harness.fake.listed_agents()) == 5
    await delete_organization(harness)
    calls = len(harness.fake.calls)
    await harness.reconcile_once()
    assert len(harness.fake.calls) == calls
    [departure] = await list_cleanups(harness.transaction)
    assert len(departure.agent_keys) == 4
    assert leads.gateway_key in departure.agent_keys
    assert TOKEN not in f"{vars(departure)}"
    await run_cleanup(harness)
    assert harness.fake.listed_agents() == ["theirs"]
    await run_cleanups_for(harness, 2 * MINUTE)
    assert await list_cleanups(harness.transaction) == []
    gone = [params["agentId"] for method, params in harness.fake.calls if "delete" in method]
    assert sorted(gone) == sorted(departure.agent_keys)


async def test_a_failing_cleanup_is_retried_and_delays_no_other(
    harness: ProvisioningHarness,
) -> None:
    await harness.create_online_agent()
    await delete_organization(harness)
    async with harness.transaction() as session:
        await session.execute(update(GatewayCleanup).values(attempts=1_000))
    harness.moment += 30 * SECOND  # too early to count as successful
    await run_cleanup(harness)
    [departure] = await list_cleanups(harness.transaction)
    assert departure.attempts == 1_001
    assert departure.next_try_at == harness.moment + timedelta(minutes=10)
    assert harness.fake.listed_agents() == []


async def test_cleanup_waits_for_an_unreachable_gateway(
    harness: ProvisioningHarness,
) -> None:
    await harness.create_online_agent()
    await harness.fake.close_connections(1001)
    harness.fake.http_response = (404, "Not Found")
    calls = len(harness.fake.http_requests)
    await delete_organization(harness)
    assert len(harness.fake.http_requests) == calls
    async with harness.transaction() as session:
        assert await session.get(Organization, harness.world.tern.id) is None
    await run_cleanups_for(harness, timedelta(hours=1))
    [departure] = await list_cleanups(harness.transaction)
    assert departure.last_error
    assert 8 <= departure.attempts <= 12
    assert len(harness.fake.listed_agents()) == 1
    harness.fake.http_response = None
    await run_cleanups_for(harness, 10 * MINUTE)
    assert harness.fake.listed_agents() == []
    assert await list_cleanups(harness.transaction) == []


async def test_cleanup_removes_an_agent_that_was_just_being_created(
    harness: ProvisioningHarness,
) -> None:
    """A gateway answers before the requested agent exists."""
    harness.fake.listing_delay = 2
    agent = await harness.create_agent()
    while not harness.fake.changes:
        await harness.reconcile_once()
    await delete_organization(harness)
    await run_cleanup(harness)
    assert harness.fake.listed_agents() == []
    await run_cleanups_for(harness, 2 * MINUTE)
    assert agent.gateway_key not in harness.fake.entries
    assert ("agents.delete", {"agentId": agent.gateway_key, "deleteFiles": True}) in (
        harness.fake.changes
    )
    assert await list_cleanups(harness.transaction) == []


async def test_another_process_continues_an_interrupted_cleanup(
    harness: ProvisioningHarness,
) -> None:
    created = [await harness.create_online_agent(f"Writer {number}") for number in range(3)]
    await delete_organization(harness)

    def kill(method: str, _params: Any) -> Fault:
        if method == "agents.delete" and len(harness.fake.listed_agents()) < len(created):
            process.cancel()
        return None

    harness.fake.fault = kill
    process = asyncio.create_task(run_cleanup(harness))
    await asyncio.wait({process})
    assert process.cancelled()
    assert 0 < len(harness.fake.listed_agents()) < len(created)
    harness.fake.fault = lambda _method, _params: None
    await run_cleanup(harness)
    assert harness.fake.listed_agents(), "it has only just been tried"
    await run_cleanups_for(harness, 2 * MINUTE)
    assert harness.fake.listed_agents() == []
    assert await list_cleanups(harness.transaction) == []


async def test_an_agent_that_cannot_be_removed_is_logged_at_the_end(
    harness: ProvisioningHarness, caplog: pytest.LogCaptureFixture
) -> None:
    stays, *_ = [await harness.create_online_agent(f"Writer {number}") for number in range(3)]

    def refuse(method: str, params: Any) -> Fault:
        is_it = method == "agents.delete" and params["agentId"] == stays.gateway_key
        return ErrorResponse("INVALID_REQUEST", "it is at work") if is_it else None

    harness.fake.fault = refuse
    await delete_organization(harness)
    await run_cleanup(harness)
    assert harness.fake.listed_agents() == [stays.gateway_key]
    [departure] = await list_cleanups(harness.transaction)
    assert "it is at work" in (departure.last_error or "")
    harness.moment += timedelta(days=6, hours=23)
    await run_cleanup(harness)
    assert len(await list_cleanups(harness.transaction)) == 1
    harness.moment += timedelta(hours=2)
    with caplog.at_level(logging.WARNING):
        await run_cleanup(harness)
    assert await list_cleanups(harness.transaction) == []
    records = [one for one in caplog.records if one.name.endswith("provisioning.cleanup")]
    [log] = [record.getMessage() for record in records]
    assert harness.fake.url in log
    assert stays.gateway_key
    assert stays.gateway_key in log
    assert "it is at work" in log


async def test_agents_on_a_gateway_that_was_added_again_are_not_removed(
    harness: ProvisioningHarness,
) -> None:
    """An agent that returns to a gateway has the same key there as before."""
    agent = await harness.create_online_agent()
    harness.fake.entries["left"] = {"name": "Left", "workspace": "left"}
    harness.fake.files["left"] = {}
    async with harness.transaction() as session:
        at = {"next_try_at": harness.moment, "created_at": harness.moment}
        session.add(OrphanedGatewayAgent(gateway_id=harness.gateway.id, agent_key="left", **at))
        await session.flush()
        await session.execute(desired_state.build_cleanup_insert(Gateway.id == harness.gateway.id))
    await run_cleanups_for(harness, 2 * MINUTE)
    assert harness.fake.listed_agents() == [agent.gateway_key]
    assert await list_cleanups(harness.transaction) == []


async def test_a_cleanup_expires_only_after_an_attempt(
    harness: ProvisioningHarness,
) -> None:
    await harness.create_online_agent()
    await delete_organization(harness)
    harness.moment += timedelta(days=30)
    await run_cleanup(harness)
    assert harness.fake.listed_agents() == []


async def test_an_invalid_answer_of_a_gateway_stops_no_other_cleanup(
    harness: ProvisioningHarness,
) -> None:
    await harness.create_online_agent()
    await delete_organization(harness)
    listed, harness.fake.handlers["agents.list"] = (
        harness.fake.handlers["agents.list"],
        lambda _: {"agents": 5},
    )
    await run_cleanup(harness)
    [departure] = await list_cleanups(harness.transaction)
    assert departure.last_error
    harness.fake.handlers["agents.list"] = listed
    await run_cleanups_for(harness, 2 * MINUTE)
    assert harness.fake.listed_agents() == []


async def test_of_two_concurrent_cleanups_one_calls_the_gateway(
    isolated_transaction: TransactionFactory, isolated_world: World
) -> None:
    async with run_provisioning_harness(isolated_transaction, isolated_world) as harness:
        await encrypt_token(harness)
        await harness.create_online_agent()
        await delete_organization(harness)
        before = harness.fake.connection_count
        await asyncio.gather(*(run_cleanup(harness) for _ in range(4)))
        assert harness.fake.connection_count == before + 1
        assert harness.fake.listed_agents() == []


async def test_a_cleanup_ends_only_after_all_its_attempts(
    isolated_transaction: TransactionFactory, isolated_world: World
) -> None:
    opened = list[None]()

    @asynccontextmanager
    async def open_or_fail() -> AsyncGenerator[AsyncSession]:
        opened.append(None)
        if len(opened) == 2:  # that of the first attempt, after the claim of both
            raise ConnectionResetError("The database has closed the connection.")
        async with isolated_transaction() as session:
            yield session

    async with run_provisioning_harness(isolated_transaction, isolated_world) as harness:
        await encrypt_token(harness)
        await harness.create_online_agent()
        async with isolated_transaction() as session:
            gateway = make_gateway(isolated_world.tern, "Pier")
            session.add(gateway)
            await session.flush()
            session.add(make_main_agent(gateway, desired_state=DesiredState.RUNNING)[0])
        await delete_organization(harness)
        harness.moment += timedelta(hours=1)
        with pytest.raises(ConnectionResetError):
            await provisioning.run_cleanup(
                open_or_fail, CONNECTOR, open_read=isolated_transaction, clock=harness.now
            )
        left = await list_cleanups(isolated_transaction)
        assert [one.last_error for one in left].count(None) == 1


async def create_gateway_with_agent(
    transaction: TransactionFactory, organization: Organization, **more: Any
) -> Agent:
    """Create a gateway with an agent that it may have."""
    gateway = make_gateway(organization)
    async with transaction() as session:
        session.add(gateway)
        await session.flush()
        main, _ = make_main_agent(gateway, **({"desired_state": DesiredState.RUNNING} | more))
        session.add(main)
    return main


@pytest.mark.parametrize("by", ["account", "demo", "gateway", "organization"])
async def test_every_deletion_of_a_gateway_removes_our_agents_from_it(
    transaction: TransactionFactory, world: World, by: str
) -> None:
    main = await create_gateway_with_agent(transaction, world.plover)
    async with transaction() as session:
        await session.execute(update(Organization).values(is_demo=Organization.name == "Plover"))
    async with transaction() as session:
        match by:
            case "account":
                await identity.delete_account(session, world.charlie)
            case "demo":
                assert await demo_data.remove_demo(session)
            case "gateway":
                assert main.gateway_id
                await gateways.delete_gateway(session, world.charlie_member, main.gateway_id)
            case _:
                await organizations.delete_organization(
                    session, world.charlie_member, signed_in_at=now()
                )
    async with transaction() as session:
        assert await session.scalar(select(Gateway)) is None
    [departure] = await list_cleanups(transaction)
    assert (departure.id, departure.agent_keys) == (main.gateway_id, [main.gateway_key])


async def test_a_gateway_without_agents_of_ours_needs_no_cleanup(
    transaction: TransactionFactory, world: World
) -> None:
    await create_gateway_with_agent(transaction, world.tern, desired_state=None)
    await create_gateway_with_agent(transaction, world.plover)
    async with transaction() as session:
        await organizations.delete_organization(session, world.alice_member, signed_in_at=now())
    assert await list_cleanups(transaction) == []


@repetition
async def test_the_worker_runs_the_cleanup(
    isolated_settings: Settings, isolated_transaction: TransactionFactory, isolated_world: World
) -> None:
    async with run_provisioning_harness(isolated_transaction, isolated_world) as harness:
        await encrypt_token(harness)
        await harness.create_online_agent()
        await delete_organization(harness)
        stop = asyncio.Event()
        work = asyncio.create_task(
            worker.main.run(
                isolated_settings, stop, intervals=worker.main.WorkerIntervals(gateway_cleanup=0.1)
            )
        )
        await wait_until(lambda: not harness.fake.listed_agents())
        stop.set()
        await asyncio.wait_for(work, 20)


async def test_the_worker_stops_in_time_during_a_cleanup(
    isolated_settings: Settings, isolated_transaction: TransactionFactory, isolated_world: World
) -> None:
    async with run_provisioning_harness(isolated_transaction, isolated_world) as harness:
        await encrypt_token(harness)
        await harness.create_online_agent()
        await delete_organization(harness)
        harness.fake.is_silent = True
        asked = len(harness.fake.http_requests)
        stop = asyncio.Event()
        work = asyncio.create_task(
            worker.main.run(
                isolated_settings, stop, intervals=worker.main.WorkerIntervals(gateway_cleanup=0.1)
            )
        )
        await wait_until(lambda: len(harness.fake.http_requests) > asked)
        stop.set()
        await asyncio.wait_for(work, 2)


async def test_the_doctor_lists_pending_cleanups(
    isolated_settings: Settings, isolated_transaction: TransactionFactory, isolated_world: World
) -> None:
    well = await asyncio.to_thread(doctor.check_database, isolated_settings, [])
    await create_gateway_with_agent(isolated_transaction, isolated_world.plover)
    async with isolated_transaction() as session:
        await organizations.delete_organization(
            session, isolated_world.charlie_member, signed_in_at=now()
        )
    await provisioning.run_cleanup(isolated_transaction, CONNECTOR, open_read=isolated_transaction)
    [departure] = await list_cleanups(isolated_transaction)
    log = await asyncio.to_thread(doctor.check_database, isolated_settings, [])
    assert departure.last_error
    assert set(well.splitlines()) <= set(log.splitlines())
    assert f"{departure.url}: {departure.last_error}" in log
