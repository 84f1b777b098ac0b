"""Groups of boards: how they are called, who holds them, and what that costs."""

from typing import Any

import pytest
from sqlalchemy import event, select
from sqlalchemy.ext.asyncio import AsyncSession

from kit.errors import Conflict, Forbidden, Invalid, NotFound
from models import Agent, Board, Event, EventType, Message, new_id
from services import board_groups, organizations
from services.board_groups import GroupDraft
from services.board_groups.rules import slug_of
from tests.remembering import grouped
from tests.world import World, a_board, an_agent


@pytest.fixture(autouse=True)
async def at_hand(session: AsyncSession, world: World) -> None:
    """Let the session know the world, so that new rows can be hung on it."""
    session.add_all(vars(world).values())


async def counted(session: AsyncSession) -> list[str]:
    """Return a list to which every statement is added that is sent from now on."""
    statements: list[str] = []
    connection = (await session.connection()).sync_connection
    event.listen(connection, "before_cursor_execute", lambda *told: statements.append(told[2]))
    return statements


async def test_a_slug_has_small_letters_digits_and_hyphens() -> None:
    assert slug_of("  Spring -- Launch: 2026! ") == "spring-launch-2026"
    assert len(slug_of("a" * 199 + " b")) == 199
    nameless = {slug_of("春"), slug_of("!")}
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
async def test_a_groups_fields_have_limits(
    session: AsyncSession, world: World, field: str, value: Any
) -> None:
    member = await organizations.active(session, world.alice)
    fields: dict[str, Any] = {"name": "Birds", field: value}
    with pytest.raises(Invalid) as refused:
        await board_groups.create(session, member, GroupDraft(**fields))
    assert refused.value.field == field
    made = await board_groups.create(session, member, GroupDraft(name="Birds"))
    with pytest.raises(Invalid):
        await board_groups.change(session, world.alice, made, {field: value})
    assert made.name == "Birds"


async def test_a_change_of_nothing_is_not_recorded(session: AsyncSession, world: World) -> None:
    member = await organizations.active(session, world.alice)
    made = await board_groups.create(session, member, GroupDraft(name="Birds"))
    held = await board_groups.hold_as_admin(session, world.alice, made.id)
    await board_groups.change(session, world.alice, held, {"name": " Birds ", "slug": ""})
    types = [event.type for event in await session.scalars(select(Event))]
    assert types == [EventType.BOARD_GROUP_CREATED]


async def test_a_slug_that_is_taken_is_refused_and_nothing_is_recorded(
    session: AsyncSession, world: World
) -> None:
    member = await organizations.active(session, world.alice)
    await board_groups.create(session, member, GroupDraft(name="Birds"))
    with pytest.raises(Conflict) as refused:
        async with session.begin_nested():
            await board_groups.create(session, member, GroupDraft(name="birds!"))
    assert refused.value.field == "slug"
    assert len((await session.scalars(select(Event))).all()) == 1


async def test_who_may_not_change_a_group_deletes_none(session: AsyncSession, world: World) -> None:
    group = await grouped(session, world.board)
    for person, refusal in [
        (world.bob, Forbidden),
        (world.rita, Forbidden),
        (world.dana, Forbidden),
        (world.charlie, NotFound),
    ]:
        with pytest.raises(refusal):
            await board_groups.delete(session, person, group.id)
        with pytest.raises(refusal):
            await board_groups.hold_to_steer(session, person, group.id)
    with pytest.raises(NotFound):
        await board_groups.delete(session, world.alice, new_id())


async def crowded(session: AsyncSession, world: World) -> list[Board]:
    """Put many boards with an agent each beside Launch."""
    some = [a_board(f"Board {n}", world.tern) for n in range(20)]
    session.add_all(some)
    await session.flush()
    session.add_all([an_agent(f"Agent {n}", board) for n, board in enumerate(some)])
    await session.flush()
    return [world.board, *some]


async def test_a_group_of_many_boards_is_deleted_with_few_statements(
    session: AsyncSession, world: World
) -> None:
    """P12."""
    group = await grouped(session, *await crowded(session, world))
    statements = await counted(session)
    await board_groups.delete(session, world.alice, group.id)
    assert len(statements) <= 7, statements
    assert len((await session.scalars(select(Message))).all()) == 23


async def test_a_cadence_for_many_agents_takes_few_statements(
    session: AsyncSession, world: World
) -> None:
    group = await grouped(session, *await crowded(session, world))
    statements = await counted(session)
    crews = await board_groups.hold_to_steer(session, world.lead, group.id)
    updated = await board_groups.check_in(
        session, world.lead, crews, every="5m", include_board_leads=True
    )
    assert len(statements) <= 4, statements
    assert len(updated) == 23
    configs = await session.scalars(select(Agent.heartbeat_config).where(Agent.id.in_(updated)))
    assert {config["every"] for config in configs if config} == {"5m"}
