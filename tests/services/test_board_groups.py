"""Board groups: slugs, validation, permissions and the number of statements."""

from typing import Any

import pytest
from pydantic import ValidationError
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from core.errors import Conflict, Forbidden, Invalid, NotFound
from models import Agent, Board, Event, EventType, Message, new_id
from services import agents, boards, organizations
from services.boards import BoardGroupCreate, BoardGroupUpdate
from services.boards.groups import group_slug
from tests.support.board_rows import make_agent, make_board
from tests.support.memory_rows import create_group_of
from tests.support.people_rows import make_member
from tests.support.statement_counter import count_statements
from tests.support.world import World


@pytest.fixture(autouse=True)
async def attach_world(session: AsyncSession, world: World) -> None:
    """Add the world to the session, so that new rows can refer to it."""
    session.add_all(vars(world).values())


async def test_group_slug_has_lowercase_letters_digits_and_hyphens() -> None:
    assert group_slug("  Spring -- Launch: 2026! ") == "spring-launch-2026"
    assert len(group_slug("a" * 199 + " b")) == 199
    nameless = {group_slug("春"), group_slug("!")}
    assert {len(slug) for slug in nameless} == {32}
    assert len(nameless) == 2


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("name", " "),
        ("name", None),
        ("name", "a" * 201),
        ("slug", None),
        ("slug", "a" * 201),
        ("description", "a" * 20_001),
        ("description", 5),
    ],
)
async def test_invalid_group_fields_are_rejected(field: str, value: Any) -> None:
    fields: dict[str, Any] = {"name": "Birds", field: value}
    for model in (BoardGroupCreate, BoardGroupUpdate):
        with pytest.raises(ValidationError) as raised:
            model.model_validate(fields)
        assert [error["loc"] for error in raised.value.errors()] == [(field,)]


async def test_update_without_changes_is_not_recorded(session: AsyncSession, world: World) -> None:
    member = await organizations.get_or_create_active_membership(session, world.alice)
    group = await boards.create_group(session, member, BoardGroupCreate(name="Birds"))
    locked = await boards.lock_group_as_admin(session, world.alice, group.id)
    updated_at = locked.updated_at
    await boards.update_group(
        session, world.alice, locked, BoardGroupUpdate.of(name=" Birds ", slug="")
    )
    assert locked.updated_at == updated_at
    types = [event.type for event in await session.scalars(select(Event))]
    assert types == [EventType.BOARD_GROUP_CREATED]


async def test_taken_group_slug_is_rejected_without_event(
    session: AsyncSession, world: World
) -> None:
    member = await organizations.get_or_create_active_membership(session, world.alice)
    await boards.create_group(session, member, BoardGroupCreate(name="Birds"))
    with pytest.raises(Conflict) as raised:
        async with session.begin_nested():
            await boards.create_group(session, member, BoardGroupCreate(name="birds!"))
    assert raised.value.field == "slug"
    assert len((await session.scalars(select(Event))).all()) == 1


async def test_deleting_a_group_requires_admin_with_write_access(
    session: AsyncSession, world: World
) -> None:
    group = await create_group_of(session, world.board)
    for user, error in [
        (world.bob, Forbidden),
        (world.rita, Forbidden),
        (world.dana, Forbidden),
        (world.charlie, NotFound),
    ]:
        with pytest.raises(error):
            await boards.delete_group(session, user, group.id)
        with pytest.raises(error):
            await boards.lock_group_agents_as_manager(session, user, group.id)
    with pytest.raises(NotFound):
        await boards.delete_group(session, world.alice, new_id())


async def make_many_boards(session: AsyncSession, world: World) -> list[Board]:
    """Add 20 boards with an agent each, and return them with Launch."""
    new = [make_board(f"Board {n}", world.tern) for n in range(20)]
    session.add_all(new)
    await session.flush()
    session.add_all([make_agent(f"Agent {n}", board) for n, board in enumerate(new)])
    await session.flush()
    return [world.board, *new]


async def test_deleting_a_large_group_takes_few_statements(
    session: AsyncSession, world: World
) -> None:
    """P12."""
    group = await create_group_of(session, *await make_many_boards(session, world))
    with count_statements(await session.connection()) as statements:
        await boards.delete_group(session, world.alice, group.id)
    assert len(statements) <= 7, statements
    assert len((await session.scalars(select(Message))).all()) == 23


async def test_setting_heartbeat_of_many_agents_takes_few_statements(
    session: AsyncSession, world: World
) -> None:
    group = await create_group_of(session, *await make_many_boards(session, world))
    with count_statements(await session.connection()) as statements:
        group_agents = await boards.lock_group_agents_as_manager(session, world.lead, group.id)
        updated = await agents.set_group_heartbeat_interval(
            session, world.lead, group_agents, every="5m", include_board_leads=True
        )
    assert len(statements) <= 5, statements
    assert len(updated) == 23
    configs = await session.scalars(select(Agent.heartbeat_config).where(Agent.id.in_(updated)))
    assert {config["every"] for config in configs if config} == {"5m"}


async def test_boards_join_and_leave_a_group_and_their_agents_are_notified(
    session: AsyncSession, world: World
) -> None:
    member = await organizations.get_or_create_active_membership(session, world.alice)
    group = await create_group_of(session, world.board)
    changes = await boards.lock_group_boards(
        session, member, joining=[world.garden.id], leaving=[world.board.id, new_id()]
    )
    await boards.change_group_boards(session, world.alice, group, changes)
    assert (world.board.board_group_id, world.garden.board_group_id) == (None, group.id)
    contents = set(await session.scalars(select(Message.content)))
    assert any("Left Board: Launch" in content for content in contents)
    assert any("Joined Board: Garden" in content for content in contents)


async def test_a_board_that_moved_to_another_group_stays_there(
    session: AsyncSession, world: World
) -> None:
    member = await organizations.get_or_create_active_membership(session, world.alice)
    birds = await create_group_of(session, world.garden)
    fish = await create_group_of(session, world.board, name="Fish")
    changes = await boards.lock_group_boards(session, member, leaving=[world.board.id])
    await boards.change_group_boards(session, world.alice, birds, changes)
    assert world.board.board_group_id == fish.id


async def test_boards_that_may_not_be_changed_are_named_with_their_errors(
    session: AsyncSession, world: World
) -> None:
    member = await organizations.get_or_create_active_membership(session, world.rita)
    unknown, foreign = new_id(), world.charlies_board.id
    with pytest.raises(Invalid) as raised:
        await boards.lock_group_boards(
            session, member, joining=[unknown, foreign, world.garden.id], leaving=[world.board.id]
        )
    errors: Any = raised.value.details["boards"]
    assert {id: error.code for id, error in errors.items()} == {
        unknown: "board_not_found",
        foreign: "board_not_found",
        world.garden.id: "board_read_forbidden",
        world.board.id: "board_write_forbidden",
    }


async def test_a_board_of_another_organization_of_the_user_cannot_join(
    session: AsyncSession, world: World
) -> None:
    full_access = {"all_boards_read": True, "all_boards_write": True}
    session.add(make_member(world.plover, world.alice, **full_access))
    await session.flush()
    member = await organizations.get_or_create_active_membership(session, world.alice)
    for ids in ({"joining": [world.charlies_board.id]}, {"leaving": [world.charlies_board.id]}):
        with pytest.raises(Invalid) as raised:
            await boards.lock_group_boards(session, member, **ids)
        errors: Any = raised.value.details["boards"]
        assert errors[world.charlies_board.id].code == "board_not_found"
