"""Organizations: which one somebody works in, and how they are made, renamed and chosen."""

import pytest
from sqlalchemy import event, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from kit.errors import Conflict, Forbidden, Invalid, NotFound, Unauthorized
from models import BoardAccess, Event, EventType, Member, Organization, Role, User
from services import organizations
from tests.world import World, a_member, a_user


async def events_of(session: AsyncSession, organization: Organization) -> list[Event]:
    query = select(Event).where(Event.organization_id == organization.id).order_by(Event.seq)
    return list((await session.scalars(query)).all())


async def a_newcomer(session: AsyncSession, name: str = "Nora") -> User:
    user = a_user(name)
    session.add(user)
    await session.flush()
    return user


async def join(
    session: AsyncSession, world: World, user: User, *, role: Role = Role.MEMBER
) -> Member:
    """Let somebody join Plover."""
    plover = await session.get(Organization, world.plover.id)
    person = await session.get(User, user.id)
    assert plover is not None
    assert person is not None
    member = a_member(plover, person, role=role)
    session.add(member)
    await session.flush()
    return member


async def active_id(session: AsyncSession, user: User) -> object:
    query = select(User.active_organization_id).where(User.id == user.id)
    return await session.scalar(query)


async def test_somebody_works_in_their_active_organization_which_takes_one_statement(
    session: AsyncSession, world: World
) -> None:
    """P5."""
    statements = []
    connection = (await session.connection()).sync_connection
    event.listen(connection, "before_cursor_execute", lambda *told: statements.append(told[2]))
    member = await organizations.active(session, world.alice)
    assert (member.organization.name, member.user.name) == ("Tern", "Alice")
    assert len(statements) == 1


async def test_each_works_in_their_own(session: AsyncSession, world: World) -> None:
    assert (await organizations.active(session, world.charlie)).organization.name == "Plover"


async def test_of_two_memberships_the_active_one_counts(
    session: AsyncSession, world: World
) -> None:
    second = await join(session, world, world.alice)
    assert (await organizations.active(session, world.alice)).organization.name == "Tern"
    await organizations.switch(session, world.alice, world.plover.id)
    assert (await organizations.active(session, world.alice)).id == second.id


async def test_who_left_their_active_organization_works_in_their_oldest(
    session: AsyncSession, world: World
) -> None:
    await session.execute(
        update(User).where(User.id == world.alice.id).values(active_organization_id=world.plover.id)
    )
    member = await organizations.active(session, world.alice)
    assert member.organization_id == world.tern.id
    assert await active_id(session, world.alice) == world.tern.id
    assert member.user.active_organization_id == world.tern.id


async def test_who_is_a_member_nowhere_gets_an_organization_of_their_own(
    session: AsyncSession,
) -> None:
    nora = await a_newcomer(session)
    assert await organizations.current(session, nora) is None
    member = await organizations.active(session, nora)
    assert member.organization.name == "Personal"
    assert (member.role, member.all_boards_read, member.all_boards_write) == ("owner", True, True)
    assert await active_id(session, nora) == member.organization_id
    assert (await organizations.active(session, nora)).id == member.id
    (created,) = await events_of(session, member.organization)
    assert (created.type, created.user_id) == (EventType.ORGANIZATION_CREATED, nora.id)


async def test_everybody_may_have_an_organization_called_personal(
    session: AsyncSession,
) -> None:
    """C26."""
    first, second = await a_newcomer(session), await a_newcomer(session, "Oskar")
    one = await organizations.active(session, first)
    other = await organizations.active(session, second)
    assert one.organization_id != other.organization_id


async def test_who_makes_an_organization_owns_it_and_works_in_it(
    session: AsyncSession, world: World
) -> None:
    made = await organizations.create(session, world.bob, name="  Curlew  ")
    member = await organizations.active(session, world.bob)
    assert (made.name, member.organization_id, member.role) == ("Curlew", made.id, Role.OWNER)
    assert member.all_boards_read
    assert member.all_boards_write
    (created,) = await events_of(session, made)
    assert created.data == {"name": "Curlew"}
    assert await organizations.membership(session, world.charlie, made.id) is None


async def test_a_name_that_one_has_already_is_refused_whatever_its_capitals(
    session: AsyncSession, world: World
) -> None:
    with pytest.raises(Conflict) as refusal:
        await organizations.create(session, world.alice, name=" tERN")
    assert refusal.value.field == "name"


async def test_what_strangers_call_theirs_is_free_to_take(
    session: AsyncSession, world: World
) -> None:
    """S24."""
    made = await organizations.create(session, world.charlie, name="Tern")
    assert made.id != world.tern.id


@pytest.mark.parametrize("name", ["", "   ", "x" * 201, "NUL \0", "half \ud800"])
async def test_an_organization_needs_a_name(session: AsyncSession, world: World, name: str) -> None:
    with pytest.raises(Invalid) as refusal:
        await organizations.create(session, world.alice, name=name)
    assert refusal.value.field == "name"
    member = await organizations.active(session, world.alice)
    with pytest.raises(Invalid) as refusal:
        await organizations.rename(session, member, name=name)
    assert refusal.value.field == "name"


async def test_an_admin_renames_the_organization(session: AsyncSession, world: World) -> None:
    member = await organizations.active(session, world.dana)
    renamed = await organizations.rename(session, member, name=" Arctic Tern ")
    assert renamed.name == "Arctic Tern"
    (changed,) = await events_of(session, renamed)
    assert changed.type == EventType.ORGANIZATION_UPDATED
    assert changed.data["changes"] == {"name": ["Tern", "Arctic Tern"]}
    assert changed.user_id == world.dana.id


async def test_the_same_name_again_is_no_change(session: AsyncSession, world: World) -> None:
    member = await organizations.active(session, world.alice)
    await organizations.rename(session, member, name="Tern")
    assert await events_of(session, world.tern) == []
    await organizations.rename(session, member, name="TERN")
    assert len(await events_of(session, world.tern)) == 1


async def test_a_member_renames_nothing(session: AsyncSession, world: World) -> None:
    member = await organizations.active(session, world.bob)
    with pytest.raises(Forbidden):
        await organizations.rename(session, member, name="Bob's")
    with pytest.raises(Forbidden):
        organizations.require_admin(member)
    organizations.require_admin(await organizations.active(session, world.dana))


async def test_two_organizations_of_one_person_do_not_share_a_name(
    session: AsyncSession, world: World
) -> None:
    await organizations.create(session, world.alice, name="Curlew")
    member = await organizations.active(session, world.alice)
    with pytest.raises(Conflict):
        await organizations.rename(session, member, name="tern")


async def test_a_stranger_cannot_choose_an_organization(
    session: AsyncSession, world: World
) -> None:
    for organization_id in (world.tern.id, world.board.id):
        with pytest.raises(NotFound) as refusal:
            await organizations.switch(session, world.charlie, organization_id)
        assert refusal.value.code == "organization_not_found"
    assert await active_id(session, world.charlie) == world.plover.id


async def test_the_memberships_of_somebody_come_by_name(
    session: AsyncSession, world: World
) -> None:
    await join(session, world, world.alice)
    await organizations.create(session, world.alice, name="auk")
    found = await organizations.memberships(session, world.alice)
    assert [one.organization.name for one in found] == ["auk", "Plover", "Tern"]
    assert {one.user.name for one in found} == {"Alice"}


async def test_a_membership_is_found_by_its_organization(
    session: AsyncSession, world: World
) -> None:
    found = await organizations.membership(session, world.alice, world.tern.id)
    assert found is not None
    assert (found.organization.name, found.user.name) == ("Tern", "Alice")
    assert await organizations.membership(session, world.alice, world.plover.id) is None
    assert await organizations.membership(session, world.charlie, world.tern.id) is None


async def test_somebody_s_own_rights_on_boards_are_told(
    session: AsyncSession, world: World
) -> None:
    (row,) = await organizations.own_access(session, world.bobs)
    assert isinstance(row, BoardAccess)
    assert (row.board_id, row.can_read, row.can_write) == (world.board.id, True, True)
    assert await organizations.own_access(session, world.charlies) == []


async def test_who_is_gone_is_nobody(session: AsyncSession, world: World) -> None:
    with pytest.raises(Unauthorized):
        await organizations.create(session, a_user("Ghost"), name="Nowhere")
    with pytest.raises(Unauthorized):
        await organizations.active(session, a_user("Ghost"))
