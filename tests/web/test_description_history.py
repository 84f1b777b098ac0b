"""The page with the versions of a description, and the restoring of one."""

from datetime import timedelta

import pytest

from core.clock import now
from core.db.engine import TransactionFactory
from models import Task, TaskDescription, new_id
from services import boards, tasks
from tests.support.shown_forms import form_of
from tests.support.world import World

OLD, NEW = "Sand it.\nPaint it.", "Sand it.\nPaint it <b>twice</b>."


@pytest.fixture
async def task(transaction: TransactionFactory, world: World) -> Task:
    task = world.make_task("Paint the door", description=NEW, version=2)
    async with transaction() as session:
        session.add(task)
    return task


@pytest.fixture
async def old(transaction: TransactionFactory, world: World, task: Task) -> TaskDescription:
    """Return the earlier of two versions."""
    rows = [
        TaskDescription(
            id=new_id(), task_id=task.id, text=text, user_id=user.id, created_at=now() - age
        )
        for text, user, age in [
            (OLD, world.bob, timedelta(hours=2)),
            (NEW, world.alice, timedelta(hours=1)),
        ]
    ]
    async with transaction() as session:
        session.add_all(rows)
    return rows[0]


@pytest.fixture
def path(world: World, task: Task) -> str:
    return f"/boards/{world.board.id}/tasks/{task.id}/descriptions"


async def description_of(transaction: TransactionFactory, task: Task) -> str | None:
    async with transaction() as session:
        return (await session.get_one(Task, task.id, populate_existing=True)).description


async def test_the_task_leads_to_the_history(alice, path, old) -> None:
    page = (await alice.get(path.removesuffix("/descriptions"))).text

    assert f'href="{path}"' in page


async def test_a_task_with_other_changes_has_no_history_of_its_description(alice, path) -> None:
    page = (await alice.get(path.removesuffix("/descriptions"))).text

    assert "/descriptions" not in page


async def test_a_version_is_shown_with_what_it_changed(alice, path, old) -> None:
    page = (await alice.get(path)).text

    assert "Changed by you" in page
    assert '<del dir="auto">Paint it.</del>' in page
    assert '<ins dir="auto">Paint it &lt;b&gt;twice&lt;/b&gt;.</ins>' in page
    assert "Restore this version" not in page  # it is the current one


async def test_the_oldest_version_is_shown_as_a_whole(alice, path, old) -> None:
    page = (await alice.get(f"{path}?version={old.id}")).text

    assert "Oldest stored version" in page
    assert "Sand it.\nPaint it.</div>" in page
    assert "Restore this version" in page


async def test_a_description_that_never_changed_has_no_versions(alice, path, task) -> None:
    page = await alice.get(path)

    assert page.status_code == 200
    assert "No changes of the description" in page.text


async def test_a_version_with_the_text_of_the_one_before_it_says_so(
    alice, path, old, transaction
) -> None:
    async with transaction() as session:
        (await session.get_one(TaskDescription, old.id)).text = NEW
    page = (await alice.get(path)).text
    assert "This version has the same text as the one before it." in page


async def test_a_version_is_restored(alice, path, old, task, transaction) -> None:
    form = form_of((await alice.get(f"{path}?version={old.id}")).text, "description")

    response = await alice.post(f"{path}/{old.id}/restorations", data=form)

    assert response.status_code == 303
    assert response.headers["Location"] == path.removesuffix("/descriptions")
    assert await description_of(transaction, task) == OLD
    assert "Restore this version" in (await alice.get(f"{path}?version={old.id}")).text


async def test_a_stale_restoring_shows_both_versions(
    alice, path, old, task, transaction, world
) -> None:
    form = form_of((await alice.get(f"{path}?version={old.id}")).text, "description")
    async with transaction() as session:
        board = await boards.lock_board(session, world.bob, world.board.id)
        await tasks.update_task(
            session, world.bob, board, task.id, tasks.TaskUpdate.of(description="Theirs")
        )

    conflict = await alice.post(f"{path}/{old.id}/restorations", data=form)

    assert conflict.status_code == 409
    assert "<mark>Theirs</mark>" in conflict.text
    assert await description_of(transaction, task) == "Theirs"
    merged = form_of(conflict.text, "description")
    assert merged["description"] == OLD
    changes = f"{path.removesuffix('/descriptions')}/changes"
    assert f'action="{changes}"' in conflict.text
    assert (await alice.post(changes, data=merged)).status_code == 303
    assert await description_of(transaction, task) == OLD


async def test_who_may_see_and_restore_versions(rita, charlie, path, old, task) -> None:
    restorations = f"{path}/{old.id}/restorations"
    page = await rita.get(f"{path}?version={old.id}")

    assert page.status_code == 200
    assert "Restore this version" not in page.text
    assert (await rita.post(restorations, data={})).status_code == 403
    assert (await charlie.get(path)).status_code == 404
    assert (await charlie.post(restorations, data={})).status_code == 404


async def test_an_unknown_version_is_not_found(alice, path, old, world) -> None:
    for unknown in (world.alice.id, "no-id"):
        assert (await alice.get(f"{path}?version={unknown}")).status_code == 404
    response = await alice.post(f"{path}/{world.alice.id}/restorations", data={})
    assert response.status_code == 404
