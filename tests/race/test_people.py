"""People who are let in, changed and removed while others do the same."""

import asyncio
from collections.abc import Awaitable, Callable
from uuid import UUID

import pytest
from sqlalchemy import func, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from kit.errors import Conflict, Forbidden, Invalid, NotFound, Refusal, Unauthorized
from models import Invite, Member, Organization, Role, User
from services import accounts, agents, boards, organizations, tasks
from services.organizations import Grant, InviteDraft, Rights
from services.tasks import TaskDraft
from tests.conftest import Transaction
from tests.race.test_agents import done_while_waiting
from tests.world import World, a_member, a_user, an_invite

AT_ONCE = range(4)
TOKEN = "mc_invite_of-nora"
PASSWORD_HASH = "not a hash"

Deed = Callable[[AsyncSession], Awaitable[object]]


async def together(transaction: Transaction, *deeds: Deed) -> list[object]:
    """Do things at once, each in a transaction of its own, and return how each has ended."""

    async def do(deed: Deed) -> object:
        async with transaction() as session:
            return await deed(session)

    return await asyncio.gather(*map(do, deeds), return_exceptions=True)


@pytest.fixture
async def nora(real_transaction: Transaction, real_world: World) -> User:
    """Somebody who is invited to Tern."""
    person = a_user("Nora")
    async with real_transaction() as session:
        session.add_all([person, an_invite(real_world.tern, "nora@example.com", TOKEN)])
    return person


async def make_owner(transaction: Transaction, member: Member) -> None:
    async with transaction() as session:
        changed = update(Member).where(Member.id == member.id)
        await session.execute(changed.values(role=Role.OWNER))


async def owners_of(transaction: Transaction, organization: Organization) -> list[UUID]:
    async with transaction() as session:
        query = select(Member.id).where(Member.organization_id == organization.id)
        return list((await session.scalars(query.where(Member.role == Role.OWNER))).all())


def demoting(by: Member, other: Member) -> Deed:
    async def demote(session: AsyncSession) -> None:
        held = await organizations.hold_member(session, by, other.id)
        await organizations.change_role(session, held, Role.MEMBER)

    return demote


def removing(by: Member, other: Member) -> Deed:
    async def remove(session: AsyncSession) -> None:
        await organizations.remove(session, await organizations.hold_member(session, by, other.id))

    return remove


def accepting(user: User) -> Deed:
    return lambda session: organizations.accept_invite(session, user, TOKEN)


def leaving(user: User) -> Deed:
    return lambda session: accounts.close(session, user)


def deleting(member: Member) -> Deed:
    async def delete(session: AsyncSession) -> None:
        found = await organizations.membership(session, member.user, member.organization_id)
        assert found is not None
        await organizations.delete_organization(session, found)

    return delete


async def test_of_two_owners_who_demote_each_other_one_stays(
    real_transaction: Transaction, real_world: World
) -> None:
    """R8."""
    alices, danas = real_world.alices, real_world.danas
    await make_owner(real_transaction, danas)
    ended = await together(real_transaction, demoting(alices, danas), demoting(danas, alices))
    assert [type(one) for one in ended if one] == [Forbidden]
    assert len(await owners_of(real_transaction, real_world.tern)) == 1


async def test_of_owners_who_all_step_down_at_once_one_stays(
    real_transaction: Transaction, real_world: World
) -> None:
    """R8."""
    alices, danas = real_world.alices, real_world.danas
    await make_owner(real_transaction, danas)
    ended = await together(real_transaction, demoting(alices, alices), demoting(danas, danas))
    assert [type(one) for one in ended if one] == [Invalid]
    assert len(await owners_of(real_transaction, real_world.tern)) == 1


async def test_an_admin_who_is_removed_while_waiting_changes_nothing(
    real_transaction: Transaction, real_world: World
) -> None:
    """R8."""
    world = real_world
    for meanwhile in (demoting(world.alices, world.danas), removing(world.alices, world.danas)):
        waits = removing(world.danas, world.bobs)
        refused = await done_while_waiting(real_transaction, waits, meanwhile)
        assert isinstance(refused, Forbidden | NotFound)
    async with real_transaction() as session:
        assert await session.get(Member, world.bobs.id) is not None


async def test_an_invitation_that_is_accepted_twice_at_once_is_accepted_once(
    real_transaction: Transaction, real_world: World, nora: User
) -> None:
    """R10."""
    ended = await together(real_transaction, *(accepting(nora) for _ in AT_ONCE))
    refused = [one for one in ended if isinstance(one, Exception)]
    assert {type(one) for one in refused} == {NotFound}
    assert len(ended) - len(refused) == 1
    async with real_transaction() as session:
        theirs = select(func.count()).where(Member.user_id == nora.id)
        assert await session.scalar(theirs) == 1


async def test_an_address_that_is_invited_by_many_at_once_has_one_invitation(
    real_transaction: Transaction, real_world: World
) -> None:
    def inviting(member: Member) -> Deed:
        draft = InviteDraft("oskar@example.com", rights=Rights(boards=[Grant(real_world.board.id)]))
        return lambda session: organizations.invite(session, member, draft)

    ended = await together(
        real_transaction, *(inviting(one) for one in [real_world.alices, real_world.danas] * 2)
    )
    assert not [one for one in ended if isinstance(one, Exception)]
    async with real_transaction() as session:
        assert await session.scalar(select(func.count()).select_from(Invite)) == 1


async def test_who_comes_in_twice_at_once_with_one_token_has_one_account(
    real_transaction: Transaction, real_world: World
) -> None:
    async with real_transaction() as session:
        session.add(an_invite(real_world.tern, "oskar@example.com", TOKEN))

    def joining(session: AsyncSession) -> Awaitable[object]:
        return accounts.join(session, TOKEN, name="Oskar", password_hash=PASSWORD_HASH)

    ended = await together(real_transaction, *(joining for _ in AT_ONCE))
    refused = [one for one in ended if isinstance(one, Exception)]
    assert all(isinstance(one, Conflict | NotFound) for one in refused)
    assert len(ended) - len(refused) == 1
    async with real_transaction() as session:
        named = select(func.count()).where(User.email == "oskar@example.com")
        assert await session.scalar(named) == 1


async def test_an_owner_who_leaves_while_somebody_comes_in_has_to_stay(
    real_transaction: Transaction, real_world: World
) -> None:
    """C25 and R8: Charlie is alone in Plover until Nora accepts."""
    nora = a_user("Nora")
    async with real_transaction() as session:
        session.add_all([nora, an_invite(real_world.plover, "nora@example.com", TOKEN)])
    charlie = real_world.charlie
    refused = await done_while_waiting(real_transaction, leaving(charlie), accepting(nora))
    assert isinstance(refused, Conflict)
    assert refused.code == "last_owner"
    async with real_transaction() as session:
        assert await session.get(User, charlie.id) is not None


async def test_who_comes_in_while_the_organization_goes_finds_nothing(
    real_transaction: Transaction, real_world: World, nora: User
) -> None:
    going = deleting(real_world.alices)
    refused = await done_while_waiting(real_transaction, accepting(nora), going)
    assert isinstance(refused, NotFound)


async def test_of_two_owners_who_leave_at_once_one_has_to_stay(
    real_transaction: Transaction, real_world: World
) -> None:
    """C25 and R8."""
    await make_owner(real_transaction, real_world.danas)
    ended = await together(real_transaction, leaving(real_world.alice), leaving(real_world.dana))
    assert [type(one) for one in ended if one] == [Conflict]
    assert len(await owners_of(real_transaction, real_world.tern)) == 1


async def test_who_leaves_twice_at_once_is_gone_once(
    real_transaction: Transaction, real_world: World
) -> None:
    ended = await together(real_transaction, *(leaving(real_world.bob) for _ in AT_ONCE))
    refused = [one for one in ended if one]
    assert [type(one) for one in refused] == [Unauthorized] * 3


async def test_who_waits_for_a_board_of_an_organization_that_goes_finds_nothing(
    real_transaction: Transaction, real_world: World
) -> None:
    world = real_world

    async def create(session: AsyncSession) -> None:
        board = await boards.hold(session, world.bob, world.board.id)
        await tasks.create(session, world.bob, board, TaskDraft(title="Too late"))

    refused = await done_while_waiting(real_transaction, create, deleting(world.alices))
    assert isinstance(refused, NotFound)


async def test_an_owner_who_is_demoted_while_waiting_deletes_nothing(
    real_transaction: Transaction, real_world: World
) -> None:
    """R8."""
    await make_owner(real_transaction, real_world.danas)
    going, down = deleting(real_world.danas), demoting(real_world.alices, real_world.danas)
    refused = await done_while_waiting(real_transaction, going, down)
    assert isinstance(refused, Forbidden)
    async with real_transaction() as session:
        assert await session.get(Organization, real_world.tern.id) is not None


async def test_rights_on_a_board_that_is_deleted_meanwhile_are_refused(
    real_transaction: Transaction, real_world: World
) -> None:
    world = real_world

    async def give(session: AsyncSession) -> None:
        held = await organizations.hold_member(session, world.alices, world.ritas.id)
        rights = Rights(boards=[Grant(world.garden.id)])
        await organizations.change_rights(session, held, rights)

    async def delete(session: AsyncSession) -> None:
        board = await boards.hold_as_admin(session, world.alice, world.garden.id)
        await boards.delete(session, world.alice, board)

    refused = await done_while_waiting(real_transaction, give, delete)
    assert isinstance(refused, Invalid)
    assert refused.code == "invalid_board_ids"


async def test_an_organization_goes_while_its_people_and_agents_are_at_work(
    real_transaction: Transaction, real_world: World
) -> None:
    """Nobody waits for the deletion while it waits for them: whoever is late finds nothing."""
    world = real_world

    async def beat(session: AsyncSession) -> None:
        await agents.heartbeat(session, world.worker, status="busy")

    async def create(session: AsyncSession) -> None:
        board = await boards.hold(session, world.worker, world.board.id)
        await tasks.comment(session, world.worker, board, task.id, "Half done")

    async def choose(session: AsyncSession) -> None:
        await organizations.switch(session, world.bob, world.tern.id)

    async with real_transaction() as session:
        task = await session.merge(world.task())
    work = [beat, create, choose, demoting(world.alices, world.ritas)] * 3
    ended = await together(real_transaction, *work, deleting(world.alices), *work)
    assert all(one is None or isinstance(one, Refusal) for one in ended), ended
    async with real_transaction() as session:
        assert (await session.scalars(select(Organization.name))).all() == ["Plover"]


async def test_somebody_is_removed_while_they_choose_where_to_work(
    real_transaction: Transaction, real_world: World
) -> None:
    """The person is held before the organization by both, so neither waits for the other."""
    world = real_world
    async with real_transaction() as session:
        plover = await session.merge(world.plover)
        session.add(a_member(plover, await session.merge(world.bob), role=Role.ADMIN))

    async def rename(session: AsyncSession) -> None:
        member = await organizations.membership(session, world.bob, world.plover.id)
        assert member is not None
        await organizations.rename(session, member, name="Plover again")

    async def choose(session: AsyncSession) -> None:
        await organizations.switch(session, world.bob, world.tern.id)

    ended = await together(
        real_transaction, rename, choose, removing(world.alices, world.bobs), choose, rename
    )
    assert all(one is None or isinstance(one, Refusal | Organization) for one in ended), ended
    async with real_transaction() as session:
        chosen = select(User.active_organization_id).where(User.id == world.bob.id)
        assert await session.scalar(chosen) == world.plover.id
