"""A task in the drawer and as a page: what it shows, comments, removal, and readers."""

import pytest

from core.clock import now
from models import Comment
from tests.support.approval_pages import approving
from tests.support.board_pages import keep
from tests.support.statement_counter import count_all_statements
from tests.support.task_pages import HTMX, IN_DRAWER, IN_PAGE, stored, task, task_path

__all__ = ["task", "task_path"]


async def test_a_task_has_a_page_and_a_drawer_at_one_address(alice, task_path) -> None:
    page = await alice.get(task_path)
    drawer = await alice.get(task_path, headers={**HTMX, "HX-Target": "div#drawer"})

    assert "<html" in page.text
    assert "<html" not in drawer.text
    assert '<aside class="drawer" id="drawer"' in drawer.text
    varies = drawer.headers["Vary"].split(", ")
    assert "HX-Request" in varies  # otherwise the back button would show only the part
    assert page.headers["Vary"] == drawer.headers["Vary"]
    for shown in (page.text, drawer.text):
        assert "Write the &lt;script&gt;" in shown
        assert "<strong>bold</strong>" in shown
        assert "<script>alert" not in shown


async def test_the_page_needs_few_statements(alice, task_path) -> None:
    await alice.get(task_path)  # the first view is recorded
    with count_all_statements() as statements:
        await alice.get(task_path)
    assert len(statements) <= 10, statements  # one searches the other columns


async def test_the_page_reloads_its_own_part(alice, task_path) -> None:
    part = (await alice.get(task_path, headers=IN_PAGE)).text

    assert "<html" not in part
    assert 'id="task"' in part


async def test_the_link_to_the_board_keeps_its_filters(alice, task_path, world) -> None:
    page = (await alice.get(f"{task_path}?view=list&q=write")).text

    assert f"/boards/{world.board.id}?view=list&amp;q=write" in page


async def test_a_comment_appears_in_the_conversation(alice, task_path) -> None:
    form = {"message": "Hello @lead, **look** <script>alert(3)</script>"}

    answer = await alice.post(f"{task_path}/comments", data=form, headers=HTMX)

    assert 'id="conversation"' in answer.text
    assert '<span class="mention">@lead</span>' in answer.text
    assert "<script>alert" not in answer.text
    plain = await alice.post(f"{task_path}/comments", data={"message": "Again"})
    assert plain.status_code == 303
    assert plain.headers["Location"] == f"{task_path}#conversation"


@pytest.mark.parametrize("headers", [{}, IN_DRAWER])
async def test_a_comment_that_is_too_long_stays_in_the_form(alice, task_path, headers) -> None:
    typed = "Far too long. " + "x" * 100_000

    refused = await alice.post(f"{task_path}/comments", data={"message": typed}, headers=headers)

    assert refused.status_code == 422
    composer = refused.text.split('id="edit-comment"')[1].split("</form>")[0]
    assert "Far too long." in composer
    assert "too long" in composer
    if headers:
        assert refused.headers["HX-Retarget"] == "#edit-comment"


async def test_the_conversation_shows_the_history(alice, task_path, world) -> None:
    await alice.post(f"{task_path}/changes", data={"status": "in_progress"})
    await alice.post(f"{task_path}/changes", data={"assignee": str(world.worker.id)})
    await alice.post(f"{task_path}/changes", data={"priority": "high"})
    await alice.post(f"{task_path}/comments", data={"message": "Only words"})

    everything = (await alice.get(f"{task_path}/conversation", headers=HTMX)).text
    only_comments = (await alice.get(f"{task_path}/conversation?show=comments", headers=HTMX)).text

    for words in (
        "moved this task to In progress",
        "assigned this task to Worker",
        "priority to High",
    ):
        assert words in everything
        assert words not in only_comments
    assert "Only words" in only_comments


async def test_an_approval_of_the_task_is_shown_on_it(
    alice, task_path, transaction, world, task
) -> None:
    [approval, *links] = world.make_approval(
        task, payload={"title": "Ship it", "reason": "Tested."}
    )
    await keep(transaction, approval, *links)

    drawer = (await alice.get(task_path, headers=IN_DRAWER)).text
    assert "Complete the task “Write the &lt;script&gt;" in drawer
    answered = await alice.post(
        f"/approvals/{approval.id}/answers",
        data=approving(approval),
        headers={**HTMX, "HX-Target": f"section#ask-{approval.id}"},
    )
    assert "<b>You approved</b>" in answered.text
    assert f"/approvals/{approval.id}/undoings" in answered.text
    conversation = (await alice.get(f"{task_path}/conversation", headers=HTMX)).text
    assert "No history yet." in conversation  # while the decision can be undone


async def test_a_deleted_task_can_be_restored(alice, task_path, transaction, world, task) -> None:
    await keep(
        transaction,
        Comment(board_id=world.board.id, task=task, message="Keep me", created_at=now()),
    )

    gone = await alice.post(f"{task_path}/deletions", headers={**HTMX, "HX-Target": "aside#drawer"})
    assert '<div id="drawer" hidden></div>' in gone.text
    assert gone.headers["HX-Push-Url"] == f"/boards/{world.board.id}"
    assert f"{task_path}/restorations" in gone.text
    assert (await alice.get(task_path)).status_code == 404

    back = await alice.post(f"{task_path}/restorations", headers=HTMX)
    assert "Restored “" in back.text
    assert "Keep me" in (await alice.get(task_path)).text


async def test_without_htmx_a_deleted_task_can_be_restored(alice, task_path, world, task) -> None:
    gone = await alice.post(f"{task_path}/deletions")
    board = await alice.get(gone.headers["Location"])
    assert f'action="{task_path}/restorations"' in board.text
    await alice.post(f"{task_path}/restorations")
    assert (await alice.get(task_path)).status_code == 200


async def test_readers_see_no_forms_and_the_reason(rita, task_path) -> None:
    page = (await rita.get(task_path)).text
    assert "You can read this board but not change it." in page

    assert "Write the &lt;script&gt;" in page
    for path in ("/changes", "/comments", "/deletions"):
        assert f'action="{task_path}{path}' not in page


WAYS = [
    ("changes", {"priority": "high"}),
    ("comments", {"message": "x"}),
    ("deletions", {}),
    ("restorations", {}),
]


@pytest.mark.parametrize(("way", "sent"), WAYS)
async def test_readers_cannot_change_a_task(rita, task_path, transaction, task, way, sent) -> None:
    assert (await rita.post(f"{task_path}/{way}", data=sent)).status_code == 403
    assert (await stored(transaction, task)).version == task.version


async def test_a_task_is_not_found_on_another_board(alice, world, task) -> None:
    assert (await alice.get(f"/boards/{world.garden.id}/tasks/{task.id}")).status_code == 404
