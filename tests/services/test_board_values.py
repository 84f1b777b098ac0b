"""What a board may be, and who may change what of it."""

from datetime import UTC, datetime, timedelta, timezone
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import update
from sqlalchemy.ext.asyncio import AsyncSession

from kit.errors import Forbidden, Invalid, NotFound
from models import Board, EventType
from services import boards
from tests.services.boards import a_group, change, create, events_of
from tests.world import World

GOAL = {"objective": "Fly south", "success_metrics": {"kilometres": 20_000}}

TOO_FAR = datetime(9999, 12, 31, 23, tzinfo=timezone(-timedelta(hours=5)))
TOO_EARLY = datetime(1, 1, 1, tzinfo=timezone(timedelta(hours=5)))

WRONG: list[tuple[str, object]] = [
    ("name", "  "),
    ("name", None),
    ("name", "x" * 201),
    ("name", "NUL \0"),
    ("name", "half \ud800"),
    ("name", 7),
    ("slug", None),
    ("slug", "x" * 201),
    ("description", ""),
    ("description", None),
    ("description", "x" * 1_000_000),
    ("board_type", ""),
    ("board_type", None),
    ("board_type", "x" * 51),
    ("objective", "NUL \0"),
    ("objective", "x" * 1_000_000),
    ("success_metrics", "many"),
    ("success_metrics", []),
    ("success_metrics", {"NUL \0": 1}),
    ("success_metrics", {"deep": [{"half": "\ud800"}]}),
    ("success_metrics", {"number": float("nan")}),
    ("success_metrics", {"long": "x" * 1_000_000}),
    ("target_date", "tomorrow"),
    ("target_date", TOO_FAR),
    ("target_date", TOO_EARLY),
    ("goal_confirmed", None),
    ("goal_confirmed", "yes"),
    ("goal_source", "x" * 201),
    ("require_approval_for_done", None),
    ("only_lead_can_change_status", 1),
    ("max_agents", -1),
    ("max_agents", 2**31),
    ("max_agents", None),
    ("max_agents", True),
    ("max_agents", 1.5),
    ("gateway_id", uuid4()),
    ("gateway_id", "gateway"),
    ("board_group_id", uuid4()),
    ("board_group_id", 1),
]


@pytest.mark.parametrize(("field", "value"), WRONG)
async def test_what_cannot_be_is_told_by_its_field(
    session: AsyncSession, world: World, field: str, value: object
) -> None:
    """C30."""
    with pytest.raises(Invalid) as refusal:
        await create(session, world, **{field: value})
    assert refusal.value.field == field
    with pytest.raises(Invalid) as refusal:
        await change(session, world.alice, world.board, **{field: value})
    assert refusal.value.field == field
    board = await session.get(Board, world.board.id)
    assert board is not None
    assert not session.is_modified(board)
    assert await events_of(session, world.board) == []


async def test_a_group_of_another_organization_is_none(session: AsyncSession, world: World) -> None:
    foreign = await a_group(session, world.plover, "Foreign")
    for attempt in (
        create(session, world, board_group_id=foreign.id),
        change(session, world.alice, world.board, board_group_id=foreign.id),
    ):
        with pytest.raises(Invalid) as refusal:
            await attempt
        assert refusal.value.field == "board_group_id"


@pytest.mark.parametrize(
    ("missing", "field"),
    [
        ({"objective": None}, "objective"),
        ({"objective": "  "}, "objective"),
        ({"success_metrics": None}, "success_metrics"),
        ({"success_metrics": {}}, "success_metrics"),
    ],
)
async def test_a_confirmed_goal_says_what_it_is_and_how_it_is_measured(
    session: AsyncSession, world: World, missing: dict[str, Any], field: str
) -> None:
    with pytest.raises(Invalid) as refusal:
        await create(session, world, goal_confirmed=True, **GOAL | missing)
    assert refusal.value.field == field
    board = await create(session, world, **GOAL | missing)
    with pytest.raises(Invalid) as refusal:
        await change(session, world.alice, board, goal_confirmed=True)
    assert refusal.value.field == field
    confirmed = await create(session, world, goal_confirmed=True, **GOAL)
    with pytest.raises(Invalid) as refusal:
        await change(session, world.alice, confirmed, **missing)
    assert refusal.value.field == field


async def test_a_board_that_turns_to_a_goal_says_what_it_is(
    session: AsyncSession, world: World
) -> None:
    with pytest.raises(Invalid):
        await change(session, world.alice, world.board, board_type="goal")
    board = await change(session, world.alice, world.board, board_type="goal", **GOAL)
    assert board.board_type == "goal"
    again = await change(session, world.alice, world.board, goal_confirmed=True)
    assert again.goal_confirmed


async def test_other_boards_may_be_confirmed_without_a_goal(
    session: AsyncSession, world: World
) -> None:
    assert (await create(session, world, board_type="general", goal_confirmed=True)).goal_confirmed


async def test_an_unfinished_goal_does_not_hinder_other_changes(
    session: AsyncSession, world: World
) -> None:
    board = await create(session, world)
    assert (await change(session, world.alice, board, name="Roost")).name == "Roost"
    with pytest.raises(Invalid):
        await change(session, world.alice, board, board_type="goal")
    imported = update(Board).where(Board.id == board.id).values(goal_confirmed=True)
    await session.execute(imported)
    assert (await change(session, world.alice, board, name="Perch")).name == "Perch"


async def test_a_change_says_what_was_and_what_is(session: AsyncSession, world: World) -> None:
    due = datetime(2027, 1, 1, 12, tzinfo=timezone(timedelta(hours=1)))
    before = (await boards.get(session, world.alice, world.board.id)).updated_at
    board = await change(
        session, world.alice, world.board, name="Lift-off", target_date=due, max_agents=2
    )
    assert board.target_date == datetime(2027, 1, 1, 11, tzinfo=UTC)
    assert board.updated_at > before
    (changed,) = await events_of(session, board)
    assert (changed.type, changed.user_id) == (EventType.BOARD_UPDATED, world.alice.id)
    assert changed.data["changes"] == {
        "name": ["Launch", "Lift-off"],
        "target_date": [None, "2027-01-01T11:00:00+00:00"],
    }


async def test_a_change_that_changes_nothing_is_not_recorded(
    session: AsyncSession, world: World
) -> None:
    before = (await boards.get(session, world.alice, world.board.id)).updated_at
    same = {"name": " Launch ", "slug": "launch", "max_agents": 2, "gateway_id": None}
    for changes in ({}, same, {"unknown": 1, "id": uuid4(), "organization_id": uuid4()}):
        board = await change(session, world.alice, world.board, **changes)
        assert board.updated_at == before
    assert board.organization_id == world.tern.id
    assert await events_of(session, world.board) == []


async def test_a_blank_slug_is_made_from_the_name(session: AsyncSession, world: World) -> None:
    board = await change(session, world.alice, world.board, name="Garden", slug="")
    assert board.slug == "garden-2"
    assert (await change(session, world.alice, world.board, slug=" ")).slug == "garden-2"
    assert (await change(session, world.alice, world.board, slug="launch")).slug == "launch"


@pytest.mark.parametrize(
    "changes",
    [
        {"require_approval_for_done": True},
        {"require_review_before_done": True},
        {"comment_required_for_review": True},
        {"block_status_changes_with_pending_approval": True},
        {"only_lead_can_change_status": True},
        {"max_agents": 9},
        {"name": "Bob's", "max_agents": 9},
    ],
)
async def test_the_rules_of_a_board_are_for_admins(
    session: AsyncSession, world: World, changes: dict[str, Any]
) -> None:
    """S7."""
    with pytest.raises(Forbidden) as refusal:
        await change(session, world.bob, world.board, **changes)
    assert refusal.value.code == "admin_required"
    assert await events_of(session, world.board) == []
    changed = await change(session, world.alice, world.board, **changes)
    assert {name: getattr(changed, name) for name in changes} == changes


async def test_the_group_of_a_board_is_for_admins(session: AsyncSession, world: World) -> None:
    group = await a_group(session, world.tern, "Birds")
    with pytest.raises(Forbidden):
        await change(session, world.bob, world.board, board_group_id=group.id)
    await change(session, world.alice, world.board, board_group_id=group.id)
    with pytest.raises(Forbidden):
        await change(session, world.bob, world.board, board_group_id=None)
    (changed,) = await events_of(session, world.board)
    assert changed.data["changes"] == {"board_group_id": [None, str(group.id)]}


async def test_a_member_with_the_right_changes_what_is_no_rule(
    session: AsyncSession, world: World
) -> None:
    board = await change(
        session, world.bob, world.board, name="Bob's", require_approval_for_done=False
    )
    assert board.name == "Bob's"


async def test_who_may_not_change_a_board_does_not(session: AsyncSession, world: World) -> None:
    for actor in (world.rita, world.dana):
        with pytest.raises(Forbidden):
            await change(session, actor, world.board, name="Mine")
    with pytest.raises(NotFound):
        await change(session, world.charlie, world.board, name="Mine")
