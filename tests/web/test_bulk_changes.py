"""Changes of several tasks on a board page, and of one by the menu of its card."""

import re
from itertools import product

import pytest
from sqlalchemy import select, text

from core.clock import now
from core.db.engine import TransactionFactory
from models import Board, Event, EventType, Task, TaskDependency, new_id
from tests.support.tiers import repetition
from tests.support.world import World

MANY = 60  # tasks: more than a page shows, for several transactions
HTMX = {"HX-Request": "true", "HX-Request-Type": "partial", "HX-Target": "div#board-view"}


@pytest.fixture
async def made(transaction: TransactionFactory, world: World) -> list[Task]:
    """Create three tasks, of which the second depends on the first."""
    first, blocked, _ = made = [world.make_task(one) for one in ("First", "Blocked", "Last")]
    edge = TaskDependency(board_id=world.board.id, task=blocked, depends_on=first, created_at=now())
    async with transaction() as session:
        session.add_all([*made, edge])
    return made


@pytest.fixture
def path(world: World) -> str:
    return f"/boards/{world.board.id}"


def fields(made: list[Task], **change: str) -> dict[str, object]:
    return {"ids": [str(task.id) for task in made], **change}


def find_card(html: str, task: Task) -> str:
    return html.split(f'id="task-{task.id}"')[1].split("</li>")[0]


async def read(transaction: TransactionFactory, made: list[Task]) -> list[Task]:
    ids = [task.id for task in made]
    async with transaction() as session:
        found = {task.id: task for task in await session.scalars(select(Task))}
    return [found[id] for id in ids if id in found]


async def test_what_was_changed_leaves_the_selection(alice, path, transaction, made) -> None:
    response = await alice.post(f"{path}/changes", data=fields(made, status="review"), headers=HTMX)
    assert response.status_code == 200
    first, blocked, last = (find_card(response.text, task) for task in made)
    assert "checked" in blocked
    assert "Blocked by <a" in blocked
    assert "checked" not in first
    assert "checked" not in last
    toast = response.text.split("data-toast")[1]
    assert "2 tasks changed. 1 task not changed." in toast
    statuses = [task.status for task in await read(transaction, made)]
    assert statuses == ["review", "inbox", "review"]
    [part] = re.findall(r'hx-get="([^"]*columns[^"]*)"', response.text)
    again = await alice.get(part.replace("&amp;", "&"), headers=HTMX)
    assert "Blocked by <a" in find_card(again.text, made[1])


async def test_the_list_shows_why_a_task_was_not_changed(alice, path, made) -> None:
    response = await alice.post(
        f"{path}/changes?view=list", data=fields(made[1:2], status="done"), headers=HTMX
    )
    assert response.status_code == 409
    row = response.text.split(f'id="task-{made[1].id}"')[1].split("</tr>")[0]
    assert "checked" in row
    assert "Blocked by <a" in row


@pytest.mark.parametrize("headers", [{}, HTMX])
async def test_only_tasks_that_are_different_are_changed(
    alice, path, transaction, made, headers
) -> None:
    async def set_low(some: list[Task]) -> str:
        response = await alice.post(
            f"{path}/changes?view=list", data=fields(some, priority="low"), headers=headers
        )
        if response.status_code == 303:
            response = await alice.get(response.headers["Location"])
        return response.text.split("data-toast")[1]

    assert "1 task changed" in await set_low(made[:1])
    assert "2 tasks changed" in await set_low(made)
    nothing = await set_low(made)
    assert "0 tasks changed" in nothing
    assert "/undos" not in nothing
    assert [task.version for task in await read(transaction, made)] == [2, 2, 2]
    async with transaction() as session:
        updates = select(Event).where(Event.type == EventType.TASK_UPDATED)
        assert len((await session.scalars(updates)).all()) == 3


async def undo(client, response, headers) -> str:
    """Undo a change by the form that its response, or the page after it, has."""
    if not headers and response.status_code == 303:
        response = await client.get(response.headers["Location"])
    [address] = re.findall(r'action="([^"]*/undos[^"]*)"', response.text)
    undone = await client.post(address.replace("&amp;", "&"), data={}, headers=headers)
    if undone.status_code == 303:  # without scripts, to the view of the change
        assert "/changes" not in undone.headers["Location"]
        undone = await client.get(undone.headers["Location"])
    assert undone.status_code == 200
    return " ".join(re.sub(r"<[^>]*>", " ", undone.text.split("data-toast")[1]).split())


@pytest.mark.parametrize(
    ("headers", "change"),
    [
        *product([HTMX], ["delete", "status"]),
        *(pytest.param(HTMX, one, marks=repetition) for one in ("priority", "set_due")),
        ({}, "delete"),
        ({}, "set_due"),
        *(pytest.param({}, one, marks=repetition) for one in ("status", "priority")),
    ],
)
async def test_a_change_of_all_that_matches_is_undone_at_once(
    alice, path, transaction, world, headers, change
) -> None:
    many = [world.make_task(f"Pot {number}") for number in range(MANY)]
    other = world.make_task("Other")
    async with transaction() as session:
        session.add_all([*many, other])
    sent = {"delete": "on", "status": "review", "priority": "high", "set_due": "on"}[change]
    data = {"all": "500", change: sent, "new_due_at": "2030-01-02"}
    response = await alice.post(f"{path}/changes?q=Pot", data=data, headers=headers)
    changed = await read(transaction, many)
    if change == "delete":
        assert changed == []
    else:
        written = {(one.status, one.priority, one.due_at is not None) for one in changed}
        assert written == {
            {
                "status": ("review", "medium", False),
                "priority": ("inbox", "high", False),
                "set_due": ("inbox", "medium", True),
            }[change]
        }
    assert [one.version for one in await read(transaction, [other])] == [1]
    assert f"Undone: {MANY} tasks" in await undo(alice, response, headers)
    again = await read(transaction, many)
    assert {(one.status, one.priority, one.due_at) for one in again} == {("inbox", "medium", None)}
    assert len(again) == MANY


async def test_the_bar_names_how_many_tasks_one_change_reaches(
    alice, rita, path, transaction, world
) -> None:
    async with transaction() as session:
        session.add_all([world.make_task(f"Pot {number}") for number in range(60)])
        session.add(world.make_task("Pot done", status="done"))
    for query, number in [("?q=Pot", 60), ("?q=Pot&done=1", 61), ("?q=Pot&view=list", 61)]:
        page = (await alice.get(f"{path}{query}")).text
        assert f'name="all" value="{number}"' in page
        assert f"Select all {number}" in page
    one_group = (await alice.get(f"{path}?view=list&only=is.inbox")).text
    for page in (one_group, (await rita.get(f"{path}?q=Pot")).text):
        assert 'name="all"' not in page
    sent = {"all": "3", "priority": "high"}
    changed = await alice.post(f"{path}/changes?view=list&sort=title", data=sent, headers=HTMX)
    assert "3 tasks changed" in changed.text


async def test_undo_names_the_tasks_that_it_cannot_restore(
    alice, path, transaction, world, made
) -> None:
    first, _, last = made
    response = await alice.post(
        f"{path}/changes", data=fields([first, last], status="review"), headers=HTMX
    )
    async with transaction() as session:
        changed = await session.get(Task, last.id)
        assert changed is not None
        changed.status = "in_progress"
    text = await undo(alice, response, HTMX)
    assert "Undone: 1 task. 1 task not undone. It has been changed since. (“Last”)" in text
    statuses = [task.status for task in await read(transaction, made)]
    assert statuses == ["inbox", "inbox", "in_progress"]


async def test_undo_obeys_the_rules_of_the_board(alice, path, transaction, world) -> None:
    done = world.make_task("Done", status="done")
    async with transaction() as session:
        session.add(done)
    response = await alice.post(f"{path}/changes", data=fields([done], status="inbox"))
    async with transaction() as session:
        board = await session.get(Board, world.board.id)
        assert board is not None
        board.require_approval_for_done = True
    text = await undo(alice, response, {})
    assert "Undone: 0 tasks. 1 task not undone." in text
    assert "(“Done”)" in text
    assert [task.status for task in await read(transaction, [done])] == ["inbox"]


@pytest.fixture
async def sixty(transaction: TransactionFactory, world: World) -> list[Task]:
    """Create tasks for three transactions of a change; "Pot 30" is in the second one."""
    many = [world.make_task(f"Pot {number}") for number in range(60)]
    async with transaction() as session:
        session.add_all(many)
    return many


async def interrupt(transaction: TransactionFactory, statement: str) -> None:
    """Let the database execute a statement in the second transaction of a change."""
    body = f"returns trigger language plpgsql as $$ begin {statement}; return new; end $$"
    event = "before update on tasks for each row when (new.title = 'Pot 30')"
    trigger = f"create trigger interrupt {event} execute function interrupt()"
    async with transaction() as session:
        await session.execute(text(f"create function interrupt() {body}"))
        await session.execute(text(trigger))


LOCK_TIMEOUT = "raise exception 'lock timeout' using errcode = '55P03'"
LOSS_OF_RIGHT = "update organization_board_access set can_write = false"
EXPIRY = "update bulk_task_changes set created_at = created_at - interval '1 hour'"
NOT_ALLOWED = "You can read this board but not change it."


@pytest.mark.parametrize("headers", [{}, HTMX])
@pytest.mark.parametrize(
    ("statement", "number", "reason"),
    [(LOCK_TIMEOUT, 25, "The database does not answer."), (LOSS_OF_RIGHT, 50, NOT_ALLOWED)],
)
async def test_an_interrupted_change_shows_what_was_changed(
    bob, path, transaction, sixty, headers, statement, number, reason
) -> None:
    await interrupt(transaction, statement)
    sent = fields(sixty, priority="high")
    response = await bob.post(f"{path}/changes", data=sent, headers=headers)
    assert response.status_code == 200
    said = f"{number} tasks changed. {60 - number} tasks not changed. {reason}"
    assert said in response.text
    assert re.search(r'action="[^"]*/undos', response.text)
    changed = [task.priority for task in await read(transaction, sixty)]
    assert changed == ["high"] * number + ["medium"] * (60 - number)


@pytest.mark.parametrize(
    ("statement", "number", "reason"),
    [
        (LOCK_TIMEOUT, 25, "The database does not answer."),
        (LOSS_OF_RIGHT, 50, NOT_ALLOWED),
        (EXPIRY, 50, "This change was undone already, or was made too long ago."),
    ],
)
async def test_an_interrupted_undo_names_what_it_has_not_restored(
    bob, path, transaction, sixty, statement, number, reason
) -> None:
    sent = fields(sixty, priority="high")
    response = await bob.post(f"{path}/changes", data=sent, headers=HTMX)
    await interrupt(transaction, statement)
    said = f"Undone: {number} tasks. {60 - number} tasks not undone. {reason}"
    shown = await undo(bob, response, HTMX)
    assert said in shown
    assert (" Undo " in shown) is (statement == LOCK_TIMEOUT)
    restored = [task.priority for task in await read(transaction, sixty)]
    assert restored == ["high"] * (60 - number) + ["medium"] * number


async def test_a_change_is_undone_once_by_who_made_it(
    alice, bob, rita, charlie, anonymous, path, made
) -> None:
    response = await alice.post(f"{path}/changes", data=fields(made, priority="high"), headers=HTMX)
    [address] = re.findall(r'action="([^"]*/undos[^"]*)"', response.text)
    answers = {anonymous: 401, charlie: 404, rita: 403, bob: 404, alice: 200}
    for client, status in answers.items():
        assert (await client.post(address, data={}, headers=HTMX)).status_code == status
    assert (await alice.post(address, data={}, headers=HTMX)).status_code == 404
    for client, status in {anonymous: 401, charlie: 404, alice: 200}.items():  # shows the board
        assert (await client.get(address, headers=HTMX)).status_code == status


@pytest.mark.parametrize(
    ("change", "name", "expected"),
    [
        ({"priority": "high"}, "priority", "high"),
        ({"assignee": "worker"}, "assigned_agent_id", "worker"),
        ({"due_at": "2030-05-06"}, "due_at", "2030-05-06"),
        ({"due_at": ""}, "due_at", None),
    ],
)
async def test_the_menu_of_a_card_changes_one_task(
    alice, path, transaction, world, made, change, name, expected
) -> None:
    if expected is None:
        async with transaction() as session:
            (await session.get_one(Task, made[2].id)).due_at = now()
    sent = {
        key: str(world.worker.id) if value == "worker" else value for key, value in change.items()
    }
    response = await alice.post(f"{path}/changes", data=fields(made[2:], **sent), headers=HTMX)
    assert "1 task changed" in response.text
    [task] = await read(transaction, made[2:])
    value = getattr(task, name)
    if expected == "worker":
        assert value == world.worker.id
    elif name == "due_at" and expected:
        assert value.date().isoformat() == expected
    else:
        assert value == expected


async def test_without_scripts_the_board_shows_the_reasons(alice, path, made) -> None:
    done = await alice.post(f"{path}/changes?view=list", data=fields(made[:1], status="review"))
    assert done.status_code == 303
    assert done.headers["Location"].startswith(f"{path}?view=list&changed=")
    failed = await alice.post(f"{path}/changes", data=fields(made[1:2], status="review"))
    assert failed.status_code == 409
    assert "Blocked by <a" in find_card(failed.text, made[1])
    assert "checked" in find_card(failed.text, made[1])


@pytest.mark.parametrize(
    "change",
    [
        {},
        {"status": "x"},
        {"priority": "urgent"},
        {"due_at": "tomorrow"},
        {"due_at": "0001-01-01"},
        {"due_at": "9999-12-31"},
        {"assignee": "x"},
        {"add_tag": "x"},
        {"ids": [], "status": "done"},
        {"ids": ["x"], "status": "done"},
        {"ids": [str(new_id()) for _ in range(501)], "status": "done"},
        {"all": "501", "status": "done"},
        {"all": "x", "status": "done"},
    ],
)
async def test_an_invalid_change_changes_nothing(alice, path, transaction, made, change) -> None:
    response = await alice.post(f"{path}/changes", data=fields(made) | change, headers=HTMX)
    assert response.status_code == 422
    assert response.headers["HX-Retarget"] == "#toasts"
    assert [task.version for task in await read(transaction, made)] == [1, 1, 1]


async def test_only_who_may_change_the_board_may_change_its_tasks(
    rita, charlie, anonymous, path, transaction, made
) -> None:
    for sent in (fields(made, status="done"), {"all": "500", "status": "done"}):
        address = f"{path}/changes"
        assert (await rita.post(address, data=sent, headers=HTMX)).status_code == 403
        assert (await charlie.post(address, data=sent, headers=HTMX)).status_code == 404
        assert (await anonymous.post(address, data=sent, headers=HTMX)).status_code == 401
    page = (await rita.get(path)).text
    assert not re.search(r"data-pick\b", page)
    assert "card-menu" not in page
    assert [task.status for task in await read(transaction, made)] == ["inbox"] * 3


async def test_the_drawer_leads_to_the_tasks_around_it_in_the_same_view(alice, path, made) -> None:
    first, blocked, last = made

    async def around(task: Task, query: str) -> list[str]:
        page = (await alice.get(f"{path}/tasks/{task.id}{query}", headers=HTMX)).text
        return re.findall(r'href="([^"]*)" data-key="[\[\]]" data-in-drawer', page)

    assert await around(blocked, "") == [f"{path}/tasks/{one.id}" for one in (last, first)]
    assert await around(last, "") == [f"{path}/tasks/{blocked.id}"]
    by_title = "?view=list&sort=title"
    links = await around(first, by_title)
    assert links == [f"{path}/tasks/{one.id}?view=list&amp;sort=title" for one in (blocked, last)]
    assert await around(last, "?q=last") == []
    assert await around(last, "?q=first") == []
