"""A stream ends as soon as its viewer or program has lost the access to it.

Nothing else than the change itself makes it end in time: rights are compared once a minute.
"""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta

import httpx2
import pytest
from sqlalchemy import delete, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from core.clock import now
from core.config.settings import Settings
from core.db.engine import TransactionFactory
from models import Agent, AgentToken, ApiToken, EventType, Member, Organization, SignIn, User
from services import agents, events, identity, organizations
from tests.live.test_page_stream import TIMEOUT
from tests.support.cuttable_proxy import run_cuttable_proxy
from tests.support.live_server import run_server
from tests.support.page_stream import PageStream, open_page, server_url
from tests.support.people_rows import token_secret
from tests.support.world import World

__all__ = ["server_url"]

Loss = Callable[[AsyncSession, World], Awaitable[None]]


async def find_sign_in(session: AsyncSession, user: User) -> SignIn:
    return (await session.scalars(select(SignIn).where(SignIn.user_id == user.id))).one()


async def end_session(session: AsyncSession, world: World) -> None:
    sign_in = await find_sign_in(session, world.rita)
    await identity.end_session(session, world.rita, sign_in.id)


async def end_other_sessions(session: AsyncSession, world: World) -> None:
    kept = await find_sign_in(session, world.alice)
    await identity.end_other_sessions(session, world.rita, keep=kept.id)


async def remove_member(session: AsyncSession, world: World) -> None:
    locked = await organizations.lock_member(session, world.alice_member, world.rita_member.id)
    await organizations.remove_member(session, locked)


async def delete_account(session: AsyncSession, world: World) -> None:
    await identity.delete_account(session, world.rita)


async def delete_membership(session: AsyncSession, world: World) -> None:
    await session.execute(delete(Member).where(Member.id == world.rita_member.id))


async def delete_organization(session: AsyncSession, world: World) -> None:
    await session.execute(delete(Organization).where(Organization.id == world.tern.id))


@pytest.mark.parametrize(
    "lose",
    [
        end_session,
        end_other_sessions,
        remove_member,
        delete_account,
        delete_membership,
        delete_organization,
    ],
)
async def test_a_page_without_access_is_disconnected(
    url: str, isolated_transaction: TransactionFactory, isolated_world: World, lose: Loss
) -> None:
    async with open_page(url, isolated_world.rita) as page:
        async with isolated_transaction() as session:
            await lose(session, isolated_world)
        await asyncio.wait_for(page.ended.wait(), TIMEOUT)


async def revoke_token(session: AsyncSession, world: World) -> None:
    [token] = await identity.list_api_tokens(session, world.bob)
    await identity.revoke_api_token(session, world.bob, token.id)


async def delete_token(session: AsyncSession, world: World) -> None:
    await session.execute(delete(ApiToken).where(ApiToken.user_id == world.bob.id))


async def end_agent_tokens(session: AsyncSession, world: World) -> None:
    locked = await session.get_one(Agent, world.worker.id, with_for_update=True)
    await identity.end_agent_tokens(session, locked)


async def replace_agent_token(session: AsyncSession, world: World) -> None:
    await agents.issue_token(session, world.alice_member, world.worker.id, ends_old=True)


async def delete_agent_tokens(session: AsyncSession, world: World) -> None:
    await session.execute(delete(AgentToken).where(AgentToken.agent_id == world.worker.id))


async def delete_agent(session: AsyncSession, world: World) -> None:
    await agents.delete_agent(session, world.alice, world.worker.id, force=True)


async def move_agent(session: AsyncSession, world: World) -> None:
    moved = update(Agent).where(Agent.id == world.worker.id)
    await session.execute(moved.values(board_id=world.garden.id))


@pytest.mark.parametrize(
    ("actor", "lose"),
    [
        ("bob", revoke_token),
        ("bob", delete_token),
        ("worker", end_agent_tokens),
        ("worker", replace_agent_token),
        ("worker", delete_agent_tokens),
        ("worker", delete_agent),
        ("worker", move_agent),
    ],
)
async def test_a_program_without_access_is_disconnected(
    url: str,
    isolated_transaction: TransactionFactory,
    isolated_world: World,
    actor: str,
    lose: Loss,
) -> None:
    headers = {"Authorization": f"Bearer {token_secret(getattr(isolated_world, actor))}"}
    path = f"/api/v1/boards/{isolated_world.board.id}/tasks/stream"
    async with (
        httpx2.AsyncClient(base_url=url, headers=headers, timeout=30) as client,
        client.stream("GET", path) as response,
    ):
        assert response.status_code == 200
        async with isolated_transaction() as session:
            await lose(session, isolated_world)
        await asyncio.wait_for(response.aread(), TIMEOUT)


async def test_pages_and_programs_are_disconnected_when_their_credentials_expire(
    url: str, isolated_transaction: TransactionFactory, isolated_world: World
) -> None:
    rita, bob, worker = isolated_world.rita, isolated_world.bob, isolated_world.worker
    async with isolated_transaction() as session:
        for expiring in (
            update(SignIn).where(SignIn.user_id == rita.id),
            update(ApiToken).where(ApiToken.user_id == bob.id),
            update(AgentToken).where(AgentToken.agent_id == worker.id),
        ):
            await session.execute(expiring.values(expires_at=now() + timedelta(seconds=3)))

    async def keep_a_page_open() -> None:
        async with open_page(url, rita) as page:
            await asyncio.wait_for(page.ended.wait(), TIMEOUT)

    async def follow_to_the_end(owner: User | Agent) -> None:
        headers = {"Authorization": f"Bearer {token_secret(owner)}"}
        path = f"/api/v1/boards/{isolated_world.board.id}/tasks/stream"
        async with (
            httpx2.AsyncClient(base_url=url, headers=headers, timeout=30) as client,
            client.stream("GET", path) as response,
        ):
            assert response.status_code == 200
            assert await asyncio.wait_for(response.aread(), TIMEOUT) == b""

    await asyncio.gather(keep_a_page_open(), follow_to_the_end(bob), follow_to_the_end(worker))


async def record_event(transaction: TransactionFactory, world: World) -> None:
    """Record an event of the organization, which all its pages receive."""
    async with transaction() as session:
        changed, organization_id = EventType.ORGANIZATION_UPDATED, world.tern.id
        await events.record_event(session, changed, world.alice, organization_id=organization_id)


async def receive_names(page: PageStream, last: str) -> list[str]:
    """Return the names of the parts up to this one."""
    names: list[str] = []
    async with asyncio.timeout(TIMEOUT):
        while last not in names:
            names.append(await page.names.get())
    return names


@pytest.mark.parametrize("has_event", [True, False])
async def test_a_change_while_notifications_are_lost_ends_the_streams_afterwards(
    isolated_settings: Settings,
    isolated_transaction: TransactionFactory,
    isolated_world: World,
    has_event: bool,
) -> None:
    """The events of the meantime are sent, but not to a page whose session has ended."""
    world = isolated_world
    async with (
        run_cuttable_proxy(isolated_settings) as line,
        run_server(line.settings) as url,
        open_page(url, world.rita) as ritas,
        open_page(url, world.alice) as alices,
    ):
        await record_event(isolated_transaction, world)
        for page in (ritas, alices):
            await receive_names(page, "rail")
        line.cut()
        async with isolated_transaction() as session:
            await end_session(session, world)
        if has_event:
            await record_event(isolated_transaction, world)
        await line.restore()
        if has_event:
            await receive_names(alices, "organization")
        await asyncio.wait_for(ritas.ended.wait(), TIMEOUT)
        assert ritas.names.empty()
        assert not alices.ended.is_set()
