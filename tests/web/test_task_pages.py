"""A task in the drawer and as a page, and its actions."""

import re

import pytest

from core.clock import now
from core.db.engine import TransactionFactory
from models import Comment, Status, Tag, Task, TaskDependency, new_id
from services import boards, tasks
from tests.support.board_pages import keep
from tests.support.world import World

HTMX = {"HX-Request": "true", "HX-Request-Type": "partial"}
IN_DRAWER = {**HTMX, "HX-Target": "aside#drawer"}
IN_PAGE = {**HTMX, "HX-Target": "div#task"}


@pytest.fixture
async def task(transaction: TransactionFactory, world: World) -> Task:
    task = world.make_task(
        "Write the <script>alert(1)</script>", description="Be **bold** <script>alert(2)</script>"
    )
    await keep(transaction, task)
    return task


@pytest.fixture
def task_path(world: World, task: Task) -> str:
    return f"/boards/{world.board.id}/tasks/{task.id}"


async def stored(transaction: TransactionFactory, task: Task) -> Task:
    async with transaction() as session:
        return await session.get_one(Task, task.id, populate_existing=True)


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


async def test_the_page_reloads_its_own_part(alice, task_path) -> None:
    part = (await alice.get(task_path, headers=IN_PAGE)).text

    assert "<html" not in part
    assert 'id="task"' in part


async def test_the_link_to_the_board_keeps_its_filters(alice, task_path, world) -> None:
    page = (await alice.get(f"{task_path}?view=list&q=write")).text

    assert f"/boards/{world.board.id}?view=list&amp;q=write" in page


@pytest.mark.parametrize(
    ("sent", "field", "value"),
    [
        ({"priority": "high"}, "priority", "high"),
        ({"status": "review"}, "status", Status.REVIEW),
        ({"title": "Renamed", "description": ""}, "title", "Renamed"),
        ({"title": "Renamed", "description": ""}, "description", None),
    ],
)
async def test_submitted_fields_are_updated(
    alice, task_path, transaction, task, sent, field, value
) -> None:
    response = await alice.post(f"{task_path}/changes", data=sent, headers=IN_DRAWER)

    assert response.status_code == 200
    assert 'id="drawer"' in response.text
    assert getattr(await stored(transaction, task), field) == value


async def test_without_htmx_an_update_redirects_to_the_task(alice, task_path) -> None:
    response = await alice.post(f"{task_path}/changes?view=list", data={"priority": "low"})

    assert response.status_code == 303
    assert response.headers["Location"] == f"{task_path}?view=list"


async def test_a_due_date_is_the_end_of_the_users_day(
    alice, task_path, transaction, task, world
) -> None:
    world.alice.timezone = "America/New_York"
    async with transaction() as session:
        await session.merge(world.alice)

    page = await alice.post(
        f"{task_path}/changes", data={"due_at": "2030-01-15"}, headers=IN_DRAWER
    )

    due = (await stored(transaction, task)).due_at
    assert due is not None
    assert due.isoformat() == "2030-01-16T04:59:00+00:00"
    assert 'value="2030-01-15"' in page.text
    await alice.post(f"{task_path}/changes", data={"due_at": ""}, headers=IN_DRAWER)
    assert (await stored(transaction, task)).due_at is None


async def test_an_assignee_is_set_and_removed(alice, task_path, transaction, task, world) -> None:
    await alice.post(f"{task_path}/changes", data={"assignee": str(world.worker.id)})
    assert (await stored(transaction, task)).assigned_agent_id == world.worker.id
    await alice.post(f"{task_path}/changes", data={"assignee": ""})
    assert (await stored(transaction, task)).assigned_agent_id is None


async def test_tags_are_added_and_removed(alice, task_path, transaction, world) -> None:
    tag = Tag(
        organization_id=world.tern.id, name="docs", slug="docs", created_at=now(), updated_at=now()
    )
    await keep(transaction, tag)

    ticked = await alice.post(
        f"{task_path}/changes", data={"tag_ids": ["", str(tag.id)]}, headers=IN_DRAWER
    )
    assert f'value="{tag.id}" checked' in ticked.text
    none = await alice.post(f"{task_path}/changes", data={"tag_ids": ""}, headers=IN_DRAWER)
    assert f'value="{tag.id}" checked' not in none.text


async def test_dependencies_are_added_and_removed(
    alice, task_path, transaction, world, task
) -> None:
    first, second = world.make_task("First"), world.make_task("Second")
    await keep(transaction, first, second)

    await alice.post(f"{task_path}/changes", data={"add": str(first.id)})
    both = await alice.post(f"{task_path}/changes", data={"add": str(second.id)}, headers=IN_DRAWER)
    assert f'id="dependency-{first.id}"' in both.text
    assert f'id="dependency-{second.id}"' in both.text

    one = await alice.post(f"{task_path}/changes", data={"take": str(first.id)}, headers=IN_DRAWER)
    assert f'id="dependency-{first.id}"' not in one.text
    assert f'id="dependency-{second.id}"' in one.text

    other = (await alice.get(f"/boards/{world.board.id}/tasks/{second.id}")).text
    assert "depends on this" in other


async def test_a_task_without_possible_dependencies_says_so(
    alice, task_path, transaction, world
) -> None:
    def extract_dependencies(page: str) -> str:
        return page.split('id="task-dependencies"')[1].split("</section>")[0]

    assert "No dependencies." in extract_dependencies((await alice.get(task_path)).text)
    await keep(transaction, world.make_task("Another"))
    page = extract_dependencies((await alice.get(task_path)).text)
    assert "Add dependency" in page
    assert "No dependencies." not in page


async def test_a_dependency_cycle_shows_an_error_beside_the_field(
    alice, task_path, transaction, world, task
) -> None:
    other = world.make_task("Other")
    waits = TaskDependency(board_id=world.board.id, task=other, depends_on=task, created_at=now())
    await keep(transaction, other, waits)

    refused = await alice.post(
        f"{task_path}/changes", data={"add": str(other.id)}, headers=IN_DRAWER
    )

    assert refused.status_code == 409
    assert "depend on each other in a circle" in refused.text.split("task-dependencies")[1]


@pytest.mark.parametrize("headers", [{}, IN_DRAWER, IN_PAGE])
@pytest.mark.parametrize(
    ("sent", "words", "editor"),
    [
        ({"title": " "}, "Fill this in.", "title"),
        ({"title": "x" * 501}, "too long", "title"),
        ({"description": "Kept <b>text</b>\0"}, "cannot be stored", "text"),
        ({"due_at": "soon"}, "Write a date like", "due"),
        ({"due_at": "0001-01-01"}, "year", "due"),
    ],
)
async def test_an_invalid_update_opens_the_editor_with_the_submitted_value(
    alice, task_path, transaction, task, headers, sent, words, editor
) -> None:
    refused = await alice.post(f"{task_path}/changes", data=sent, headers=headers)

    assert refused.status_code == 422
    assert words in refused.text
    if "description" in sent:
        assert "Kept &lt;b&gt;text" in refused.text
    opened = refused.text.split(f'id="edit-{editor}"')[1].split(">")[0]
    assert "open" in opened
    if headers:
        assert refused.headers["HX-Retarget"] == f"#edit-{editor}"
    assert (await stored(transaction, task)).version == task.version


async def test_a_rejected_status_shows_an_error_beside_the_status(
    alice, task_path, transaction, world, task
) -> None:
    world.board.require_review_before_done = True
    async with transaction() as session:
        await session.merge(world.board)

    refused = await alice.post(f"{task_path}/changes", data={"status": "done"}, headers=IN_DRAWER)

    assert refused.status_code == 409
    assert "a task is reviewed before it is done" in refused.text.split("task-props")[1]


async def test_the_required_approval_can_be_requested_on_the_task(
    alice, task_path, transaction, world
) -> None:
    world.board.require_approval_for_done = True
    async with transaction() as session:
        await session.merge(world.board)
    done = {"status": "done"}
    page = (await alice.post(f"{task_path}/changes", data=done)).text
    assert f'action="{task_path}/questions"' in page
    requested = await alice.post(f"{task_path}/questions", follow_redirects=True)
    assert "Complete the task “" in requested.text
    again = (await alice.post(f"{task_path}/changes", data=done)).text
    assert "One is pending for this task" in again
    assert f'action="{task_path}/questions"' not in again


async def test_an_unknown_agent_shows_an_error_beside_the_assignee(alice, task_path) -> None:
    refused = await alice.post(f"{task_path}/changes", data={"assignee": str(new_id())})

    assert refused.status_code == 404
    assert "There is no such agent." in refused.text


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
        data={"status": "approved"},
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
    restorations = f"/boards/{world.board.id}/restorations"
    assert f'action="{restorations}"' in board.text
    await alice.post(restorations, data={"ids": str(task.id)})
    assert (await alice.get(task_path)).status_code == 200


async def test_readers_see_no_forms_and_the_reason(rita, task_path) -> None:
    page = (await rita.get(task_path)).text
    assert "You can read this board but not comment on it." in page

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


@pytest.mark.parametrize(("way", "sent"), WAYS)
async def test_tasks_of_other_organizations_are_not_found(charlie, task_path, way, sent) -> None:
    assert (await charlie.get(task_path)).status_code == 404
    assert (await charlie.get(f"{task_path}/conversation")).status_code == 404
    assert (await charlie.post(f"{task_path}/{way}", data=sent)).status_code == 404


async def test_a_new_task_without_a_required_field_shows_the_error(
    alice, transaction, world
) -> None:
    await keep(transaction, *world.make_custom_field(required=True))
    response = await alice.post(f"/boards/{world.board.id}/tasks", data={"title": "Write"})

    assert response.status_code == 422
    assert re.search(r'name="field-[0-9a-f-]+"[^>]* aria-invalid="true"', response.text)
    assert "Fill this in." in response.text


async def test_a_custom_field_change_is_in_the_history(
    alice, transaction, world, task_path, task
) -> None:
    await keep(transaction, *world.make_custom_field())
    async with transaction() as session:
        board = await boards.lock_board(session, world.alice, world.board.id)
        changes = {"custom_field_values": {"size": "L"}}
        await tasks.update_task(session, world.alice, board, task.id, changes)

    assert "changed the field “Size”" in (await alice.get(task_path)).text


async def test_a_task_is_not_found_on_another_board(alice, world, task) -> None:
    assert (await alice.get(f"/boards/{world.garden.id}/tasks/{task.id}")).status_code == 404
