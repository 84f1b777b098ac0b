"""The contract's checklist (people-and-boards 7), 40: metrics."""

from datetime import datetime
from typing import Any

import pytest

from core.db.engine import TransactionFactory
from models import Board, new_id
from tests.support.api_fixtures import Client
from tests.support.board_rows import make_task
from tests.support.world import World

PATH = "/metrics/dashboard"
SERIES = ("throughput", "cycle_time", "error_rate", "wip")
EMPTY = {"value": 0.0}
NOTHING = {"inbox": 0, "in_progress": 0, "review": 0, "done": 0}


async def load_dashboard(client: Client, **query: Any) -> dict[str, Any]:
    """Load the dashboard."""
    response = await client.get(PATH, params=query)
    assert response.status_code == 200, response.text
    shown: dict[str, Any] = response.json()
    return shown


@pytest.mark.parametrize(
    ("range", "bucket", "counts"),
    [
        ("24h", "hour", {25}),
        ("3d", "day", {4}),
        ("7d", "day", {8}),
        ("14d", "day", {15}),
        ("1m", "day", {31}),
        ("3m", "week", {13, 14}),
        ("6m", "week", {26, 27}),
        ("1y", "month", {12, 13}),
    ],
)
async def test_every_range_has_its_points_and_empty_ones_are_zero(
    dana: Client, range: str, bucket: str, counts: set[int]
) -> None:
    """Point 40. C14: a user without boards gets as many zeros."""
    shown = await load_dashboard(dana, range_key=range)
    assert shown["range"] == range
    for name in SERIES:
        empty = NOTHING if name == "wip" else EMPTY
        for side in ("primary", "comparison"):
            series = shown[name][side]
            assert (series["range"], series["bucket"]) == (range, bucket)
            assert len(series["points"]) in counts
            periods = [datetime.fromisoformat(point.pop("period")) for point in series["points"]]
            assert periods == sorted(set(periods))
            assert all(point == empty for point in series["points"])
    older, newer = (shown["wip"][side]["points"] for side in ("comparison", "primary"))
    assert abs(len(older) - len(newer)) <= 1


async def test_the_dashboard_has_its_shape_and_defaults_to_a_day(
    dana: Client, alice: Client
) -> None:
    """3.13."""
    shown = await load_dashboard(dana)
    assert shown.keys() == {"range", "generated_at", "kpis", *SERIES, "pending_approvals"}
    assert shown["range"] == "24h"
    assert shown["kpis"] == {
        "active_agents": 0,
        "tasks_in_progress": 0,
        "inbox_tasks": 0,
        "in_progress_tasks": 0,
        "review_tasks": 0,
        "done_tasks": 0,
        "error_rate_pct": 0.0,
        "median_cycle_time_hours_7d": None,
    }
    assert shown["pending_approvals"] == {"total": 0, "items": []}
    assert (await load_dashboard(alice))["kpis"]["active_agents"] == 4
    for wrong in ("?range_key=2h", "?range_key=", "?board_id=x", "?group_id=x"):
        assert (await alice.get(PATH + wrong)).status_code == 422


async def test_done_tasks_appear_in_their_bucket(
    alice: Client, worker: Client, world: World
) -> None:
    """Point 40. C2 and C13, fixed: done tasks are counted and timed in the bucket of their end."""
    tasks = f"/boards/{world.board.id}/tasks"
    task = (await alice.post(tasks, json={"title": "Write"})).json()
    for status in ("in_progress", "done"):
        await worker.patch(f"{tasks}/{task['id']}", json={"status": status})
    shown = await load_dashboard(alice)
    assert shown["throughput"]["primary"]["points"][-1]["value"] == 1
    assert 0 < shown["cycle_time"]["primary"]["points"][-1]["value"] < 0.1
    assert shown["wip"]["primary"]["points"][-1]["done"] == 1
    assert shown["wip"]["comparison"]["points"][-1]["done"] == 0
    assert 0 < shown["kpis"]["median_cycle_time_hours_7d"] < 0.1
    assert shown["kpis"]["done_tasks"] == 1
    await alice.patch(f"{tasks}/{task['id']}", json={"status": "inbox"})
    shown = await load_dashboard(alice)
    assert shown["throughput"]["primary"]["points"][-1]["value"] == 0
    assert shown["kpis"]["median_cycle_time_hours_7d"] is None


async def test_a_board_without_read_access_is_rejected(
    alice: Client, bob: Client, dana: Client, charlie: Client, world: World
) -> None:
    """Point 40. C14: with or without readable boards. Other organizations are not found (S24)."""
    garden, launch, foreign = world.garden.id, world.board.id, world.charlies_board.id
    for client, board_id, status in [
        (alice, garden, 200),
        (bob, launch, 200),
        (bob, garden, 403),
        (dana, launch, 403),
        (dana, foreign, 404),
        (alice, foreign, 404),
        (charlie, launch, 404),
        (alice, new_id(), 404),
    ]:
        response = await client.get(PATH, params={"board_id": str(board_id)})
        assert response.status_code == status, (response.request, response.text)
    for group_id in (new_id(), new_id()):
        shown = await load_dashboard(alice, group_id=str(group_id))
        assert shown["kpis"]["active_agents"] == 0


async def test_agents_and_anonymous_callers_get_no_dashboard(
    worker: Client, anonymous: Client
) -> None:
    """Section 2: for users."""
    for client in (worker, anonymous):
        assert (await client.get(PATH)).status_code == 401


async def test_the_ten_newest_pending_approvals_are_listed(
    alice: Client, bob: Client, dana: Client, world: World, transaction: TransactionFactory
) -> None:
    """Point 40."""
    async with transaction() as session:
        board = await session.get_one(Board, world.board.id)
        task = make_task(board, "Ship it")
        session.add(task)
        for number in range(12):
            rows = world.make_approval(*([task] if number == 11 else []), action_type=f"{number}")
            rows[0].board = board
            session.add_all(rows)
        rows = world.make_approval(action_type="decided", status="approved")
        rows[0].board = board
        session.add_all(rows)
    for client in (alice, bob):
        waiting = (await load_dashboard(client))["pending_approvals"]
        assert waiting["total"] == 12
        assert [one["action_type"] for one in waiting["items"]] == [
            str(n) for n in range(11, 1, -1)
        ]
        newest = waiting["items"][0]
        assert newest == {
            "approval_id": newest["approval_id"],
            "board_id": str(world.board.id),
            "board_name": "Launch",
            "action_type": "11",
            "confidence": 90.0,
            "created_at": newest["created_at"],
            "task_title": "Ship it",
        }
        assert waiting["items"][1]["task_title"] is None
    assert (await load_dashboard(dana))["pending_approvals"]["total"] == 0
