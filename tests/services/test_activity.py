"""What happened, for those who may know of it."""

from typing import Any

import pytest
from sqlalchemy.ext.asyncio import AsyncSession

from kit.errors import Forbidden, NotFound
from kit.paging import Paging
from models import ApprovalStatus, Event, EventType, Role
from services import activity, approvals, boards, tasks
from services.activity import ActivityFilters
from services.activity.sentences import SENTENCES, sentence
from tests.world import World

ALL = Paging()


def test_every_kind_of_event_has_a_sentence() -> None:
    assert set(SENTENCES) == set(EventType)


def test_who_is_not_named_is_left_out_of_the_sentence() -> None:
    gone = Event(type=EventType.MEMBER_REMOVED, data={})
    assert sentence(gone) == "Member removed"
    gone.data = {"name": "Bob"}
    assert sentence(gone) == "Member removed: Bob"


async def happen(session: AsyncSession, world: World) -> None:
    """Let something happen on Launch, and something on Garden."""
    for actor, board_id in [(world.worker, world.board.id), (world.gardener, world.garden.id)]:
        board = await boards.hold(session, world.alice, board_id)
        draft = tasks.TaskDraft(title=f"A task on {board.name}")
        made = await tasks.create(session, world.alice, board, draft)
        await tasks.comment(session, actor, board, made.task.id, f"Said on {board.name}")


async def test_people_see_what_happened_on_the_boards_they_read(session, world) -> None:
    await happen(session, world)
    for member, expected in [
        (world.alices, {"Launch", "Garden"}),
        (world.bobs, {"Launch"}),
        (world.danas, set()),
        (world.charlies, set()),
    ]:
        page = await activity.for_member(session, member, ALL)
        assert {entry.board_name for entry in page.items} == expected
        said = await activity.comment_feed(session, member, ALL)
        assert {entry.board.name for entry in said.items} == expected


async def test_an_agent_sees_its_own_deeds_alone(session, world) -> None:
    await happen(session, world)
    page = await activity.for_agent(session, world.worker, ALL)
    assert [entry.message for entry in page.items] == ["Said on Launch"]
    assert (await activity.for_agent(session, world.charlies_worker, ALL)).items == []


async def test_the_newest_comes_first_and_names_are_told(session, world) -> None:
    await happen(session, world)
    newest, older, *_ = (await activity.for_member(session, world.alices, ALL)).items
    assert newest.message == "Said on Garden"
    assert (newest.actor_name, newest.board_name) == ("Gardener", "Garden")
    assert newest.route_name == "board"
    assert newest.route_params["commentId"] == str(newest.event.id)
    assert older.message == "Task created: A task on Garden"
    assert (older.actor_name, older.task_title) == ("Alice", "A task on Garden")


async def test_filters_add_up(session, world) -> None:
    await happen(session, world)

    async def kinds(**filters: Any) -> list[str]:
        page = await activity.for_member(session, world.alices, ALL, ActivityFilters(**filters))
        return [entry.event.type for entry in page.items]

    everything = ["task.comment", "task.created", "task.comment", "task.created"]
    assert await kinds() == everything
    assert await kinds(kinds=["task"], board_id=world.board.id) == everything[:2]
    assert await kinds(kinds=["approval"]) == []
    assert await kinds(agent_id=world.worker.id) == ["task.comment"]
    first = (await activity.for_member(session, world.alices, ALL)).items[0]
    assert await kinds(before=first.event.seq) == everything[1:]


async def test_nobody_reads_the_feed_of_a_board_that_is_not_theirs(session, world) -> None:
    for member, board, refusal in [
        (world.charlies, world.board, NotFound),
        (world.bobs, world.garden, Forbidden),
    ]:
        for ask in (
            activity.for_member(session, member, ALL, ActivityFilters(board_id=board.id)),
            activity.comment_feed(session, member, ALL, board_id=board.id),
        ):
            with pytest.raises(refusal):
                await ask


async def test_a_role_by_itself_opens_no_feed(session, world) -> None:
    await happen(session, world)
    assert world.danas.role is Role.ADMIN
    assert (await activity.for_member(session, world.danas, ALL)).total == 0


async def test_an_answer_that_can_be_taken_back_is_in_nobodys_feed(session, world) -> None:
    [asked] = world.approval(agent_id=world.worker.id)
    session.add(asked)
    await session.flush()
    for undo in (True, False):
        await approvals.answer(
            session, world.alice, asked.id, status=ApprovalStatus.APPROVED, undo_seconds=8
        )
        if undo:
            await approvals.undo(session, world.bob, asked.id)
    for filters in (ActivityFilters(), ActivityFilters(kinds=["approval"])):
        page = await activity.for_member(session, world.alices, ALL, filters)
        assert (page.items, page.total) == ([], 0)
    await approvals.reopen(session, world.alice, asked.id)
    await approvals.answer(
        session, world.alice, asked.id, status=ApprovalStatus.APPROVED, undo_seconds=0
    )
    [entry] = (await activity.for_member(session, world.alices, ALL)).items
    assert entry.event.type is EventType.APPROVAL_APPROVED
    assert entry.route_name == "board.approvals"
