"""Validation of board fields, and permissions to change them."""

from datetime import UTC, datetime, timedelta, timezone
from typing import Any
from uuid import uuid4

import pytest
from pydantic import ValidationError
from sqlalchemy import update
from sqlalchemy.ext.asyncio import AsyncSession

from core.errors import Forbidden, Invalid, NotFound
from models import Board, EventType
from services import boards
from services.boards import BoardUpdate
from tests.support.board_helpers import (
    add_group,
    create_board,
    list_board_events,
    make_board_fields,
    update_board,
)
from tests.support.world import World

GOAL = {"objective": "Fly south", "success_metrics": {"kilometres": 20_000}}

TOO_FAR = datetime(9999, 12, 31, 23, tzinfo=timezone(-timedelta(hours=5)))
TOO_EARLY = datetime(1, 1, 1, tzinfo=timezone(timedelta(hours=5)))

INVALID_VALUES: list[tuple[str, object]] = [
    ("name", "  "),
    ("name", None),
    ("name", "x" * 201),
    ("name", 7),
    ("slug", None),
    ("slug", "x" * 201),
    ("description", ""),
    ("description", None),
    ("description", "x" * 1_000_000),
    ("board_type", ""),
    ("board_type", None),
    ("board_type", "x" * 51),
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
    ("goal_source", "x" * 201),
    ("require_approval_for_done", None),
    ("max_agents", -1),
    ("max_agents", 2**31),
    ("max_agents", None),
    ("max_agents", 1.5),
    ("gateway_id", "gateway"),
    ("board_group_id", 1),
]


@pytest.mark.parametrize(("field", "value"), INVALID_VALUES)
def test_invalid_board_fields_are_rejected(field: str, value: object) -> None:
    """C30."""
    for parse in (make_board_fields, BoardUpdate.of):
        with pytest.raises((ValidationError, Invalid)) as raised:
            parse(**{field: value})
        error = raised.value
        if isinstance(error, Invalid):
            assert error.field == field
        else:
            assert error.errors()[0]["loc"][0] == field


@pytest.mark.parametrize("field", ["gateway_id", "board_group_id"])
async def test_unknown_gateways_and_groups_are_rejected(
    session: AsyncSession, world: World, field: str
) -> None:
    wrong = {field: uuid4()}
    for attempt in (
        create_board(session, world, **wrong),
        update_board(session, world.alice, world.board, **wrong),
    ):
        with pytest.raises(Invalid) as raised:
            await attempt
        assert raised.value.field == field
    board = await session.get(Board, world.board.id)
    assert board is not None
    assert not session.is_modified(board)
    assert await list_board_events(session, world.board) == []


async def test_group_of_another_organization_is_rejected(
    session: AsyncSession, world: World
) -> None:
    foreign = await add_group(session, world.plover, "Foreign")
    for attempt in (
        create_board(session, world, board_group_id=foreign.id),
        update_board(session, world.alice, world.board, board_group_id=foreign.id),
    ):
        with pytest.raises(Invalid) as raised:
            await attempt
        assert raised.value.field == "board_group_id"


@pytest.mark.parametrize(
    ("missing", "field"),
    [
        ({"objective": None}, "objective"),
        ({"objective": "  "}, "objective"),
        ({"success_metrics": None}, "success_metrics"),
        ({"success_metrics": {}}, "success_metrics"),
    ],
)
async def test_confirmed_goal_requires_objective_and_metrics(
    session: AsyncSession, world: World, missing: dict[str, Any], field: str
) -> None:
    with pytest.raises(Invalid) as raised:
        await create_board(session, world, goal_confirmed=True, **GOAL | missing)
    assert raised.value.field == field
    board = await create_board(session, world, **GOAL | missing)
    with pytest.raises(Invalid) as raised:
        await update_board(session, world.alice, board, goal_confirmed=True)
    assert raised.value.field == field
    confirmed = await create_board(session, world, goal_confirmed=True, **GOAL)
    with pytest.raises(Invalid) as raised:
        await update_board(session, world.alice, confirmed, **missing)
    assert raised.value.field == field


async def test_changing_the_type_to_goal_requires_objective_and_metrics(
    session: AsyncSession, world: World
) -> None:
    with pytest.raises(Invalid):
        await update_board(session, world.alice, world.board, board_type="goal")
    board = await update_board(session, world.alice, world.board, board_type="goal", **GOAL)
    assert board.board_type == "goal"
    again = await update_board(session, world.alice, world.board, goal_confirmed=True)
    assert again.goal_confirmed


async def test_other_board_types_can_be_confirmed_without_objective(
    session: AsyncSession, world: World
) -> None:
    assert (
        await create_board(session, world, board_type="general", goal_confirmed=True)
    ).goal_confirmed


async def test_incomplete_goal_does_not_block_other_changes(
    session: AsyncSession, world: World
) -> None:
    board = await create_board(session, world)
    assert (await update_board(session, world.alice, board, name="Roost")).name == "Roost"
    with pytest.raises(Invalid):
        await update_board(session, world.alice, board, board_type="goal")
    imported = update(Board).where(Board.id == board.id).values(goal_confirmed=True)
    await session.execute(imported)
    assert (await update_board(session, world.alice, board, name="Perch")).name == "Perch"


async def test_update_event_contains_old_and_new_values(
    session: AsyncSession, world: World
) -> None:
    due = datetime(2027, 1, 1, 12, tzinfo=timezone(timedelta(hours=1)))
    before = (await boards.get_board(session, world.alice, world.board.id)).updated_at
    board = await update_board(
        session, world.alice, world.board, name="Lift-off", target_date=due, max_agents=2
    )
    assert board.target_date == datetime(2027, 1, 1, 11, tzinfo=UTC)
    assert board.updated_at > before
    (changed,) = await list_board_events(session, board)
    assert (changed.type, changed.user_id) == (EventType.BOARD_UPDATED, world.alice.id)
    assert changed.data["changes"] == {
        "name": ["Launch", "Lift-off"],
        "target_date": [None, "2027-01-01T11:00:00+00:00"],
    }


async def test_board_update_without_changes_is_not_recorded(
    session: AsyncSession, world: World
) -> None:
    before = (await boards.get_board(session, world.alice, world.board.id)).updated_at
    same = {"name": " Launch ", "slug": "launch", "max_agents": 2, "gateway_id": None}
    for changes in ({}, same, {"unknown": 1, "id": uuid4(), "organization_id": uuid4()}):
        board = await update_board(session, world.alice, world.board, **changes)
        assert board.updated_at == before
    assert board.organization_id == world.tern.id
    assert await list_board_events(session, world.board) == []


async def test_blank_slug_is_generated_from_the_name(session: AsyncSession, world: World) -> None:
    board = await update_board(session, world.alice, world.board, name="Garden", slug="")
    assert board.slug == "garden-2"
    assert (await update_board(session, world.alice, world.board, slug=" ")).slug == "garden-2"
    assert (await update_board(session, world.alice, world.board, slug="launch")).slug == "launch"


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
async def test_task_rules_are_changed_by_admins_only(
    session: AsyncSession, world: World, changes: dict[str, Any]
) -> None:
    """S7."""
    with pytest.raises(Forbidden) as raised:
        await update_board(session, world.bob, world.board, **changes)
    assert raised.value.code == "admin_required"
    assert await list_board_events(session, world.board) == []
    changed = await update_board(session, world.alice, world.board, **changes)
    assert {name: getattr(changed, name) for name in changes} == changes


async def test_board_group_is_changed_by_admins_only(session: AsyncSession, world: World) -> None:
    group = await add_group(session, world.tern, "Birds")
    with pytest.raises(Forbidden):
        await update_board(session, world.bob, world.board, board_group_id=group.id)
    await update_board(session, world.alice, world.board, board_group_id=group.id)
    with pytest.raises(Forbidden):
        await update_board(session, world.bob, world.board, board_group_id=None)
    (changed,) = await list_board_events(session, world.board)
    assert changed.data["changes"] == {"board_group_id": [None, str(group.id)]}


async def test_member_with_write_access_changes_ordinary_fields(
    session: AsyncSession, world: World
) -> None:
    board = await update_board(
        session, world.bob, world.board, name="Bob's", require_approval_for_done=False
    )
    assert board.name == "Bob's"


async def test_update_requires_write_access(session: AsyncSession, world: World) -> None:
    for actor in (world.rita, world.dana):
        with pytest.raises(Forbidden):
            await update_board(session, actor, world.board, name="Mine")
    with pytest.raises(NotFound):
        await update_board(session, world.charlie, world.board, name="Mine")
