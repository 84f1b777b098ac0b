"""People as assignees on pages: choices, cards, filters, bulk changes and undo."""

import re

import pytest

from core.db.engine import TransactionFactory
from models import Status, Task, new_id
from tests.support.world import World

HTMX = {"HX-Request": "true", "HX-Request-Type": "partial"}


@pytest.fixture
async def task(transaction: TransactionFactory, world: World) -> Task:
    task = world.make_task("Call the printer", assigned_user_id=world.bob.id)
    async with transaction() as session:
        session.add(task)
    return task


async def stored(transaction: TransactionFactory, task: Task) -> Task:
    async with transaction() as session:
        found = await session.get(Task, task.id)
        assert found is not None
        return found


async def test_a_new_task_is_assigned_to_a_person(alice, world, transaction) -> None:
    fields = {"title": "Ask Rita", "assignee": f"user:{world.rita.id}"}
    answer = await alice.post(f"/boards/{world.board.id}/tasks", data=fields)
    assert answer.status_code == 303
    page = (await alice.get(f"/boards/{world.board.id}?agent={world.rita.id}")).text
    assert "Ask Rita" in page


async def test_the_card_the_row_and_the_page_show_the_person(alice, world, task) -> None:
    name = world.bob.display_name
    for path in ("", "?view=list", f"/tasks/{task.id}"):
        page = (await alice.get(f"/boards/{world.board.id}{path}")).text
        assert re.search(rf'class="av av--sm"[^>]*>\w+</span>.*?{name}', page, re.DOTALL)


@pytest.mark.parametrize(
    ("assignee", "agent", "user"),
    [("{worker}", "worker", None), ("user:{rita}", None, "rita"), ("", None, None)],
)
async def test_the_assignee_is_changed_on_the_task(
    alice, world, transaction, task, assignee, agent, user
) -> None:
    sent = assignee.format(worker=world.worker.id, rita=world.rita.id)
    path = f"/boards/{world.board.id}/tasks/{task.id}/changes"
    assert (await alice.post(path, data={"assignee": sent})).status_code == 303
    found = await stored(transaction, task)
    assert found.assigned_agent_id == (getattr(world, agent).id if agent else None)
    assert found.assigned_user_id == (getattr(world, user).id if user else None)


@pytest.mark.parametrize("value", ["user:x", "user:", "nobody"])
async def test_other_values_are_no_assignee(alice, world, transaction, task, value) -> None:
    path = f"/boards/{world.board.id}/tasks/{task.id}/changes"
    answer = await alice.post(path, data={"assignee": value}, headers=HTMX)
    assert answer.status_code == 422
    assert "Choose one of those that are offered." in answer.text
    assert (await stored(transaction, task)).assigned_user_id == world.bob.id


async def test_a_person_without_access_is_refused(alice, world, transaction, task) -> None:
    path = f"/boards/{world.board.id}/tasks/{task.id}/changes"
    for id in (world.dana.id, world.charlie.id, new_id()):
        answer = await alice.post(path, data={"assignee": f"user:{id}"}, headers=HTMX)
        assert answer.status_code == 404
        assert "nobody with this id" in answer.text
    assert (await stored(transaction, task)).assigned_user_id == world.bob.id


async def test_readers_and_strangers_assign_nothing(rita, charlie, world, task) -> None:
    path = f"/boards/{world.board.id}/tasks/{task.id}/changes"
    fields = {"assignee": f"user:{world.rita.id}"}
    assert (await rita.post(path, data=fields)).status_code == 403
    assert (await charlie.post(path, data=fields)).status_code == 404


async def test_a_board_shows_what_is_assigned_to_the_reader(alice, bob, world, task) -> None:
    path = f"/boards/{world.board.id}?agent=me"
    assert "Call the printer" in (await bob.get(path)).text
    assert f'id="task-{task.id}"' not in (await alice.get(path)).text
    card = await bob.get(f"/boards/{world.board.id}/tasks/{task.id}?agent=me")
    assert card.status_code == 200


async def test_a_saved_view_names_the_person(alice, world, task) -> None:
    page = (await alice.get(f"/boards/{world.board.id}/views/new?agent=me")).text
    assert "Assignee: Assigned to me" in page


async def test_selected_tasks_are_assigned_to_a_person(alice, world, transaction, task) -> None:
    fields = {"ids": [str(task.id)], "assignee": f"user:{world.rita.id}"}
    await alice.post(f"/boards/{world.board.id}/changes", data=fields)
    assert (await stored(transaction, task)).assigned_user_id == world.rita.id


async def test_undo_of_a_move_names_the_person(bob, world, transaction, task) -> None:
    path = f"/boards/{world.board.id}/tasks/{task.id}/moves"
    moved = await bob.post(path, data={"to": "done"}, headers=HTMX)
    assert f"user:{world.bob.id}" in moved.text
    back = {"to": "inbox", "assignee": f"user:{world.bob.id}", "back": "1"}
    await bob.post(path, data=back, headers=HTMX)
    found = await stored(transaction, task)
    assert (found.status, found.assigned_user_id) == (Status.INBOX, world.bob.id)


async def test_history_tells_who_got_the_task(alice, world, task) -> None:
    path = f"/boards/{world.board.id}/tasks/{task.id}"
    await alice.post(f"{path}/changes", data={"assignee": str(world.worker.id)})
    page = (await alice.get(path)).text
    assert f"assigned this task to {world.worker.name}." in page
    assert "unassigned this task" not in page
