"""Activity feeds and the wording of events."""

from dataclasses import replace
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import insert, select, text
from sqlalchemy.dialects import postgresql
from sqlalchemy.ext.asyncio import AsyncSession

from core.clock import now
from core.errors import Forbidden, NotFound
from core.paging import Paging
from models import ApprovalStatus, Board, BoardGroup, Event, EventType, Role, new_id
from services import activity, approvals, boards, tasks
from services.activity import ActivityFilters
from services.events import describe_event, select_deleted_agent_name
from tests.support.world import World

ALL = Paging()


def test_missing_name_is_left_out_of_the_sentence() -> None:
    removed = Event(type=EventType.MEMBER_REMOVED, data={})
    assert describe_event(removed) == "Member removed"
    removed.data = {"name": "Bob"}
    assert describe_event(removed) == "Member removed: Bob"


async def record_activity(session: AsyncSession, world: World) -> None:
    """Record a task and a comment on Launch and on Garden."""
    for actor, board_id in [(world.worker, world.board.id), (world.gardener, world.garden.id)]:
        board = await boards.lock_board(session, world.alice, board_id)
        draft = tasks.TaskCreate(title=f"A task on {board.name}")
        created = await tasks.create_task(session, world.alice, board, draft)
        await tasks.create_comment(session, actor, board, created.task.id, f"Said on {board.name}")


async def test_member_feed_contains_events_of_readable_boards(session, world) -> None:
    await record_activity(session, world)
    for member, expected in [
        (world.alice_member, {"Launch", "Garden"}),
        (world.bob_member, {"Launch"}),
        (world.dana_member, set()),
        (world.charlie_member, set()),
    ]:
        page = await activity.list_member_activity(session, member, ALL)
        assert {entry.board_name for entry in page.items} == expected
        comments = await activity.list_comment_entries(session, member, ALL)
        assert {entry.board.name for entry in comments.items} == expected


async def test_agent_feed_contains_own_events_only(session, world) -> None:
    await record_activity(session, world)
    page = await activity.list_agent_activity(session, world.worker, ALL)
    assert [entry.message for entry in page.items] == ["Said on Launch"]
    assert (await activity.list_agent_activity(session, world.charlies_worker, ALL)).items == []


async def test_newest_entry_comes_first_with_names(session, world) -> None:
    await record_activity(session, world)
    newest, older, *_ = (
        await activity.list_member_activity(session, world.alice_member, ALL)
    ).items
    assert newest.message == "Said on Garden"
    assert (newest.actor_name, newest.board_name) == ("Gardener", "Garden")
    assert newest.route_name == "board"
    assert newest.route_params["commentId"] == str(newest.event.id)
    assert older.message == "Task created: A task on Garden"
    assert older.actor_name == "Alice"
    assert older.event.data["title"] == "A task on Garden"


async def test_all_given_filters_apply(session, world) -> None:
    await record_activity(session, world)

    async def kinds(**filters: Any) -> list[str]:
        page = await activity.list_member_activity(
            session, world.alice_member, ALL, ActivityFilters(**filters)
        )
        return [entry.event.type for entry in page.items]

    all_types = ["task.comment", "task.created", "task.comment", "task.created"]
    assert await kinds() == all_types
    assert await kinds(kinds=["task"], board_id=world.board.id) == all_types[:2]
    assert await kinds(kinds=["approval"]) == []
    assert await kinds(agent_id=world.worker.id) == ["task.comment"]
    first = (await activity.list_member_activity(session, world.alice_member, ALL)).items[0]
    assert await kinds(before=first.event.seq) == all_types[1:]


async def test_feed_of_unreadable_board_is_rejected(session, world) -> None:
    for member, board, error in [
        (world.charlie_member, world.board, NotFound),
        (world.bob_member, world.garden, Forbidden),
    ]:
        for request in (
            activity.list_member_activity(session, member, ALL, ActivityFilters(board_id=board.id)),
            activity.list_comment_entries(session, member, ALL, board_id=board.id),
        ):
            with pytest.raises(error):
                await request


async def test_admin_role_alone_gives_no_access_to_feeds(session, world) -> None:
    await record_activity(session, world)
    assert world.dana_member.role is Role.ADMIN
    assert (await activity.list_member_activity(session, world.dana_member, ALL)).total == 0


async def test_undoable_decision_is_in_no_feed(session, world) -> None:
    [approval] = world.make_approval(agent_id=world.worker.id)
    session.add(approval)
    await session.flush()
    for undo in (True, False):
        await approvals.decide_with_undo(
            session, world.alice, approval.id, status=ApprovalStatus.APPROVED, undo_seconds=8
        )
        if undo:
            await approvals.undo_decision(session, world.bob, approval.id)
    for filters in (ActivityFilters(), ActivityFilters(kinds=["approval"])):
        page = await activity.list_member_activity(session, world.alice_member, ALL, filters)
        assert (page.items, page.total) == ([], 0)
    await approvals.decide_with_undo(
        session, world.alice, approval.id, status=ApprovalStatus.APPROVED, undo_seconds=0
    )
    [entry] = (await activity.list_member_activity(session, world.alice_member, ALL)).items
    assert entry.event.type is EventType.APPROVAL_APPROVED
    assert entry.route_name == "board.approvals"


async def test_a_feed_of_a_group_contains_its_readable_boards_only(session, world) -> None:
    await record_activity(session, world)
    group = BoardGroup(
        id=new_id(), organization_id=world.tern.id, name="G", slug="g", created_at=now(),
        updated_at=now(),
    )  # fmt: skip
    session.add(group)
    await session.flush()
    (await session.get_one(Board, world.garden.id)).board_group_id = group.id
    filters = ActivityFilters(group_id=group.id)
    page = await activity.list_member_activity(session, world.alice_member, ALL, filters)
    assert {entry.board_name for entry in page.items} == {"Garden"}
    assert page.total == len(page.items) == 2
    created = replace(filters, kinds=["task.created"])
    page = await activity.list_member_activity(session, world.alice_member, ALL, created)
    assert page.total == len(page.items) == 1
    with pytest.raises(Forbidden):
        await activity.list_member_activity(session, world.bob_member, ALL, filters)
    with pytest.raises(NotFound):
        await activity.list_member_activity(session, world.charlie_member, ALL, filters)


async def record_events(session: AsyncSession, world: World, type: EventType, ids: Any) -> None:
    """Record an event of each of these agents."""
    shared = {"type": type, "organization_id": world.board.organization_id, "created_at": now()}
    rows = [{"id": new_id(), "agent_id": id, "data": {"name": "Gone"}} for id in ids]
    await session.execute(insert(Event), [{**shared, **row} for row in rows])


async def load_names(session: AsyncSession, agent_ids: list[UUID]) -> tuple[set[str | None], int]:
    """Return the names of deleted agents for a list, and the number of rows read in vain."""
    names = select(select_deleted_agent_name(Event.agent_id)).where(
        Event.agent_id.in_(agent_ids), Event.type == EventType.TASK_UPDATED
    )
    statement = names.compile(dialect=postgresql.dialect(), compile_kwargs={"literal_binds": True})
    [plan] = await session.scalar(text(f"EXPLAIN (ANALYZE, FORMAT JSON) {statement}"))
    return set(await session.scalars(names)), _count_skipped_rows(plan["Plan"])


async def test_name_of_a_deleted_agent_is_found_without_other_deletions(session, world) -> None:
    """A list would otherwise read the deletions of all agents for each of its rows."""
    agent_ids = [new_id() for _ in range(500)]
    await record_events(session, world, EventType.TASK_UPDATED, agent_ids)
    await session.execute(text("ANALYZE activity_events"))  # before there are deletions
    await record_events(session, world, EventType.AGENT_DELETED, agent_ids)
    names, skipped = await load_names(session, agent_ids)
    assert names == {"Gone"}
    assert skipped < 5_000


async def test_events_of_an_agent_without_a_deletion_are_not_searched(session, world) -> None:
    """An existing agent has none, and may have many events."""
    agent_id = new_id()
    await record_events(session, world, EventType.TASK_UPDATED, [agent_id] * 500)
    await session.execute(text("ANALYZE activity_events"))
    names, skipped = await load_names(session, [agent_id])
    assert names == {None}
    assert skipped < 5_000


def _count_skipped_rows(node: dict[str, Any]) -> int:
    """Count the rows that the nodes of a plan have read in vain."""
    skipped = node.get("Rows Removed by Filter", 0) * node["Actual Loops"]
    return skipped + sum(map(_count_skipped_rows, node.get("Plans", [])))
