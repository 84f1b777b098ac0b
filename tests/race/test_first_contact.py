"""What is made by many at once: organizations on first contact, and boards of one name."""

import asyncio

from sqlalchemy import select, update

from kit.errors import Conflict
from models import AgentToken, Board, Organization, SignIn
from services import boards, identity, organizations
from services.boards import BoardDraft
from tests.conftest import Transaction
from tests.services.test_tokens import IMPORTED, give_imported, give_token
from tests.world import World, a_user, cookie_of

AT_ONCE = range(6)


async def test_the_first_calls_of_somebody_make_one_organization(
    real_transaction: Transaction,
) -> None:
    nora = a_user("Nora")
    async with real_transaction() as session:
        session.add(nora)

    async def call() -> object:
        async with real_transaction() as session:
            return (await organizations.active(session, nora)).organization_id

    found = await asyncio.gather(*(call() for _ in AT_ONCE))
    async with real_transaction() as session:
        made = (await session.scalars(select(Organization.id))).all()
    assert set(found) == set(made)
    assert len(made) == 1


async def test_of_organizations_of_one_name_made_at_once_one_comes_to_be(
    real_transaction: Transaction, real_world: World
) -> None:
    """R6."""

    async def make() -> bool:
        try:
            async with real_transaction() as session:
                await organizations.create(session, real_world.bob, name="Curlew")
        except Conflict:
            return False
        return True

    assert sum(await asyncio.gather(*(make() for _ in AT_ONCE))) == 1


async def test_boards_of_one_name_made_at_once_get_slugs_of_their_own(
    real_transaction: Transaction, real_world: World
) -> None:
    async def make() -> None:
        async with real_transaction() as session:
            member = await organizations.active(session, real_world.alice)
            await boards.create(session, member, BoardDraft(name="Nest", description="Ours"))

    async def rename() -> None:
        async with real_transaction() as session:
            board = await boards.hold(session, real_world.alice, real_world.garden.id)
            await boards.change(session, real_world.alice, board, {"slug": "nest"})

    await asyncio.gather(rename(), *(make() for _ in AT_ONCE))
    async with real_transaction() as session:
        slugs = await session.scalars(select(Board.slug).where(Board.slug.startswith("nest")))
    assert set(slugs.all()) == {"nest", *(f"nest-{number}" for number in range(2, 8))}


async def test_a_new_token_first_used_by_many_at_once_ends_the_older_ones(
    real_transaction: Transaction, real_world: World
) -> None:
    async with real_transaction() as session:
        new = await give_token(session, real_world.worker)

    async def call() -> bool:
        async with real_transaction() as session:
            return await identity.agent_with_token(session, new) is not None

    assert all(await asyncio.gather(*(call() for _ in AT_ONCE)))
    async with real_transaction() as session:
        kept = select(AgentToken).where(AgentToken.agent_id == real_world.worker.id)
        assert len((await session.scalars(kept)).all()) == 1


async def test_an_imported_token_used_by_many_at_once_becomes_one_of_ours(
    real_transaction: Transaction, real_world: World
) -> None:
    async with real_transaction() as session:
        await give_imported(session, real_world.worker)

    async def call() -> bool:
        async with real_transaction() as session:
            return await identity.agent_with_token(session, IMPORTED) is not None

    assert all(await asyncio.gather(*(call() for _ in AT_ONCE)))
    async with real_transaction() as session:
        kept = select(AgentToken).where(AgentToken.agent_id == real_world.worker.id)
        assert len((await session.scalars(kept)).all()) == 2


async def test_a_page_that_loads_while_its_session_ends_is_no_mishap(
    real_transaction: Transaction, real_world: World
) -> None:
    alice = real_world.alice
    async with real_transaction() as session:
        (own,) = await identity.sessions_of(session, alice)
        long_ago = own.last_seen_at.replace(year=own.last_seen_at.year - 1, day=1)
        await session.execute(update(SignIn).values(last_seen_at=long_ago))

    async def load() -> None:
        async with real_transaction() as session:
            await identity.signed_in(session, cookie_of(alice))

    async def sign_out() -> None:
        async with real_transaction() as session:
            await identity.sign_out(session, cookie_of(alice))

    await asyncio.gather(load(), sign_out(), load(), load())
    async with real_transaction() as session:
        assert await identity.signed_in(session, cookie_of(alice)) is None
