"""Edits of a task that somebody else has changed since the page was shown: nothing is lost."""

import re
from datetime import UTC, datetime

import pytest

from core.db.engine import TransactionFactory
from models import Actor, Status, Task
from services import boards, tasks
from tests.support.board_rows import make_tag
from tests.support.shown_forms import form_of, shown
from tests.support.world import World

HTMX = {"HX-Request": "true", "HX-Request-Type": "partial"}
IN_DRAWER = {**HTMX, "HX-Target": "aside#drawer"}
DUE = datetime(2030, 1, 15, 12, tzinfo=UTC)
TEXT = "First line\nSecond line\nThird line"


@pytest.fixture
async def task(transaction: TransactionFactory, world: World) -> Task:
    task = world.make_task("Paint the door", description=TEXT)
    async with transaction() as session:
        session.add(task)
    return task


@pytest.fixture
def task_path(world: World, task: Task) -> str:
    return f"/boards/{world.board.id}/tasks/{task.id}"


@pytest.fixture
def change(transaction: TransactionFactory, world: World, task: Task):
    """Return a function that changes the task as Bob, or as another actor."""

    async def change(actor: Actor = world.bob, **changes: object) -> None:
        async with transaction() as session:
            board = await boards.lock_board(session, actor, world.board.id)
            await tasks.update_task(session, actor, board, task.id, tasks.TaskUpdate.of(**changes))

    return change


async def stored(transaction: TransactionFactory, task: Task) -> Task:
    async with transaction() as session:
        return await session.get_one(Task, task.id, populate_existing=True)


async def test_a_stale_text_shows_both_versions_and_saves_nothing(
    alice, task_path, transaction, task, change
) -> None:
    form = form_of((await alice.get(task_path)).text, "description")
    await change(description="First line\nTheir <b>line</b>\nThird line")

    sent = form | {"title": task.title, "description": "First line\nMy line\nThird line"}
    response = await alice.post(f"{task_path}/changes", data=sent)

    assert response.status_code == 409
    assert "<mark>My line</mark>" in response.text
    assert (
        f'data-suggest="board={task.board_id}"' in response.text.partition("merge-description")[2]
    )
    assert "<mark>Their &lt;b&gt;line&lt;/b&gt;</mark>" in response.text
    assert "<span>First line</span>" in response.text
    assert re.search(r"Changed by Bob <time", response.text)
    assert "Their" in ((await stored(transaction, task)).description or "")


async def test_a_merged_text_is_saved_with_the_other_edits_of_the_form(
    alice, task_path, transaction, task, change
) -> None:
    form = form_of((await alice.get(task_path)).text, "description")
    await change(description="Theirs")
    sent = form | {"title": "Paint both doors", "description": "Mine"}
    conflict = (await alice.post(f"{task_path}/changes", data=sent)).text

    merge = form_of(conflict, "description")
    assert merge["description"] == "Mine"
    assert isinstance(merge["form_origin"], str)
    merged = merge | {"description": "Mine and theirs"}
    response = await alice.post(f"{task_path}/changes", data=merged)

    assert response.status_code == 303
    after = await stored(transaction, task)
    assert (after.title, after.description) == ("Paint both doors", "Mine and theirs")


async def test_a_merge_that_is_stale_again_is_another_conflict(
    alice, task_path, transaction, task, change
) -> None:
    form = form_of((await alice.get(task_path)).text, "description")
    await change(description="Second")
    sent = form | {"title": task.title, "description": "Mine"}
    merge = form_of((await alice.post(f"{task_path}/changes", data=sent)).text, "description")
    await change(description="Third")

    response = await alice.post(f"{task_path}/changes", data=merge)

    assert response.status_code == 409
    assert "Third" in response.text
    assert (await stored(transaction, task)).description == "Third"


async def test_a_change_of_another_field_never_conflicts(
    alice, task_path, transaction, task, change, world
) -> None:
    page = (await alice.get(task_path)).text
    form = form_of(page, "title") | form_of(page, "description")
    await change(world.lead, status="in_progress", assigned_agent_id=world.worker.id)
    await change(description="Theirs")

    sent = form | {"title": "My title", "description": TEXT.replace("\n", "\r\n")}
    response = await alice.post(f"{task_path}/changes", data=sent)

    assert response.status_code == 303
    after = await stored(transaction, task)
    assert after.title == "My title"
    assert after.description == "Theirs"  # the user left the description as it was
    assert after.status is Status.IN_PROGRESS


async def test_the_same_change_of_two_people_is_no_conflict(
    alice, task_path, transaction, task, change
) -> None:
    form = form_of((await alice.get(task_path)).text, "title")
    await change(title="The same")

    sent = form | {"title": "The same", "description": TEXT}
    response = await alice.post(f"{task_path}/changes", data=sent)

    assert response.status_code == 303


@pytest.mark.parametrize(
    ("field", "before", "theirs", "mine", "names"),
    [
        ("priority", "medium", "high", "low", ["High", "Low"]),
        ("due_at", None, DUE, "2031-02-20", ["2030-01-15", "2031-02-20"]),
        ("title", "Paint the door", "Theirs", "Mine", ["Theirs", "Mine"]),
    ],
)
async def test_both_values_of_a_field_are_offered(
    alice, task_path, change, field, before, theirs, mine, names
) -> None:
    await change(**{field: theirs})

    response = await alice.post(
        f"{task_path}/changes", data=shown(**{field: before}) | {field: mine}
    )

    assert response.status_code == 409
    for name in [*names, "Changed by Bob"]:
        assert name in response.text


@pytest.mark.parametrize(("keep", "name"), [("mine", "Other worker"), ("current", "Worker")])
async def test_either_value_can_be_kept(
    alice, task_path, transaction, task, change, world, keep, name
) -> None:
    await change(assigned_agent_id=world.worker.id)
    sent = shown(assignee=None) | {"assignee": str(world.other_worker.id)}
    conflict = (await alice.post(f"{task_path}/changes", data=sent)).text

    choice = form_of(conflict, "assignee") | {"keep.assignee": keep}
    response = await alice.post(f"{task_path}/changes", data=choice)

    assert response.status_code == 303
    kept = {"Worker": world.worker.id, "Other worker": world.other_worker.id}[name]
    assert (await stored(transaction, task)).assigned_agent_id == kept


async def test_tags_conflict_by_what_they_are_not_by_their_order(
    alice, task_path, transaction, task, change, world
) -> None:
    rows = [make_tag(world.tern, name) for name in ("Red", "Green", "Blue")]
    async with transaction() as session:
        session.add_all(rows)
    red, green, blue = [str(tag.id) for tag in rows]
    await change(tag_ids=[red, green])

    same = shown(tag_ids=[green, red]) | {"tag_ids": ["", blue]}
    assert (await alice.post(f"{task_path}/changes", data=same)).status_code == 303
    conflict = await alice.post(f"{task_path}/changes", data=shown(tag_ids=[]) | {"tag_ids": red})

    assert conflict.status_code == 409
    assert "Blue" in conflict.text


async def test_with_htmx_a_conflict_is_a_dialog_over_the_open_editor(
    alice, task_path, task, change
) -> None:
    await change(description="Theirs")
    sent = shown(description=TEXT) | {"description": "Mine"}

    response = await alice.post(f"{task_path}/changes?view=list", data=sent, headers=IN_DRAWER)

    assert response.status_code == 409
    assert response.headers["HX-Retarget"] == "#conflict-content"
    assert "<html" not in response.text
    assert f'hx-post="{task_path}/changes?view=list" hx-target="#drawer"' in response.text
    assert 'data-done="edit-text"' in response.text


async def test_a_stale_title_is_a_dialog_over_its_editor(alice, task_path, task, change) -> None:
    form = form_of((await alice.get(task_path)).text, "title")
    assert "description" not in form
    await change(title="Theirs")

    sent = form | {"title": "Mine"}
    response = await alice.post(f"{task_path}/changes", data=sent, headers=IN_DRAWER)

    assert response.status_code == 409
    assert 'data-done="edit-title"' in response.text


async def test_an_invalid_title_leaves_its_editor_open(alice, task_path, task) -> None:
    sent = {"title": "x" * 501}
    response = await alice.post(f"{task_path}/changes", data=sent, headers=IN_DRAWER)

    assert response.status_code == 422
    assert response.headers["HX-Retarget"] == "#edit-title"
    assert 'id="edit-title" data-edit open' in response.text
    assert 'id="edit-text" data-edit>' in response.text


async def test_a_reader_has_no_form_for_the_title(rita, task_path, task) -> None:
    page = (await rita.get(task_path)).text

    assert "Paint the door</h1>" in page
    assert "edit-title" not in page


async def test_an_invalid_form_keeps_what_it_was_based_on(alice, task_path, task, change) -> None:
    form = form_of((await alice.get(task_path)).text, "title")
    await change(title="Theirs")

    sent = form | {"title": "x" * 501, "description": TEXT}
    rejected = await alice.post(f"{task_path}/changes", data=sent)

    assert rejected.status_code == 409
    fixed = form_of(rejected.text, "title") | {"title": "x" * 501}
    invalid = await alice.post(f"{task_path}/changes", data=fixed)
    assert invalid.status_code == 422
    await change(title="Changed again")
    again = form_of(invalid.text, "title") | {"title": "Mine"}
    assert (await alice.post(f"{task_path}/changes", data=again)).status_code == 409


async def test_a_change_before_an_invalid_form_conflicts_when_it_is_fixed(
    alice, task_path, transaction, task, change
) -> None:
    form = form_of((await alice.get(task_path)).text, "description")
    await change(description="Theirs")
    sent = form | {"title": "x" * 501, "description": TEXT}
    invalid = await alice.post(f"{task_path}/changes", data=sent)
    assert invalid.status_code == 422
    fixed = form_of(invalid.text, "description") | {"title": task.title, "description": "Mine"}
    assert (await alice.post(f"{task_path}/changes", data=fixed)).status_code == 409
    assert (await stored(transaction, task)).description == "Theirs"


async def test_long_texts_are_shown_side_by_side_without_marks(
    alice, task_path, task, change
) -> None:
    await change(description="\n".join(f"their line {number}" for number in range(3_000)))
    mine = "\n".join(f"my line {number}" for number in range(3_000))

    response = await alice.post(
        f"{task_path}/changes", data=shown(description=TEXT) | {"description": mine}
    )

    assert response.status_code == 409
    assert "too long to mark" in response.text
    assert "<mark>" not in response.text
    assert "their line 2999" in response.text
    assert response.text.count("my line 2999") == 2


async def test_nobody_else_sees_the_conflict(charlie, rita, task_path, task, change) -> None:
    await change(title="Theirs")
    sent = shown(title="Paint the door") | {"title": "Mine"}

    assert (await charlie.post(f"{task_path}/changes", data=sent)).status_code == 404
    assert (await rita.post(f"{task_path}/changes", data=sent)).status_code == 403
