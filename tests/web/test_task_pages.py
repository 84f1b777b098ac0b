"""A task in the drawer and as a page, and what can be done with it there."""

import pytest

from kit.clock import now
from models import Comment, Status, Tag, Task, TaskDependency, new_id
from services import boards, tasks
from tests.conftest import Transaction
from tests.world import World

HTMX = {"HX-Request": "true", "HX-Request-Type": "partial"}
IN_DRAWER = {**HTMX, "HX-Target": "aside#drawer"}
IN_PAGE = {**HTMX, "HX-Target": "div#task"}


@pytest.fixture
async def task(transaction: Transaction, world: World) -> Task:
    task = world.task(
        "Write the <script>alert(1)</script>", description="Be **bold** <script>alert(2)</script>"
    )
    await keep(transaction, task)
    return task


@pytest.fixture
def here(world: World, task: Task) -> str:
    return f"/boards/{world.board.id}/tasks/{task.id}"


async def keep(transaction: Transaction, *rows: object) -> None:
    async with transaction() as session:
        session.add_all(rows)


async def stored(transaction: Transaction, task: Task) -> Task:
    async with transaction() as session:
        return await session.get_one(Task, task.id, populate_existing=True)


async def test_a_task_is_a_page_and_a_drawer_at_the_same_address(alice, here) -> None:
    page = await alice.get(here)
    drawer = await alice.get(here, headers={**HTMX, "HX-Target": "div#drawer"})

    assert "<html" in page.text
    assert "<html" not in drawer.text
    assert '<aside class="drawer" id="drawer"' in drawer.text
    assert drawer.headers["Cache-Control"] == "no-store"  # or going back would show it alone
    for shown in (page.text, drawer.text):
        assert "Write the &lt;script&gt;" in shown
        assert "<strong>bold</strong>" in shown
        assert "<script>alert" not in shown


async def test_the_page_asks_for_its_own_part(alice, here) -> None:
    part = (await alice.get(here, headers=IN_PAGE)).text

    assert "<html" not in part
    assert 'id="task"' in part


async def test_the_way_back_keeps_the_filters_of_the_board(alice, here, world) -> None:
    page = (await alice.get(f"{here}?view=list&q=write")).text

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
async def test_what_was_sent_is_changed(alice, here, transaction, task, sent, field, value) -> None:
    response = await alice.post(f"{here}/changes", data=sent, headers=IN_DRAWER)

    assert response.status_code == 200
    assert 'id="drawer"' in response.text
    assert getattr(await stored(transaction, task), field) == value


async def test_without_htmx_a_change_leads_back_to_the_task(alice, here) -> None:
    response = await alice.post(f"{here}/changes?view=list", data={"priority": "low"})

    assert response.status_code == 303
    assert response.headers["Location"] == f"{here}?view=list"


async def test_a_due_date_is_the_end_of_the_day_where_the_person_is(
    alice, here, transaction, task, world
) -> None:
    world.alice.timezone = "America/New_York"
    async with transaction() as session:
        await session.merge(world.alice)

    page = await alice.post(f"{here}/changes", data={"due_at": "2030-01-15"}, headers=IN_DRAWER)

    due = (await stored(transaction, task)).due_at
    assert due is not None
    assert due.isoformat() == "2030-01-16T04:59:00+00:00"
    assert 'value="2030-01-15"' in page.text
    await alice.post(f"{here}/changes", data={"due_at": ""}, headers=IN_DRAWER)
    assert (await stored(transaction, task)).due_at is None


async def test_an_assignee_is_chosen_and_taken_away(alice, here, transaction, task, world) -> None:
    await alice.post(f"{here}/changes", data={"assigned_agent_id": str(world.worker.id)})
    assert (await stored(transaction, task)).assigned_agent_id == world.worker.id
    await alice.post(f"{here}/changes", data={"assigned_agent_id": ""})
    assert (await stored(transaction, task)).assigned_agent_id is None


async def test_tags_are_ticked_and_unticked(alice, here, transaction, world) -> None:
    tag = Tag(
        organization_id=world.tern.id, name="docs", slug="docs", created_at=now(), updated_at=now()
    )
    await keep(transaction, tag)

    ticked = await alice.post(
        f"{here}/changes", data={"tag_ids": ["", str(tag.id)]}, headers=IN_DRAWER
    )
    assert f'value="{tag.id}" checked' in ticked.text
    none = await alice.post(f"{here}/changes", data={"tag_ids": ""}, headers=IN_DRAWER)
    assert f'value="{tag.id}" checked' not in none.text


async def test_dependencies_come_and_go_one_by_one(alice, here, transaction, world, task) -> None:
    first, second = world.task("First"), world.task("Second")
    await keep(transaction, first, second)

    await alice.post(f"{here}/changes", data={"add": str(first.id)})
    both = await alice.post(f"{here}/changes", data={"add": str(second.id)}, headers=IN_DRAWER)
    assert f'id="dependency-{first.id}"' in both.text
    assert f'id="dependency-{second.id}"' in both.text

    one = await alice.post(f"{here}/changes", data={"take": str(first.id)}, headers=IN_DRAWER)
    assert f'id="dependency-{first.id}"' not in one.text
    assert f'id="dependency-{second.id}"' in one.text

    other = (await alice.get(f"/boards/{world.board.id}/tasks/{second.id}")).text
    assert "waits for this" in other


async def test_a_task_that_can_wait_for_nothing_says_so(alice, here, transaction, world) -> None:
    def told(page: str) -> str:
        return page.split('id="task-dependencies"')[1].split("</section>")[0]

    assert "Nothing." in told((await alice.get(here)).text)
    await keep(transaction, world.task("Another"))
    page = told((await alice.get(here)).text)
    assert "Wait for another task" in page
    assert "Nothing." not in page


async def test_a_circle_is_told_beside_the_field(alice, here, transaction, world, task) -> None:
    other = world.task("Other")
    waits = TaskDependency(board_id=world.board.id, task=other, depends_on=task, created_at=now())
    await keep(transaction, other, waits)

    refused = await alice.post(f"{here}/changes", data={"add": str(other.id)}, headers=IN_DRAWER)

    assert refused.status_code == 409
    assert "wait for each other in a circle" in refused.text.split("task-dependencies")[1]


@pytest.mark.parametrize("headers", [{}, IN_DRAWER, IN_PAGE])
@pytest.mark.parametrize(
    ("sent", "words", "editor"),
    [
        ({"title": " ", "description": "Kept <b>text</b>"}, "must not be blank", "text"),
        ({"title": "x" * 501, "description": "Kept <b>text</b>"}, "too long", "text"),
        ({"title": "Fine", "description": "Kept <b>text</b>\0"}, "cannot be stored", "text"),
        ({"due_at": "soon"}, "Write a date like", "due"),
        ({"due_at": "0001-01-01"}, "year", "due"),
    ],
)
async def test_a_bad_change_comes_back_open_with_what_was_typed(
    alice, here, transaction, task, headers, sent, words, editor
) -> None:
    refused = await alice.post(f"{here}/changes", data=sent, headers=headers)

    assert refused.status_code == 422
    assert words in refused.text
    if "description" in sent:
        assert "Kept &lt;b&gt;text" in refused.text
    opened = refused.text.split(f'id="edit-{editor}"')[1].split(">")[0]
    assert "open" in opened
    if headers:
        assert refused.headers["HX-Retarget"] == f"#edit-{editor}"
    assert (await stored(transaction, task)).version == task.version


async def test_a_refused_status_is_told_beside_the_status(
    alice, here, transaction, world, task
) -> None:
    world.board.require_review_before_done = True
    async with transaction() as session:
        await session.merge(world.board)

    refused = await alice.post(f"{here}/changes", data={"status": "done"}, headers=IN_DRAWER)

    assert refused.status_code == 409
    assert "a task is reviewed before it is done" in refused.text.split("task-props")[1]


async def test_who_would_finish_a_task_that_needs_an_approval_can_ask_for_one_there(
    alice, here, transaction, world
) -> None:
    world.board.require_approval_for_done = True
    async with transaction() as session:
        await session.merge(world.board)
    done = {"status": "done"}
    page = (await alice.post(f"{here}/changes", data=done)).text
    assert f'action="{here}/questions"' in page
    asked = await alice.post(f"{here}/questions", follow_redirects=True)
    assert "Is “" in asked.text
    again = (await alice.post(f"{here}/changes", data=done)).text
    assert "It is asked already" in again
    assert f'action="{here}/questions"' not in again


async def test_an_unknown_agent_is_told_beside_the_assignee(alice, here) -> None:
    refused = await alice.post(f"{here}/changes", data={"assigned_agent_id": str(new_id())})

    assert refused.status_code == 404
    assert "There is no such agent." in refused.text


async def test_a_comment_appears_in_the_conversation(alice, here) -> None:
    said = {"message": "Hello @lead, **look** <script>alert(3)</script>"}

    answer = await alice.post(f"{here}/comments", data=said, headers=HTMX)

    assert 'id="conversation"' in answer.text
    assert '<span class="mention">@lead</span>' in answer.text
    assert "<script>alert" not in answer.text
    plain = await alice.post(f"{here}/comments", data={"message": "Again"})
    assert plain.status_code == 303
    assert plain.headers["Location"] == f"{here}#conversation"


@pytest.mark.parametrize("headers", [{}, IN_DRAWER])
async def test_a_comment_that_is_too_long_stays_in_the_composer(alice, here, headers) -> None:
    typed = "Far too long. " + "x" * 100_000

    refused = await alice.post(f"{here}/comments", data={"message": typed}, headers=headers)

    assert refused.status_code == 422
    composer = refused.text.split('id="edit-comment"')[1].split("</form>")[0]
    assert "Far too long." in composer
    assert "too long" in composer
    if headers:
        assert refused.headers["HX-Retarget"] == "#edit-comment"


async def test_the_conversation_tells_what_happened(alice, here, world) -> None:
    await alice.post(f"{here}/changes", data={"status": "in_progress"})
    await alice.post(f"{here}/changes", data={"assigned_agent_id": str(world.worker.id)})
    await alice.post(f"{here}/changes", data={"priority": "high"})
    await alice.post(f"{here}/comments", data={"message": "Only words"})

    everything = (await alice.get(f"{here}/conversation", headers=HTMX)).text
    only_comments = (await alice.get(f"{here}/conversation?show=comments", headers=HTMX)).text

    for words in ("moved this to In progress", "gave this to Worker", "set the priority to high"):
        assert words in everything
        assert words not in only_comments
    assert "Only words" in only_comments


async def test_a_question_about_the_task_stands_on_it(
    alice, here, transaction, world, task
) -> None:
    [approval, *links] = world.approval(task, payload={"title": "Ship it", "reason": "Tested."})
    await keep(transaction, approval, *links)

    drawer = (await alice.get(here, headers=IN_DRAWER)).text
    assert "Ship it?" in drawer
    answered = await alice.post(
        f"/approvals/{approval.id}/answers",
        data={"status": "approved"},
        headers={**HTMX, "HX-Target": f"section#ask-{approval.id}"},
    )
    assert "<b>You approved</b>" in answered.text
    assert f"/approvals/{approval.id}/undoings" in answered.text
    told = (await alice.get(f"{here}/conversation", headers=HTMX)).text
    assert "Nothing happened yet." in told  # as long as it can be taken back


async def test_a_deleted_task_can_be_brought_back(alice, here, transaction, world, task) -> None:
    await keep(
        transaction,
        Comment(board_id=world.board.id, task=task, message="Keep me", created_at=now()),
    )

    gone = await alice.post(f"{here}/deletions", headers={**HTMX, "HX-Target": "aside#drawer"})
    assert '<div id="drawer" hidden></div>' in gone.text
    assert gone.headers["HX-Push-Url"] == f"/boards/{world.board.id}"
    assert f"{here}/restorations" in gone.text
    assert (await alice.get(here)).status_code == 404

    back = await alice.post(f"{here}/restorations", headers=HTMX)
    assert "is back" in back.text
    assert "Keep me" in (await alice.get(here)).text


async def test_without_htmx_a_deleted_task_can_be_brought_back_too(
    alice, here, world, task
) -> None:
    gone = await alice.post(f"{here}/deletions")
    board = await alice.get(gone.headers["Location"])
    assert f"{here}/restorations" in board.text
    assert (await alice.post(f"{here}/restorations")).headers["Location"] == here


async def test_who_only_reads_sees_no_forms_and_is_told_why(rita, here) -> None:
    page = (await rita.get(here)).text
    assert "You can read this board, not comment on it." in page

    assert "Write the &lt;script&gt;" in page
    for path in ("/changes", "/comments", "/deletions"):
        assert f'action="{here}{path}' not in page


WAYS = [
    ("changes", {"priority": "high"}),
    ("comments", {"message": "x"}),
    ("deletions", {}),
    ("restorations", {}),
]


@pytest.mark.parametrize(("way", "sent"), WAYS)
async def test_who_only_reads_changes_nothing(rita, here, transaction, task, way, sent) -> None:
    assert (await rita.post(f"{here}/{way}", data=sent)).status_code == 403
    assert (await stored(transaction, task)).version == task.version


@pytest.mark.parametrize(("way", "sent"), WAYS)
async def test_a_stranger_finds_no_task(charlie, here, way, sent) -> None:
    assert (await charlie.get(here)).status_code == 404
    assert (await charlie.get(f"{here}/conversation")).status_code == 404
    assert (await charlie.post(f"{here}/{way}", data=sent)).status_code == 404


async def test_a_new_task_without_what_its_board_requires_is_refused_in_words(
    alice, transaction, world
) -> None:
    await keep(transaction, *world.field(required=True))
    response = await alice.post(f"/boards/{world.board.id}/tasks", data={"title": "Write"})

    assert response.status_code == 422
    assert "On this board every task says this: size." in response.text


async def test_a_change_of_a_custom_field_is_told(alice, transaction, world, here, task) -> None:
    await keep(transaction, *world.field())
    async with transaction() as session:
        board = await boards.hold(session, world.alice, world.board.id)
        changes = {"custom_field_values": {"size": "L"}}
        await tasks.change(session, world.alice, board, task.id, changes)

    assert "changed the size" in (await alice.get(here)).text


async def test_a_task_is_not_found_on_another_board(alice, world, task) -> None:
    assert (await alice.get(f"/boards/{world.garden.id}/tasks/{task.id}")).status_code == 404
