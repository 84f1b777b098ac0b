"""Moves of cards on a board page, and why one is rejected."""

import re

import pytest
from sqlalchemy import select

from core.clock import now
from models import (
    Status,
    Task,
    TaskDependency,
)
from tests.support.board_pages import HTMX, column, keep


async def test_a_moved_card_is_shown_in_its_new_column(alice, board_path, task) -> None:
    response = await alice.post(
        f"{board_path}/tasks/{task.id}/moves", data={"to": "review"}, headers=HTMX
    )

    assert response.status_code == 200
    assert "<html" not in response.text
    assert str(task.id) in column(response.text, "review")
    assert "Moved to Review" in response.text
    assert f"{board_path}/tasks/{task.id}/moves" in response.text.split("data-toast")[1]


async def test_without_htmx_a_move_redirects_to_the_board(alice, board_path, task) -> None:
    response = await alice.post(
        f"{board_path}/tasks/{task.id}/moves?view=list", data={"to": "review"}
    )

    assert response.status_code == 303
    assert response.headers["Location"] == f"{board_path}?view=list"


async def test_undoing_a_move_restores_the_assignee(alice, board_path, transaction, world) -> None:
    task = world.make_task("Held", status=Status.IN_PROGRESS, assigned_agent_id=world.worker.id)
    await keep(transaction, task)
    moves = f"{board_path}/tasks/{task.id}/moves"

    moved = await alice.post(moves, data={"to": "inbox"}, headers=HTMX)
    toast = moved.text.split("data-toast")[1]
    undo = dict(re.findall(r'name="(\w+)" value="([^"]*)"', toast))
    await alice.post(moves, data=undo, headers=HTMX)

    async with transaction() as session:
        stored = await session.get_one(Task, task.id, populate_existing=True)
        assert stored.status is Status.IN_PROGRESS
        assert stored.assigned_agent_id == world.worker.id


async def test_a_card_is_dropped_between_others_and_put_back(
    alice, board_path, transaction, world, task
) -> None:
    for title in ("Last", "First"):
        await keep(transaction, world.make_task(title))
    async with transaction() as session:
        last = (await session.scalars(select(Task).where(Task.title == "Last"))).one()
    moves = f"{board_path}/tasks/{task.id}/moves"
    dropped = await alice.post(moves, data={"to": "inbox", "before": str(last.id)}, headers=HTMX)
    titles = re.findall(r'/tasks/[^"]*" data-in-drawer>([^<]*)<', column(dropped.text, "inbox"))
    assert [titles[0], titles[2]] == ["First", "Last"]
    ordered = await alice.post(moves, data={"to": "inbox", "after": str(last.id)}, headers=HTMX)
    assert "data-toast" not in ordered.text
    inbox = column(ordered.text, "inbox")
    assert inbox.index("First") < inbox.index("Last") < inbox.index("Write the")

    moved = await alice.post(
        f"{board_path}/tasks/{last.id}/moves", data={"to": "review"}, headers=HTMX
    )
    undo = dict(re.findall(r'name="(\w+)" value="([^"]*)"', moved.text.split("data-toast")[1]))
    back = await alice.post(f"{board_path}/tasks/{last.id}/moves", data=undo, headers=HTMX)
    inbox = column(back.text, "inbox")
    assert inbox.index("First") < inbox.index("Last") < inbox.index("Write the")


@pytest.mark.parametrize("headers", [{}, HTMX])
async def test_a_rejected_move_is_explained_on_the_card(
    alice, board_path, transaction, world, task, headers
) -> None:
    world.board.require_review_before_done = True
    async with transaction() as session:
        await session.merge(world.board)

    response = await alice.post(
        f"{board_path}/tasks/{task.id}/moves", data={"to": "done"}, headers=headers
    )

    assert response.status_code == 409
    card = response.text.split(f'id="task-{task.id}"')[1].split("</li>")[0]
    assert "Needs a review before Done" in card
    assert "Move to Review" in card
    assert ("<html" in response.text) == (not headers)


async def test_a_card_names_the_approval_or_comment_that_a_move_needs(
    alice, board_path, transaction, world, task
) -> None:
    world.board.block_status_changes_with_pending_approval = True
    world.board.comment_required_for_review = True
    rows = world.make_approval(task)
    async with transaction() as session:
        await session.merge(world.board)

    async def move() -> str:
        response = await alice.post(
            f"{board_path}/tasks/{task.id}/moves", data={"to": "review"}, headers=HTMX
        )
        assert response.status_code in (409, 422)
        return response.text.split(f'id="task-{task.id}"')[1].split("</li>")[0]

    card = await move()
    assert "Needs a comment before Review" in card
    assert f'href="{board_path}/tasks/{task.id}#comment">Write a comment</a>' in card
    await keep(transaction, *rows)
    card = await move()
    assert "Locked while an approval is pending" in card
    assert f'href="/approvals/{rows[0].id}">Decide</a>' in card


async def test_a_rejected_move_is_still_shown_after_a_reload(
    alice, board_path, transaction, world, task
) -> None:
    world.board.require_review_before_done = True
    async with transaction() as session:
        await session.merge(world.board)
    moves = f"{board_path}/tasks/{task.id}/moves"

    refused = await alice.post(moves, data={"to": "done"}, headers=HTMX)
    [part] = re.findall(r'hx-get="([^"]*columns[^"]*)"', refused.text)
    again = await alice.get(part.replace("&amp;", "&"), headers=HTMX)
    assert "Needs a review before Done" in again.text

    await alice.post(moves, data={"to": "review"}, headers=HTMX)
    again = await alice.get(part.replace("&amp;", "&"), headers=HTMX)
    assert "Needs a review before Done" not in again.text


async def test_a_blocked_card_cannot_be_dragged_and_names_its_blockers(
    alice, board_path, transaction, world
) -> None:
    first, second = world.make_task("First thing"), world.make_task("Second thing")
    waits = TaskDependency(board_id=world.board.id, task=second, depends_on=first, created_at=now())
    await keep(transaction, first, second, waits)

    response = await alice.post(
        f"{board_path}/tasks/{second.id}/moves", data={"to": "in_progress"}, headers=HTMX
    )

    card = response.text.split(f'id="task-{second.id}"')[1].split("</li>")[0]
    assert response.status_code == 409
    assert "data-movable" not in card.split(">")[0]
    assert "First thing" in card


async def test_requesting_the_approval_marks_the_card_as_pending(alice, board_path, task) -> None:
    response = await alice.post(f"{board_path}/tasks/{task.id}/questions", headers=HTMX)

    assert re.search(r'class="flag".*?Needs you', response.text)
    assert "Complete the task “Write the" in (await alice.get("/approvals")).text


async def test_too_many_requests_of_a_user_are_explained_in_their_language(
    alice, board_path, task, transaction, world
) -> None:
    pending = [world.make_approval(requested_by_user_id=world.alice.id) for _ in range(20)]
    await keep(transaction, *(row for rows in pending for row in rows))
    german = {**HTMX, "Accept-Language": "de"}
    response = await alice.post(f"{board_path}/tasks/{task.id}/questions", headers=german)
    assert response.status_code == 429
    assert "Zu viele Ihrer Anfragen sind offen" in response.text


async def test_an_unknown_column_is_rejected(alice, board_path, task) -> None:
    response = await alice.post(
        f"{board_path}/tasks/{task.id}/moves", data={"to": "x"}, headers=HTMX
    )

    assert response.status_code == 422
    assert response.headers["HX-Retarget"] == "#toasts"
