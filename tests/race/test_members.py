"""Concurrent changes of members, invitations, accounts and organizations."""

import asyncio
from collections.abc import Awaitable, Callable
from uuid import UUID

import pytest
from sqlalchemy import func, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from core.clock import now
from core.db.engine import TransactionFactory
from core.errors import AppError, Conflict, Forbidden, Invalid, NotFound, Unauthorized
from models import Invite, Member, Organization, Role, User
from services import agents, boards, identity, organizations, tasks
from services.organizations import AccessRights, BoardGrant, InviteCreate
from services.tasks import TaskCreate
from tests.race.test_agents import run_while_waiting
from tests.support.board_rows import make_board, make_task
from tests.support.lock_waiter import wait_for_lock_waiter
from tests.support.people_rows import make_invite, make_member, make_user
from tests.support.rounds import run_concurrently
from tests.support.world import World

AT_ONCE = range(4)
TOKEN = "mc_invite_of-nora"
PASSWORD_HASH = "not a hash"
FULL_ACCESS = {"all_boards_read": True, "all_boards_write": True}

Deed = Callable[[AsyncSession], Awaitable[object]]


@pytest.fixture
async def nora(isolated_transaction: TransactionFactory, isolated_world: World) -> User:
    """A user who is invited to Tern."""
    person = make_user("Nora")
    async with isolated_transaction() as session:
        session.add_all([person, make_invite(isolated_world.tern, "nora@example.com", TOKEN)])
    return person


async def make_owner(transaction: TransactionFactory, member: Member) -> None:
    async with transaction() as session:
        changed = update(Member).where(Member.id == member.id)
        await session.execute(changed.values(role=Role.OWNER))


async def owners_of(transaction: TransactionFactory, organization: Organization) -> list[UUID]:
    async with transaction() as session:
        query = select(Member.id).where(Member.organization_id == organization.id)
        return list((await session.scalars(query.where(Member.role == Role.OWNER))).all())


def demoting(by: Member, other: Member) -> Deed:
    async def demote(session: AsyncSession) -> None:
        locked = await organizations.lock_member(session, by, other.id)
        await organizations.change_member_role(session, locked, Role.MEMBER, signed_in_at=now())

    return demote


def removing(by: Member, other: Member) -> Deed:
    async def remove(session: AsyncSession) -> None:
        await organizations.remove_member(
            session, await organizations.lock_member(session, by, other.id)
        )

    return remove


def accepting(user: User) -> Deed:
    return lambda session: organizations.accept_invite(session, user, TOKEN)


def leaving(user: User) -> Deed:
    return lambda session: identity.delete_account(session, user)


def departing(member: Member) -> Deed:
    return lambda session: organizations.leave_organization(session, member, signed_in_at=now())


def deleting(member: Member) -> Deed:
    async def delete(session: AsyncSession) -> None:
        found = await organizations.find_membership(session, member.user, member.organization_id)
        assert found is not None
        await organizations.delete_organization(session, found, signed_in_at=now())

    return delete


async def test_of_two_owners_who_demote_each_other_one_remains(
    isolated_transaction: TransactionFactory, isolated_world: World
) -> None:
    """R8."""
    alices, danas = isolated_world.alice_member, isolated_world.dana_member
    await make_owner(isolated_transaction, danas)
    ended = await run_concurrently(
        isolated_transaction, demoting(alices, danas), demoting(danas, alices)
    )
    assert [type(one) for one in ended if one] == [Forbidden]
    assert len(await owners_of(isolated_transaction, isolated_world.tern)) == 1


async def test_of_owners_who_all_step_down_one_remains(
    isolated_transaction: TransactionFactory, isolated_world: World
) -> None:
    """R8."""
    alices, danas = isolated_world.alice_member, isolated_world.dana_member
    await make_owner(isolated_transaction, danas)
    ended = await run_concurrently(
        isolated_transaction, demoting(alices, alices), demoting(danas, danas)
    )
    assert [type(one) for one in ended if one] == [Invalid]
    assert len(await owners_of(isolated_transaction, isolated_world.tern)) == 1


@pytest.mark.parametrize("steps_down", [False, True], ids=["both leave", "one steps down"])
async def test_of_two_owners_who_leave_the_organization_one_stays(
    isolated_transaction: TransactionFactory, isolated_world: World, steps_down: bool
) -> None:
    """R8."""
    alices, danas = isolated_world.alice_member, isolated_world.dana_member
    await make_owner(isolated_transaction, danas)
    other = demoting(danas, danas) if steps_down else departing(danas)
    ended = await run_concurrently(isolated_transaction, departing(alices), other)
    [rejected] = [one for one in ended if one]
    assert isinstance(rejected, Conflict | Invalid)
    assert rejected.code == "last_owner"
    assert len(await owners_of(isolated_transaction, isolated_world.tern)) == 1


async def test_an_admin_removed_while_waiting_changes_nothing(
    isolated_transaction: TransactionFactory, isolated_world: World
) -> None:
    """R8."""
    world = isolated_world
    for meanwhile in (
        demoting(world.alice_member, world.dana_member),
        removing(world.alice_member, world.dana_member),
    ):
        waits = removing(world.dana_member, world.bob_member)
        rejected = await run_while_waiting(isolated_transaction, waits, meanwhile)
        assert isinstance(rejected, Forbidden | NotFound)
    async with isolated_transaction() as session:
        assert await session.get(Member, world.bob_member.id) is not None


async def test_concurrent_acceptances_of_an_invitation_succeed_once(
    isolated_transaction: TransactionFactory, isolated_world: World, nora: User
) -> None:
    """R10."""
    ended = await run_concurrently(isolated_transaction, *(accepting(nora) for _ in AT_ONCE))
    rejected = [one for one in ended if isinstance(one, Exception)]
    assert {type(one) for one in rejected} == {NotFound}
    assert len(ended) - len(rejected) == 1
    async with isolated_transaction() as session:
        foreign = select(func.count()).where(Member.user_id == nora.id)
        assert await session.scalar(foreign) == 1


async def test_concurrent_invitations_of_an_address_leave_one(
    isolated_transaction: TransactionFactory, isolated_world: World
) -> None:
    def inviting(member: Member) -> Deed:
        draft = InviteCreate(
            invited_email="oskar@example.com",
            board_access=[BoardGrant(board_id=isolated_world.board.id)],
        )
        return lambda session: organizations.create_invite(session, member, draft)

    ended = await run_concurrently(
        isolated_transaction,
        *(inviting(one) for one in [isolated_world.alice_member, isolated_world.dana_member] * 2),
    )
    assert not [one for one in ended if isinstance(one, Exception)]
    async with isolated_transaction() as session:
        assert await session.scalar(select(func.count()).select_from(Invite)) == 1


async def test_concurrent_registrations_create_one_account(
    isolated_transaction: TransactionFactory, isolated_world: World
) -> None:
    async with isolated_transaction() as session:
        session.add(make_invite(isolated_world.tern, "oskar@example.com", TOKEN))

    def joining(session: AsyncSession) -> Awaitable[object]:
        return identity.register_with_invite(
            session, TOKEN, identity.AccountCreate(name="Oskar"), password_hash=PASSWORD_HASH
        )

    ended = await run_concurrently(isolated_transaction, *(joining for _ in AT_ONCE))
    rejected = [one for one in ended if isinstance(one, Exception)]
    assert all(isinstance(one, Conflict | NotFound) for one in rejected)
    assert len(ended) - len(rejected) == 1
    async with isolated_transaction() as session:
        named = select(func.count()).where(User.email == "oskar@example.com")
        assert await session.scalar(named) == 1


async def test_an_owner_cannot_leave_while_a_member_joins(
    isolated_transaction: TransactionFactory, isolated_world: World
) -> None:
    """C25 and R8: Charlie is the only member of Plover until Nora accepts."""
    nora = make_user("Nora")
    async with isolated_transaction() as session:
        session.add_all([nora, make_invite(isolated_world.plover, "nora@example.com", TOKEN)])
    charlie = isolated_world.charlie
    rejected = await run_while_waiting(isolated_transaction, leaving(charlie), accepting(nora))
    assert isinstance(rejected, Conflict)
    assert rejected.code == "last_owner"
    async with isolated_transaction() as session:
        assert await session.get(User, charlie.id) is not None


async def test_joining_an_organization_deleted_meanwhile_fails(
    isolated_transaction: TransactionFactory, isolated_world: World, nora: User
) -> None:
    going = deleting(isolated_world.alice_member)
    rejected = await run_while_waiting(isolated_transaction, accepting(nora), going)
    assert isinstance(rejected, NotFound)


async def test_of_two_owners_who_leave_together_one_has_to_stay(
    isolated_transaction: TransactionFactory, isolated_world: World
) -> None:
    """C25 and R8."""
    await make_owner(isolated_transaction, isolated_world.dana_member)
    ended = await run_concurrently(
        isolated_transaction, leaving(isolated_world.alice), leaving(isolated_world.dana)
    )
    assert [type(one) for one in ended if one] == [Conflict]
    assert len(await owners_of(isolated_transaction, isolated_world.tern)) == 1


async def test_concurrent_account_deletions_succeed_once(
    isolated_transaction: TransactionFactory, isolated_world: World
) -> None:
    ended = await run_concurrently(
        isolated_transaction, *(leaving(isolated_world.bob) for _ in AT_ONCE)
    )
    rejected = [one for one in ended if one]
    assert [type(one) for one in rejected] == [Unauthorized] * 3


async def test_an_account_is_deleted_while_its_user_changes_boards(
    isolated_transaction: TransactionFactory, isolated_world: World
) -> None:
    """Charlie is alone in Plover, and has a task on a board of Tern that is locked after it."""
    world, transaction = isolated_world, isolated_transaction
    shared = make_board("Shared", world.tern)
    async with transaction() as session:
        session.add_all([shared, make_member(world.tern, world.charlie, **FULL_ACCESS)])
        await session.flush()
        session.add(make_task(shared, "Count", assigned_user_id=world.charlie.id))
    assert world.charlies_board.id < shared.id
    async with transaction() as session:
        await boards.lock_board(session, world.charlie, world.charlies_board.id)
        going = asyncio.create_task(run_concurrently(transaction, leaving(world.charlie)))
        await wait_for_lock_waiter(transaction, unless=going)
        await boards.lock_board(session, world.charlie, shared.id)
    assert await going == [None]


async def test_an_account_does_not_delete_what_others_left_meanwhile(
    isolated_transaction: TransactionFactory, isolated_world: World
) -> None:
    """Charlie saw that Plover has another owner, and stays."""
    world = isolated_world
    async with isolated_transaction() as session:
        danas = make_member(world.plover, world.dana, role=Role.OWNER)
        session.add(danas)
    rejected = await run_while_waiting(
        isolated_transaction, leaving(world.charlie), departing(danas)
    )
    assert isinstance(rejected, Conflict)
    assert rejected.code == "only_member"
    async with isolated_transaction() as session:
        assert await session.get(Organization, world.plover.id) is not None


async def test_waiting_for_a_board_of_a_deleted_organization_fails(
    isolated_transaction: TransactionFactory, isolated_world: World
) -> None:
    world = isolated_world

    async def create(session: AsyncSession) -> None:
        board = await boards.lock_board(session, world.bob, world.board.id)
        await tasks.create_task(session, world.bob, board, TaskCreate(title="Too late"))

    rejected = await run_while_waiting(isolated_transaction, create, deleting(world.alice_member))
    assert isinstance(rejected, NotFound)


async def test_an_owner_demoted_while_waiting_deletes_nothing(
    isolated_transaction: TransactionFactory, isolated_world: World
) -> None:
    """R8."""
    await make_owner(isolated_transaction, isolated_world.dana_member)
    going, down = (
        deleting(isolated_world.dana_member),
        demoting(isolated_world.alice_member, isolated_world.dana_member),
    )
    rejected = await run_while_waiting(isolated_transaction, going, down)
    assert isinstance(rejected, Forbidden)
    async with isolated_transaction() as session:
        assert await session.get(Organization, isolated_world.tern.id) is not None


async def test_rights_on_a_board_deleted_meanwhile_are_rejected(
    isolated_transaction: TransactionFactory, isolated_world: World
) -> None:
    world = isolated_world

    async def give(session: AsyncSession) -> None:
        locked = await organizations.lock_member(session, world.alice_member, world.rita_member.id)
        rights = AccessRights(board_access=[BoardGrant(board_id=world.garden.id)])
        await organizations.change_member_rights(session, locked, rights)

    async def delete(session: AsyncSession) -> None:
        board = await boards.lock_board_as_admin(session, world.alice, world.garden.id)
        await boards.delete_board(session, world.alice, board)

    rejected = await run_while_waiting(isolated_transaction, give, delete)
    assert isinstance(rejected, Invalid)
    assert rejected.code == "invalid_board_ids"


async def test_an_organization_is_deleted_while_it_is_in_use(
    isolated_transaction: TransactionFactory, isolated_world: World
) -> None:
    """It does not deadlock with other requests: later ones find nothing."""
    world = isolated_world

    async def beat(session: AsyncSession) -> None:
        await agents.record_heartbeat(session, world.worker, status="busy")

    async def create(session: AsyncSession) -> None:
        board = await boards.lock_board(session, world.worker, world.board.id)
        await tasks.create_comment(session, world.worker, board, task.id, "Half done")

    async def choose(session: AsyncSession) -> None:
        await organizations.switch_organization(session, world.bob, world.tern.id)

    async with isolated_transaction() as session:
        task = await session.merge(world.make_task())
    work = [beat, create, choose, demoting(world.alice_member, world.rita_member)] * 3
    ended = await run_concurrently(isolated_transaction, *work, deleting(world.alice_member), *work)
    assert all(one is None or isinstance(one, AppError) for one in ended), ended
    async with isolated_transaction() as session:
        assert (await session.scalars(select(Organization.name))).all() == ["Plover"]


async def test_a_member_is_removed_while_switching_organizations(
    isolated_transaction: TransactionFactory, isolated_world: World
) -> None:
    """Both lock the user before the organization, so they do not deadlock."""
    world = isolated_world
    async with isolated_transaction() as session:
        plover = await session.merge(world.plover)
        session.add(make_member(plover, await session.merge(world.bob), role=Role.ADMIN))

    async def rename(session: AsyncSession) -> None:
        member = await organizations.find_membership(session, world.bob, world.plover.id)
        assert member is not None
        await organizations.rename_organization(
            session, member, organizations.OrganizationCreate(name="Plover again")
        )

    async def choose(session: AsyncSession) -> None:
        await organizations.switch_organization(session, world.bob, world.tern.id)

    ended = await run_concurrently(
        isolated_transaction,
        rename,
        choose,
        removing(world.alice_member, world.bob_member),
        choose,
        rename,
    )
    assert all(one is None or isinstance(one, AppError | Organization) for one in ended), ended
    async with isolated_transaction() as session:
        chosen = select(User.active_organization_id).where(User.id == world.bob.id)
        assert await session.scalar(chosen) == world.plover.id
