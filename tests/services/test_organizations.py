"""Organizations: the active one of a user, and creating, renaming and switching."""

import pytest
from sqlalchemy import select, update
from sqlalchemy.ext.asyncio import AsyncSession

from core.clock import now
from core.errors import Conflict, Forbidden, Invalid, NotFound, Unauthorized
from models import BoardAccess, Event, EventType, Member, Organization, Role, User
from services import organizations
from services.organizations import OrganizationCreate
from tests.support.people_rows import make_member, make_user
from tests.support.statement_counter import count_statements
from tests.support.world import World


async def events_of(session: AsyncSession, organization: Organization) -> list[Event]:
    query = select(Event).where(Event.organization_id == organization.id).order_by(Event.seq)
    return list((await session.scalars(query)).all())


async def create_user(session: AsyncSession, name: str = "Nora") -> User:
    user = make_user(name)
    session.add(user)
    await session.flush()
    return user


async def join(
    session: AsyncSession, world: World, user: User, *, role: Role = Role.MEMBER
) -> Member:
    """Make a user a member of Plover."""
    plover = await session.get(Organization, world.plover.id)
    person = await session.get(User, user.id)
    assert plover is not None
    assert person is not None
    member = make_member(plover, person, role=role)
    session.add(member)
    await session.flush()
    return member


async def active_id(session: AsyncSession, user: User) -> object:
    query = select(User.active_organization_id).where(User.id == user.id)
    return await session.scalar(query)


async def test_the_current_membership_takes_one_statement(
    session: AsyncSession, world: World
) -> None:
    """P5."""
    with count_statements(await session.connection()) as statements:
        member = await organizations.get_or_create_active_membership(session, world.alice)
    assert (member.organization.name, member.user.name) == ("Tern", "Alice")
    assert len(statements) == 1


async def test_each_user_has_an_active_organization_of_their_own(
    session: AsyncSession, world: World
) -> None:
    assert (
        await organizations.get_or_create_active_membership(session, world.charlie)
    ).organization.name == "Plover"


async def test_of_two_memberships_the_active_one_is_current(
    session: AsyncSession, world: World
) -> None:
    second = await join(session, world, world.alice)
    assert (
        await organizations.get_or_create_active_membership(session, world.alice)
    ).organization.name == "Tern"
    await organizations.switch_organization(session, world.alice, world.plover.id)
    assert (
        await organizations.get_or_create_active_membership(session, world.alice)
    ).id == second.id


async def test_after_removal_the_oldest_membership_is_current(
    session: AsyncSession, world: World
) -> None:
    second = await join(session, world, world.alice)
    await organizations.switch_organization(session, world.alice, world.plover.id)
    await organizations.leave_organization(session, second)
    member = await organizations.get_or_create_active_membership(session, world.alice)
    assert member.organization_id == world.tern.id
    assert await active_id(session, world.alice) == world.tern.id


async def test_of_memberships_elsewhere_the_oldest_is_current(
    session: AsyncSession, world: World
) -> None:
    """Whatever is stored, a user never works where they are no member."""
    chosen = update(User).where(User.id == world.alice.id)
    await session.execute(chosen.values(active_organization_id=world.plover.id))
    member = await organizations.get_or_create_active_membership(session, world.alice)
    assert member.organization_id == world.tern.id


async def test_after_a_deletion_the_oldest_other_membership_is_current(
    session: AsyncSession, world: World
) -> None:
    await join(session, world, world.alice)
    alice = await session.get_one(Member, world.alice_member.id)
    await organizations.delete_organization(session, alice, signed_in_at=now())
    member = await organizations.get_or_create_active_membership(session, world.alice)
    assert member.organization_id == world.plover.id
    assert await active_id(session, world.alice) == world.plover.id
    assert await active_id(session, world.bob) is None


async def test_a_user_without_memberships_gets_an_organization(
    session: AsyncSession,
) -> None:
    nora = await create_user(session)
    assert await organizations.find_current_membership(session, nora) is None
    member = await organizations.get_or_create_active_membership(session, nora)
    assert member.organization.name == "Personal"
    assert (member.role, member.all_boards_read, member.all_boards_write) == ("owner", True, True)
    assert await active_id(session, nora) == member.organization_id
    assert (await organizations.get_or_create_active_membership(session, nora)).id == member.id
    (created,) = await events_of(session, member.organization)
    assert (created.type, created.user_id) == (EventType.ORGANIZATION_CREATED, nora.id)


async def test_every_user_may_have_an_organization_called_personal(
    session: AsyncSession,
) -> None:
    """C26."""
    first, second = await create_user(session), await create_user(session, "Oskar")
    one = await organizations.get_or_create_active_membership(session, first)
    other = await organizations.get_or_create_active_membership(session, second)
    assert one.organization_id != other.organization_id


async def test_the_creator_owns_the_organization_and_works_in_it(
    session: AsyncSession, world: World
) -> None:
    made = await organizations.create_organization(
        session, world.bob, OrganizationCreate(name="  Curlew  ")
    )
    member = await organizations.get_or_create_active_membership(session, world.bob)
    assert (made.name, member.organization_id, member.role) == ("Curlew", made.id, Role.OWNER)
    assert member.all_boards_read
    assert member.all_boards_write
    (created,) = await events_of(session, made)
    assert created.data == {"name": "Curlew"}
    assert await organizations.find_membership(session, world.charlie, made.id) is None


async def test_own_organization_names_are_unique_ignoring_case(
    session: AsyncSession, world: World
) -> None:
    with pytest.raises(Conflict) as error:
        await organizations.create_organization(
            session, world.alice, OrganizationCreate(name=" tERN")
        )
    assert error.value.field == "name"


async def test_names_of_other_users_organizations_are_free(
    session: AsyncSession, world: World
) -> None:
    """S24."""
    made = await organizations.create_organization(
        session, world.charlie, OrganizationCreate(name="Tern")
    )
    assert made.id != world.tern.id


@pytest.mark.parametrize("name", ["", "   ", "x" * 201, "NUL \0", "half \ud800"])
def test_an_organization_requires_a_name(name: str) -> None:
    with pytest.raises(Invalid) as error:
        OrganizationCreate.parse({"name": name})
    assert error.value.field == "name"


async def test_an_admin_renames_the_organization(session: AsyncSession, world: World) -> None:
    member = await organizations.get_or_create_active_membership(session, world.dana)
    renamed = await organizations.rename_organization(
        session, member, OrganizationCreate(name=" Arctic Tern ")
    )
    assert renamed.name == "Arctic Tern"
    (changed,) = await events_of(session, renamed)
    assert changed.type == EventType.ORGANIZATION_UPDATED
    assert changed.data["changes"] == {"name": ["Tern", "Arctic Tern"]}
    assert changed.user_id == world.dana.id


async def test_renaming_to_the_same_name_changes_nothing(
    session: AsyncSession, world: World
) -> None:
    member = await organizations.get_or_create_active_membership(session, world.alice)
    await organizations.rename_organization(session, member, OrganizationCreate(name="Tern"))
    assert await events_of(session, world.tern) == []
    await organizations.rename_organization(session, member, OrganizationCreate(name="TERN"))
    assert len(await events_of(session, world.tern)) == 1


async def test_members_cannot_rename_the_organization(session: AsyncSession, world: World) -> None:
    member = await organizations.get_or_create_active_membership(session, world.bob)
    with pytest.raises(Forbidden):
        await organizations.rename_organization(session, member, OrganizationCreate(name="Bob's"))
    with pytest.raises(Forbidden):
        organizations.require_admin(member)
    organizations.require_admin(
        await organizations.get_or_create_active_membership(session, world.dana)
    )


async def test_a_rename_to_a_name_of_the_users_other_one_is_rejected(
    session: AsyncSession, world: World
) -> None:
    await organizations.create_organization(session, world.alice, OrganizationCreate(name="Curlew"))
    member = await organizations.get_or_create_active_membership(session, world.alice)
    with pytest.raises(Conflict):
        await organizations.rename_organization(session, member, OrganizationCreate(name="tern"))


async def test_only_members_switch_to_an_organization(session: AsyncSession, world: World) -> None:
    for organization_id in (world.tern.id, world.board.id):
        with pytest.raises(NotFound) as error:
            await organizations.switch_organization(session, world.charlie, organization_id)
        assert error.value.code == "organization_not_found"
    assert await active_id(session, world.charlie) == world.plover.id


async def test_memberships_are_listed_by_name(session: AsyncSession, world: World) -> None:
    await join(session, world, world.alice)
    await organizations.create_organization(session, world.alice, OrganizationCreate(name="auk"))
    found = await organizations.list_memberships(session, world.alice)
    assert [one.organization.name for one in found] == ["auk", "Plover", "Tern"]
    assert {one.user.name for one in found} == {"Alice"}


async def test_a_membership_is_found_by_its_organization(
    session: AsyncSession, world: World
) -> None:
    found = await organizations.find_membership(session, world.alice, world.tern.id)
    assert found is not None
    assert (found.organization.name, found.user.name) == ("Tern", "Alice")
    assert await organizations.find_membership(session, world.alice, world.plover.id) is None
    assert await organizations.find_membership(session, world.charlie, world.tern.id) is None


async def test_a_members_own_board_access_is_listed(session: AsyncSession, world: World) -> None:
    (row,) = await organizations.list_board_access(session, world.bob_member)
    assert isinstance(row, BoardAccess)
    assert (row.board_id, row.can_read, row.can_write) == (world.board.id, True, True)
    assert await organizations.list_board_access(session, world.charlie_member) == []


async def test_a_deleted_user_is_unauthorized(session: AsyncSession, world: World) -> None:
    with pytest.raises(Unauthorized):
        await organizations.create_organization(
            session, make_user("Ghost"), OrganizationCreate(name="Nowhere")
        )
    with pytest.raises(Unauthorized):
        await organizations.get_or_create_active_membership(session, make_user("Ghost"))
