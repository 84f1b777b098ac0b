"""The trash of a board."""

import re

import pytest
from sqlalchemy import select

from core.clock import now
from core.db.engine import TransactionFactory
from models import DeletedTask, Event, EventType, Task, new_id
from services import tasks
from services.tasks import bulk_changes
from tests.support.plain_browser import PlainPage
from tests.support.world import World

HTMX = {"HX-Request": "true", "HX-Request-Type": "partial"}


@pytest.fixture
async def deleted(alice, transaction: TransactionFactory, world: World) -> list[Task]:
    """Return two tasks that Alice has deleted."""
    made = [world.make_task("Write <i>it</i>"), world.make_task("Print it")]
    async with transaction() as session:
        session.add_all(made)
    for task in made:
        await alice.post(f"/boards/{world.board.id}/tasks/{task.id}/deletions")
    return made


@pytest.fixture
def path(world: World) -> str:
    return f"/boards/{world.board.id}/trash"


async def restore(client, path, *task_ids):
    """Restore tasks, and return the text of the page that the form leads to."""
    data = {"task_ids": [str(id) for id in task_ids]}
    answer = await client.post(f"{path}/restorations", data=data)
    assert answer.status_code == 303
    return re.sub(r"\s+", " ", (await client.get(answer.headers["Location"])).text)


async def test_deleted_tasks_are_shown_with_who_deleted_them(alice, bob, path, deleted) -> None:
    page = (await alice.get(path)).text
    assert page.index("Print it") < page.index("Write &lt;i&gt;it&lt;/i&gt;")
    assert "Deleted by you" in page
    assert "kept for 30 days, with" in page
    assert "Permanently deleted" in page
    assert "in 30 d" in page
    assert 'Deleted by <span dir="auto">Alice</span>' in (await bob.get(path)).text


async def test_the_board_and_a_deletion_lead_to_the_trash(alice, path, world, deleted) -> None:
    assert f'href="{path}"' in (await alice.get(f"/boards/{world.board.id}")).text
    assert "The trash is empty." in (await alice.get(f"/boards/{world.garden.id}/trash")).text
    await restore(alice, path, deleted[0].id)
    task_path = f"/boards/{world.board.id}/tasks/{deleted[0].id}"
    gone = await alice.post(f"{task_path}/deletions", headers=HTMX)
    assert f'<a class="link" href="{path}">Trash</a>' in gone.text


@pytest.mark.parametrize(("target", "tag"), [("drawer", "aside"), ("task", "div")])
async def test_an_open_task_says_that_it_was_deleted(
    alice, bob, charlie, world, deleted, target, tag
) -> None:
    path = f"/boards/{world.board.id}/tasks/{deleted[0].id}"
    headers = HTMX | {"HX-Target": f"{tag}#{target}"}
    part = await bob.get(f"{path}?q=write", headers=headers)
    assert part.status_code == 200
    assert f'id="{target}"' in part.text
    assert "This task is in the trash." in part.text
    assert "Write &lt;i&gt;it&lt;/i&gt;" in part.text
    assert 'Deleted by <span dir="auto">Alice</span>' in part.text
    assert f'hx-get="{path}?q=write" hx-trigger="task-{deleted[0].id} from:body' in part.text
    assert "Deleted by you" in (await alice.get(path, headers=headers)).text

    assert (await charlie.get(path, headers=headers)).status_code == 404
    unknown = f"/boards/{world.board.id}/tasks/{new_id()}"
    assert (await bob.get(unknown, headers=headers)).status_code == 404


async def test_a_link_to_a_deleted_task_leads_to_its_restoration(
    bob, rita, charlie, path, world, deleted
) -> None:
    task_path = f"/boards/{world.board.id}/tasks/{deleted[0].id}"
    page = await bob.get(task_path)
    assert page.status_code == 404
    assert "This task is in the trash." in page.text
    assert f'action="{path}/restorations"' in page.text
    assert f'name="task_ids" value="{deleted[0].id}"' in page.text
    read = (await rita.get(task_path)).text
    assert f'href="{path}"' in read
    assert f"{path}/restorations" not in read
    assert "in the trash" not in (await charlie.get(task_path)).text


async def test_a_task_deleted_before_many_others_is_found(
    alice, world, deleted, transaction
) -> None:
    rows = {"tasks": [{"title": "Later", "status": "inbox"}], "task_comments": []}
    async with transaction() as session:
        session.add_all(
            DeletedTask(board_id=world.board.id, task_id=new_id(), rows=rows, deleted_at=now())
            for _ in range(tasks.MAX_BULK_TASKS)
        )
    part = await alice.get(
        f"/boards/{world.board.id}/tasks/{deleted[0].id}",
        headers=HTMX | {"HX-Target": "aside#drawer"},
    )
    assert part.status_code == 200
    assert "Write &lt;i&gt;it&lt;/i&gt;" in part.text
    elsewhere = f"/boards/{world.garden.id}/tasks/{deleted[0].id}"
    assert (await alice.get(elsewhere, headers=HTMX)).status_code == 404


async def test_one_task_is_restored(alice, path, world, deleted) -> None:
    page = await restore(alice, path, deleted[0].id)

    assert "1 task restored." in page
    assert f'href="/boards/{world.board.id}/tasks/{deleted[0].id}"' in page
    assert f'id="trashed-{deleted[0].id}"' not in page
    assert f'id="trashed-{deleted[1].id}"' in page


async def test_several_tasks_are_restored(alice, path, world, deleted) -> None:
    page = await restore(alice, path, *[task.id for task in deleted])

    assert "2 tasks restored." in page
    assert "The trash is empty." in page
    board = (await alice.get(f"/boards/{world.board.id}")).text
    assert "Print it" in board


async def test_tasks_are_restored_in_as_many_transactions_as_needed(
    alice, path, deleted, monkeypatch
) -> None:
    monkeypatch.setattr(bulk_changes, "RESTORED_AT_ONCE", 1)
    assert "2 tasks restored." in await restore(alice, path, *[task.id for task in deleted])


async def test_the_second_of_two_people_reads_what_happened(alice, bob, path, deleted) -> None:
    await restore(bob, path, deleted[0].id)

    page = await restore(alice, path, deleted[0].id, deleted[1].id)

    assert "1 task restored." in page
    assert "1 task was already restored by somebody else." in page


async def test_purged_tasks_cannot_be_restored(alice, path, transaction, deleted) -> None:
    async with transaction() as session:
        await tasks.purge_trash(session, keep_days=0)

    page = await restore(alice, path, *[task.id for task in deleted], new_id())

    assert "3 tasks can no longer be restored: they were deleted permanently." in page
    assert "task restored." not in page


async def test_nothing_is_restored_without_a_selection(alice, path, deleted) -> None:
    assert "no task was selected" in await restore(alice, path)
    assert len(re.findall('id="trashed-', (await alice.get(path)).text)) == 2


async def test_an_admin_deletes_a_task_permanently_after_a_question(
    alice, path, transaction, deleted
) -> None:
    secret, other = deleted
    page = await PlainPage(alice).open(path)
    page.check("Select “Write <i>it</i>”")
    await page.press("Delete permanently")
    assert page.heading == "Delete 1 task permanently?"
    assert "Nobody can restore it." in page.text
    assert "Write <i>it</i>" in page.text
    assert page.get("a", "Trash").attributes["href"] == path
    assert len(re.findall('id="trashed-', (await alice.get(path)).text)) == 2

    await page.press("Delete permanently")

    assert "1 task deleted permanently." in page.text
    shown = [page.find(f"trashed-{task.id}") is not None for task in (secret, other)]
    assert shown == [False, True]
    async with transaction() as session:
        purged = Event.type == EventType.TASK_PURGED
        event = (await session.scalars(select(Event).where(purged))).one()
    assert (event.task_id, event.data) == (secret.id, {"title": "Write <i>it</i>"})


async def test_only_admins_delete_tasks_permanently(bob, rita, path, deleted) -> None:
    for client in (bob, rita):
        assert "Delete permanently" not in (await client.get(path)).text
        data = {"task_ids": str(deleted[0].id), "confirmed": "on"}
        assert (await client.post(f"{path}/deletions", data=data)).status_code == 403
    assert len(re.findall('id="trashed-', (await bob.get(path)).text)) == 2


async def test_the_address_of_a_confirmation_shows_the_trash(alice, charlie, path, deleted) -> None:
    asked = await alice.post(f"{path}/deletions", data={"task_ids": str(deleted[0].id)})
    page = await alice.get(asked.request.url)
    assert len(re.findall('id="trashed-', page.text)) == 2
    assert (await charlie.get(asked.request.url)).status_code == 404


@pytest.mark.parametrize("query", ["restored=x&earlier=-1&purged=1e9", "restored=1&task=<b>"])
async def test_bad_results_in_the_address_are_ignored(alice, path, query) -> None:
    page = await alice.get(f"{path}?{query}")
    assert page.status_code == 200
    assert "Open the task" not in page.text
    assert "deleted permanently." in page.text


@pytest.mark.parametrize("ids", [["x"], [str(new_id())] * 201])
async def test_bad_ids_are_rejected(alice, path, deleted, ids) -> None:
    answer = await alice.post(f"{path}/restorations", data={"task_ids": ids})
    assert answer.status_code == 422


async def test_readers_see_the_trash_but_cannot_restore(rita, path, deleted) -> None:
    page = (await rita.get(path)).text
    assert "Print it" in page
    assert "You can read this board but not change it." in page
    assert f"{path}/restorations" not in page
    data = {"task_ids": str(deleted[0].id)}
    assert (await rita.post(f"{path}/restorations", data=data)).status_code == 403


async def test_outsiders_find_no_trash(charlie, dana, path, world, deleted) -> None:
    data = {"task_ids": str(deleted[0].id)}
    for client, status in [(charlie, 404), (dana, 403)]:
        assert (await client.get(path)).status_code == status
        assert (await client.post(f"{path}/restorations", data=data)).status_code == status
    assert (await charlie.get(f"/boards/{new_id()}/trash")).status_code == 404


async def test_htmx_gets_only_the_list(alice, path, deleted) -> None:
    part = (await alice.get(path, headers=HTMX)).text
    assert part.lstrip().startswith('<div class="stack" id="trash"')
    assert "Print it" in part


async def test_the_trash_is_shown_page_by_page(alice, path, world, transaction) -> None:
    rows = {"tasks": [{"title": "Old", "status": "inbox"}], "task_comments": []}
    board = {"board_id": world.board.id, "rows": rows, "deleted_at": now()}
    async with transaction() as session:
        session.add_all([DeletedTask(task_id=new_id(), **board) for _ in range(60)])
    first = (await alice.get(path)).text
    [after] = re.findall(rf'href="({path}\?after=[^"]*)"', first)
    second = (await alice.get(after)).text
    shown = [re.findall('id="(trashed-[^"]*)"', page) for page in (first, second)]
    assert [len(ids) for ids in shown] == [50, 10]
    assert len({*shown[0], *shown[1]}) == 60
    assert "60 deleted tasks" in second
    [before] = re.findall(rf'href="({path}\?before=[^"]*)"', second)
    assert re.findall('id="(trashed-[^"]*)"', (await alice.get(before)).text) == shown[0]
