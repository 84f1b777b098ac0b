"""Fields of a task that are changed on its page."""

import re

import pytest

from core.clock import now
from models import PolicyEffect, PolicyRule, Status, Tag, Task, TaskDependency, new_id
from services import boards, policies, tasks
from tests.support.board_pages import keep
from tests.support.task_pages import IN_DRAWER, IN_PAGE, stored, task, task_path

__all__ = ["task", "task_path"]


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
    assert f'data-picked="{tag.id}"' in ticked.text
    none = await alice.post(f"{task_path}/changes", data={"tag_ids": ""}, headers=IN_DRAWER)
    assert f'data-picked="{tag.id}"' not in none.text


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


async def test_the_dependencies_of_a_done_task_cannot_change(
    alice, task_path, transaction, world, task
) -> None:
    first, second = world.make_task("First"), world.make_task("Second")
    await keep(transaction, first, second)
    await alice.post(f"{task_path}/changes", data={"add": str(first.id)})
    assert "Add dependency" in (await alice.get(task_path)).text
    async with transaction() as session:
        (await session.get_one(Task, task.id)).status = Status.DONE
    page = (await alice.get(task_path)).text
    assert f'id="dependency-{first.id}"' in page
    assert "Add dependency" not in page
    assert "Remove dependency on" not in page
    for sent in ({"add": str(second.id)}, {"take": str(first.id)}):
        refused = await alice.post(f"{task_path}/changes", data=sent, headers=IN_DRAWER)
        assert refused.status_code == 409
        assert f'id="dependency-{first.id}"' in refused.text
        assert f'id="dependency-{second.id}"' not in refused.text


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
        ({"title": " "}, "Enter a title.", "title"),
        ({"title": "x" * 501}, "At most 500 characters.", "title"),
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


async def test_all_invalid_fields_of_a_task_are_reported(alice, world) -> None:
    wrong = {"title": " ", "assignee": "nobody", "due_at": "soon"}
    refused = await alice.post(f"/boards/{world.board.id}/tasks", data=wrong)
    assert refused.status_code == 422
    for sentence in ("Enter a title.", "Choose one of those", "Write a date like"):
        assert sentence in refused.text


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
    """Somebody who may not approve it alone asks others."""
    world.board.require_approval_for_done = True
    rule = PolicyRule(id=new_id(), name="Careful", effect=PolicyEffect.ASK_TWO)
    async with transaction() as session:
        await session.merge(world.board)
        await policies.replace_policy(session, world.alice_member, world.board, [rule])
    done = {"status": "done"}
    page = (await alice.post(f"{task_path}/changes", data=done)).text
    assert f'action="{task_path}/questions"' in page
    requested = await alice.post(f"{task_path}/questions", follow_redirects=True)
    assert "Complete the task “" in requested.text
    again = (await alice.post(f"{task_path}/changes", data=done)).text
    assert "Two people" in again
    assert f'action="{task_path}/questions"' not in again


async def test_an_unknown_agent_shows_an_error_beside_the_assignee(alice, task_path) -> None:
    refused = await alice.post(f"{task_path}/changes", data={"assignee": str(new_id())})

    assert refused.status_code == 404
    assert "There is no such agent." in refused.text


async def test_a_new_task_without_a_required_field_shows_the_error(
    alice, transaction, world
) -> None:
    await keep(transaction, *world.make_custom_field(required=True))
    response = await alice.post(f"/boards/{world.board.id}/tasks", data={"title": "Write"})

    assert response.status_code == 422
    assert re.search(r'name="field-[0-9a-f-]+"[^>]* aria-invalid="true"', response.text)
    assert "Enter a value." in response.text


async def test_a_custom_field_change_is_in_the_history(
    alice, transaction, world, task_path, task
) -> None:
    await keep(transaction, *world.make_custom_field())
    async with transaction() as session:
        board = await boards.lock_board(session, world.alice, world.board.id)
        changes = {"custom_field_values": {"size": "L"}}
        await tasks.update_task(
            session, world.alice, board, task.id, tasks.TaskUpdate.of(**changes)
        )

    assert "changed the field “Size”" in (await alice.get(task_path)).text
