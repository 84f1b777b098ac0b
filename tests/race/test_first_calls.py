"""Concurrent creation of organizations by first calls, and of boards with one name."""

import asyncio

from sqlalchemy import select, update

from core.db.engine import TransactionFactory
from core.errors import Conflict
from models import AgentToken, Board, Organization, SignIn
from services import boards, identity, organizations
from services.boards import BoardCreate
from tests.services.test_agent_tokens import IMPORTED, add_imported_token, add_token, authenticate
from tests.support.credentials import authenticate_agent
from tests.support.people_rows import cookie_secret, make_user
from tests.support.world import World

AT_ONCE = range(6)


async def test_concurrent_first_calls_create_one_organization(
    isolated_transaction: TransactionFactory,
) -> None:
    nora = make_user("Nora")
    async with isolated_transaction() as session:
        session.add(nora)

    async def call() -> object:
        async with isolated_transaction() as session:
            return (
                await organizations.get_or_create_active_membership(session, nora)
            ).organization_id

    found = await asyncio.gather(*(call() for _ in AT_ONCE))
    async with isolated_transaction() as session:
        created = (await session.scalars(select(Organization.id))).all()
    assert set(found) == set(created)
    assert len(created) == 1


async def test_concurrent_creations_of_one_organization_succeed_once(
    isolated_transaction: TransactionFactory, isolated_world: World
) -> None:
    """R6."""

    async def make() -> bool:
        try:
            async with isolated_transaction() as session:
                await organizations.create_organization(
                    session, isolated_world.bob, organizations.OrganizationCreate(name="Curlew")
                )
        except Conflict:
            return False
        return True

    assert sum(await asyncio.gather(*(make() for _ in AT_ONCE))) == 1


async def test_concurrent_boards_of_one_name_get_distinct_slugs(
    isolated_transaction: TransactionFactory, isolated_world: World
) -> None:
    async def make() -> None:
        async with isolated_transaction() as session:
            member = await organizations.get_or_create_active_membership(
                session, isolated_world.alice
            )
            await boards.create_board(session, member, BoardCreate(name="Nest", description="Ours"))

    async def rename() -> None:
        async with isolated_transaction() as session:
            board = await boards.lock_board(session, isolated_world.alice, isolated_world.garden.id)
            changes = boards.BoardUpdate.of(slug="nest")
            await boards.update_board(session, isolated_world.alice, board, changes)

    await asyncio.gather(rename(), *(make() for _ in AT_ONCE))
    async with isolated_transaction() as session:
        slugs = await session.scalars(select(Board.slug).where(Board.slug.startswith("nest")))
    assert set(slugs.all()) == {"nest", *(f"nest-{number}" for number in range(2, 8))}


async def test_concurrent_first_uses_of_a_token_end_the_older_ones(
    isolated_transaction: TransactionFactory, isolated_world: World
) -> None:
    async with isolated_transaction() as session:
        new = await add_token(session, isolated_world.worker)

    async def call() -> bool:
        async with isolated_transaction() as session:
            return await authenticate_agent(session, new) is not None

    assert all(await asyncio.gather(*(call() for _ in AT_ONCE)))
    async with isolated_transaction() as session:
        stored = select(AgentToken).where(AgentToken.agent_id == isolated_world.worker.id)
        stored = stored.where(AgentToken.ended_at.is_(None))
        assert len((await session.scalars(stored)).all()) == 1


async def test_concurrent_uses_store_an_imported_token_once(
    isolated_transaction: TransactionFactory, isolated_world: World
) -> None:
    async with isolated_transaction() as session:
        await add_imported_token(session, isolated_world.worker)

    async def call() -> bool:
        async with isolated_transaction() as session:
            return await authenticate(session, IMPORTED) is not None

    assert all(await asyncio.gather(*(call() for _ in AT_ONCE)))
    async with isolated_transaction() as session:
        stored = select(AgentToken).where(AgentToken.agent_id == isolated_world.worker.id)
        assert len((await session.scalars(stored)).all()) == 2


async def test_a_page_loaded_while_its_session_ends_is_no_error(
    isolated_transaction: TransactionFactory, isolated_world: World
) -> None:
    alice = isolated_world.alice
    async with isolated_transaction() as session:
        (own,) = await identity.list_sessions(session, alice)
        long_ago = own.last_seen_at.replace(year=own.last_seen_at.year - 1, day=1)
        await session.execute(update(SignIn).values(last_seen_at=long_ago))

    async def load() -> None:
        async with isolated_transaction() as session:
            await identity.find_session(session, cookie_secret(alice))

    async def sign_out() -> None:
        async with isolated_transaction() as session:
            await identity.sign_out(session, cookie_secret(alice))

    await asyncio.gather(load(), sign_out(), load(), load())
    async with isolated_transaction() as session:
        assert await identity.find_session(session, cookie_secret(alice)) is None
