"""The page of a board."""

import re
from datetime import timedelta

import pytest

from core.clock import now
from core.db.engine import TransactionFactory
from models import (
    Agent,
    Board,
    DesiredState,
    Priority,
    Status,
    Tag,
    TagAssignment,
    Task,
    TaskDependency,
)
from tests.support.world import World, make_member

HTMX = {"HX-Request": "true", "HX-Request-Type": "partial"}


@pytest.fixture
async def task(transaction: TransactionFactory, world: World) -> Task:
    task = world.make_task("Write the <script>alert(1)</script>", status=Status.IN_PROGRESS)
    async with transaction() as session:
        session.add(task)
    return task


@pytest.fixture
def board_path(world: World) -> str:
    return f"/boards/{world.board.id}"


async def keep(transaction: TransactionFactory, *rows: object) -> None:
    async with transaction() as session:
        session.add_all(rows)


def column(html: str, status: str) -> str:
    """Return the HTML of a column."""
    return html.split(f'id="column-{status}"')[1].split('<section class="col')[0]


async def test_the_page_shows_the_tasks_in_their_columns(alice, board_path, task) -> None:
    response = await alice.get(board_path)

    assert response.status_code == 200
    assert "<h1>Launch</h1>" in response.text
    assert "Write the &lt;script&gt;" in column(response.text, "in_progress")
    assert "<script>alert(1)" not in response.text
    assert "/events?after=0" in response.text


async def test_review_groups_tasks_by_what_they_wait_for(
    alice, board_path, transaction, world
) -> None:
    with_approval, quiet, blocked = [
        world.make_task(title, status=Status.REVIEW) for title in ("Asked", "Quiet", "Stuck")
    ]
    first = world.make_task("First")
    waits = TaskDependency(
        board_id=world.board.id, task=blocked, depends_on=first, created_at=now()
    )
    await keep(
        transaction,
        with_approval,
        quiet,
        blocked,
        first,
        waits,
        *world.make_approval(with_approval),
    )

    review = column((await alice.get(board_path)).text, "review")

    order = ["Waiting for you", "Asked", "Waiting for the lead", "Quiet", "Blocked", "Stuck"]
    places = [review.index(words) for words in order]
    assert places == sorted(places)
    assert "Needs your answer" in review
    assert "Waits for 1 task" in review


async def test_the_done_column_is_collapsed_by_default(
    alice, board_path, transaction, world
) -> None:
    await keep(transaction, world.make_task("Finished thing", status=Status.DONE, done_at=now()))

    assert "Finished thing" not in (await alice.get(board_path)).text
    assert "Finished thing" in (await alice.get(f"{board_path}?done=1")).text


async def test_filters_are_in_the_address(alice, board_path, transaction, world) -> None:
    tag = Tag(
        organization_id=world.tern.id, name="docs", slug="docs", created_at=now(), updated_at=now()
    )
    tagged = world.make_task("Tagged", priority=Priority.HIGH)
    held = world.make_task("Held", assigned_agent_id=world.worker.id)
    await keep(transaction, tag, tagged, held)
    await keep(transaction, TagAssignment(task_id=tagged.id, tag_id=tag.id, created_at=now()))

    async def shown(query: str) -> set[str]:
        text = (await alice.get(f"{board_path}{query}")).text
        return set(re.findall(r">(Tagged|Held)</a>", text))

    assert await shown("") == {"Tagged", "Held"}
    assert await shown("?q=tag") == {"Tagged"}
    assert await shown("?tag=docs") == {"Tagged"}
    assert await shown("?priority=high") == {"Tagged"}
    assert await shown("?agent=nobody") == {"Tagged"}
    assert await shown(f"?agent={world.worker.id}") == {"Held"}
    assert await shown("?needs=1") == set()
    assert await shown("?view=list&q=held") == {"Held"}


@pytest.mark.parametrize(
    "query",
    [
        "agent=x",
        "priority=%00",
        "tag=a%00b",
        "q=%00",
        "sort=x",
        "view=x",
        "column=x",
        "refused=x.1.y",
        "deleted=1",
    ],
)
async def test_invalid_parameters_show_the_board(alice, board_path, query) -> None:
    assert (await alice.get(f"{board_path}?{query}")).status_code == 200


async def test_the_list_is_sorted_within_each_status(alice, board_path, transaction, world) -> None:
    await keep(transaction, world.make_task("b"), world.make_task("a"), world.make_task("c"))

    async def order(sort: str) -> list[str]:
        text = (await alice.get(f"{board_path}?view=list&sort={sort}")).text
        return re.findall(r">([abc])</a>", text)

    assert await order("title") == ["a", "b", "c"]
    assert await order("-title") == ["c", "b", "a"]


async def test_htmx_gets_only_the_tasks(alice, board_path, task) -> None:
    part = await alice.get(f"{board_path}/columns?view=list", headers=HTMX)

    assert "<html" not in part.text
    assert 'id="board-view"' in part.text
    assert "/columns?view=list" in part.text


async def test_htmx_filters_keep_a_clean_address(alice, board_path, task) -> None:
    headers = {**HTMX, "HX-Source": "form#filters"}

    part = await alice.get(f"{board_path}?q=write&agent=&tag=&view=board", headers=headers)

    assert part.headers["HX-Replace-Url"] == f"{board_path}?q=write"


async def test_the_agents_panel_shows_what_each_agent_does(
    alice, board_path, transaction, world, task
) -> None:
    task.assigned_agent_id = world.worker.id
    async with transaction() as session:
        await session.merge(task)

    agents_part = (await alice.get(f"{board_path}/crew", headers=HTMX)).text

    assert "Lead · checked in" in agents_part
    assert "Write the &lt;script&gt;" in agents_part


async def test_an_agent_being_removed_is_not_called_silent(
    alice, board_path, transaction, world
) -> None:
    async with transaction() as session:
        worker = await session.get_one(Agent, world.worker.id)
        worker.desired_state, worker.last_seen_at = DesiredState.GONE, now() - timedelta(hours=1)
    for path in (f"{board_path}/crew", f"/agents/{world.worker.id}"):
        page = (await alice.get(path)).text
        assert "is being removed" in page.lower(), path
        assert "silent for" not in page.lower(), path


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


@pytest.mark.parametrize("headers", [{}, HTMX])
async def test_a_rejected_move_is_explained_on_the_card(
    alice, board_path, transaction, world, task, headers
) -> None:
    world.board.require_approval_for_done = True
    async with transaction() as session:
        await session.merge(world.board)

    response = await alice.post(
        f"{board_path}/tasks/{task.id}/moves", data={"to": "done"}, headers=headers
    )

    assert response.status_code == 409
    card = response.text.split(f'id="task-{task.id}"')[1].split("</li>")[0]
    assert "Needs an approval before Done" in card
    assert "Ask for one" in card
    assert ("<html" in response.text) == (not headers)


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
    assert "Goes to Review before it is done" in again.text

    await alice.post(moves, data={"to": "review"}, headers=HTMX)
    again = await alice.get(part.replace("&amp;", "&"), headers=HTMX)
    assert "Goes to Review before it is done" not in again.text


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

    assert "Needs your answer" in response.text
    assert "Complete the task “Write the" in (await alice.get("/approvals")).text


async def test_an_unknown_column_is_rejected(alice, board_path, task) -> None:
    response = await alice.post(
        f"{board_path}/tasks/{task.id}/moves", data={"to": "x"}, headers=HTMX
    )

    assert response.status_code == 422
    assert response.headers["HX-Retarget"] == "#toasts"


async def test_a_new_task_lands_in_the_inbox(alice, board_path, world) -> None:
    response = await alice.post(f"{board_path}/tasks", data={"title": "A new thing", "tag_ids": []})

    assert response.status_code == 303
    assert "A new thing" in column((await alice.get(board_path)).text, "inbox")


async def test_htmx_gets_the_board_and_an_empty_form_after_adding_a_task(alice, board_path) -> None:
    response = await alice.post(f"{board_path}/tasks", data={"title": "A new thing"}, headers=HTMX)

    assert response.status_code == 200
    assert "A new thing" in column(response.text, "inbox")
    form = response.text.split('id="new-task-form"')[1].split("</form>")[0]
    assert "A new thing" not in form


@pytest.mark.parametrize("headers", [{}, HTMX])
@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("title", "   ", "must not be blank"),
        ("title", "x" * 501, "too long"),
        ("due_at", "tomorrow", "Write a date like"),
        ("due_at", "9999-12-31", "year"),
        ("assigned_agent_id", "01a210b8-d6d6-7787-bac6-cae49650af55", "no such agent"),
        ("description", "a\0b", "cannot be stored"),
        ("priority", "urgent", "priority is one of"),
    ],
)
async def test_an_invalid_new_task_keeps_the_submitted_values(
    alice, board_path, headers, field, value, words
) -> None:
    typed = {"title": "Kept title", "description": "Kept details"} | {field: value}

    response = await alice.post(f"{board_path}/tasks", data=typed, headers=headers)

    assert response.status_code in (404, 422)
    assert words in response.text
    assert ("Kept title" if field != "title" else "Kept details") in response.text
    assert "Kept title" not in column((await alice.get(board_path)).text, "inbox")


async def test_readers_see_no_controls(rita, board_path, task) -> None:
    page = (await rita.get(board_path)).text

    assert "You can read this board" in page
    for control in ("New task", "data-move", "data-movable", "new-task", '/settings" aria'):
        assert control not in page


async def test_readers_cannot_change_anything(rita, board_path, task, transaction) -> None:
    task_path = f"{board_path}/tasks/{task.id}"
    for path, data in [
        (f"{board_path}/tasks", {"title": "x"}),
        (f"{task_path}/moves", {"to": "done"}),
        (f"{task_path}/questions", {}),
    ]:
        assert (await rita.post(path, data=data)).status_code == 403, path
        assert (await rita.post(path, data=data, headers=HTMX)).status_code == 403, path
    assert (await rita.get(f"{board_path}/tasks/new")).status_code == 403
    async with transaction() as session:
        unmoved = await session.get_one(Task, task.id, populate_existing=True)
        assert unmoved.status is Status.IN_PROGRESS


async def test_boards_of_other_organizations_are_not_found(charlie, board_path, task) -> None:
    task_path = f"{board_path}/tasks/{task.id}"
    for path in (
        board_path,
        f"{board_path}/columns",
        f"{board_path}/crew",
        f"{board_path}/tasks/new",
    ):
        assert (await charlie.get(path)).status_code == 404, path
    for path, data in [
        (f"{board_path}/tasks", {"title": "x"}),
        (f"{task_path}/moves", {"to": "done"}),
        (f"{task_path}/questions", {}),
    ]:
        assert (await charlie.post(path, data=data)).status_code == 404, path


async def test_a_member_without_access_gets_an_error_page(dana, board_path) -> None:
    assert (await dana.get(board_path)).status_code == 403


async def test_a_board_is_found_by_its_slug(alice, charlie, world, board_path) -> None:
    found = await alice.get(f"/boards/{world.board.slug}?view=list")

    assert found.status_code == 303
    assert found.headers["Location"] == f"{board_path}?view=list"
    assert (await charlie.get(f"/boards/{world.board.slug}")).status_code == 404


@pytest.mark.parametrize("slug", ["nowhere", "%00", "%ff", "x" * 1_000])
async def test_an_unknown_slug_finds_no_board(alice, slug) -> None:
    assert (await alice.get(f"/boards/{slug}")).status_code == 404


async def test_a_board_is_found_by_its_slug_among_many(
    alice, transaction, world, board_path
) -> None:
    at = now()
    many = [
        Board(
            organization_id=world.tern.id,
            name=f"{number}",
            slug=f"{number}",
            created_at=at,
            updated_at=at,
        )
        for number in range(201)
    ]
    async with transaction() as session:
        session.add_all(many)
    found = await alice.get(f"/boards/{world.board.slug}")
    assert found.headers["Location"] == board_path


async def test_the_start_page_is_the_inbox_if_a_decision_is_pending(
    alice, transaction, world
) -> None:
    assert (await alice.get("/")).headers["Location"] == "/boards"
    await keep(transaction, *world.make_approval())
    assert (await alice.get("/")).headers["Location"] == "/approvals"


async def test_a_board_of_an_inactive_organization_is_not_found(alice, transaction, world) -> None:
    everything = {"all_boards_read": True, "all_boards_write": True}
    await keep(transaction, make_member(world.plover, world.alice, **everything))
    elsewhere = f"/boards/{world.charlies_board.id}"

    assert (await alice.get(elsewhere)).status_code == 404
    assert (await alice.post(f"{elsewhere}/tasks", data={"title": "x"})).status_code == 404
