"""The page of a board."""

import re
from datetime import timedelta

import pytest

from core.clock import now
from models import (
    Agent,
    DesiredState,
    Priority,
    Status,
    Tag,
    TagAssignment,
    Task,
    TaskDependency,
)
from tests.support.board_pages import HTMX, column, keep
from tests.support.board_rows import make_agent
from tests.support.statement_counter import count_all_statements


async def test_the_page_shows_the_tasks_in_their_columns(alice, board_path, task) -> None:
    response = await alice.get(board_path)

    assert response.status_code == 200
    assert '<h1 dir="auto" title="Launch">Launch</h1>' in response.text
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
    assert "Needs you" in review
    assert "Blocked by 1 task" in review


async def test_a_reader_sees_that_a_decision_waits_for_others(
    alice, rita, board_path, transaction, world
) -> None:
    task = world.make_task("Asked", status=Status.REVIEW)
    await keep(transaction, task, *world.make_approval(task, agent_id=world.worker.id))

    decider, reader = [(await client.get(board_path)).text for client in (alice, rita)]
    panel = (await rita.get(f"{board_path}/agents-panel", headers={"HX-Request": "true"})).text

    assert "Waiting for you" in column(decider, "review")
    assert "Waiting for your decision" in decider
    assert "Waiting for others" in column(reader, "review")
    assert "Waiting for you" not in reader
    for seen in (reader, panel):
        assert "Waits for an approval" in seen
        assert "Waiting for your decision" not in seen


async def test_nothing_waits_for_the_lead_of_a_board_without_one(
    alice, board_path, transaction, world
) -> None:
    await keep(transaction, world.make_task("Quiet", status=Status.REVIEW))
    async with transaction() as session:
        (await session.get_one(Agent, world.lead.id)).is_board_lead = False

    review = column((await alice.get(board_path)).text, "review")

    assert "Waiting for review" in review
    assert "Waiting for the lead" not in review


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
    assert await shown(f"?agent={world.worker.id}&agent=nobody") == {"Tagged", "Held"}
    assert await shown(f"?agent={world.worker.id},nobody&not_tag=docs") == {"Held"}
    assert await shown("?not_agent=nobody&priority=high&priority=medium") == {"Held"}
    assert await shown("?status=done&status=review") == set()
    several = (await alice.get(f"{board_path}?view=list&tag=docs&tag=x&not_tag=y")).text
    assert "?view=list&amp;tag=docs&amp;tag=x&amp;not_tag=y" in several
    assert await shown("?needs=1") == set()
    assert await shown("?view=list&q=held") == {"Held"}
    filters = "q=x&agent=nobody&not_agent=nobody&tag=x&not_tag=x&priority=low&status=done"
    filters += "&field=x&value=x&needs=1&blocked=1"
    page = (await alice.get(f"{board_path}?view=list&{filters}")).text
    assert f'id="show-all" href="{board_path}?view=list"' in page


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


async def test_the_list_shows_the_newest_of_equal_tasks_first(
    alice, board_path, transaction, world
) -> None:
    older, newer = [world.make_task(name, status=Status.REVIEW) for name in ("Older", "Newer")]
    older.created_at = newer.created_at - timedelta(hours=1)
    await keep(transaction, older, newer, *world.make_approval(older))

    text = (await alice.get(f"{board_path}?view=list")).text

    assert re.findall(r">(Older|Newer)</a>", text) == ["Newer", "Older"]


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

    agents_part = (await alice.get(f"{board_path}/agents-panel", headers=HTMX)).text

    assert re.findall(r'id="crew-([^"]*)"', agents_part) == [str(world.worker.id)]
    assert "Write the &lt;script&gt;" in agents_part
    assert f'href="/agents?board={world.board.id}">2 more' in agents_part  # which are idle


async def test_the_agents_panel_has_its_former_address(alice, board_path) -> None:
    paths = [f"{board_path}/{part}" for part in ("crew", "agents-panel")]
    former, present = [await alice.get(path, headers=HTMX) for path in paths]
    assert (former.status_code, former.text) == (200, present.text)
    assert f'hx-get="{board_path}/agents-panel"' in former.text


async def test_agents_that_wait_for_the_viewer_come_before_those_that_work(
    alice, rita, board_path, transaction, world, task
) -> None:
    task.assigned_agent_id = world.lead.id  # the first by name and role
    async with transaction() as session:
        await session.merge(task)
    asked = world.make_task("Asked")
    await keep(transaction, asked, *world.make_approval(asked, agent_id=world.worker.id))

    pages = [(await client.get(f"{board_path}/agents-panel")).text for client in (alice, rita)]

    for page in pages:
        shown = [str(world.worker.id), str(world.lead.id)]
        assert re.findall(r'id="crew-([^"]*)"', page) == shown
    assert ["data-needs" in page for page in pages] == [True, False]


async def test_a_board_names_few_of_many_agents(alice, board_path, transaction, world) -> None:
    many = [make_agent(f"Worker {number}", world.board) for number in range(40)]
    for number, agent in enumerate(many):
        status = Status.IN_PROGRESS if number < 30 else Status.INBOX
        assigned = {"status": status, "assigned_agent_id": agent.id}
        await keep(transaction, agent, world.make_task(f"Task {number}", **assigned))

    page = (await alice.get(board_path)).text

    assert len(re.findall(r'id="crew-', page)) == 8
    assert ">35 more" in page
    assert page.count("data-agent=") == 40  # every card has the state of its agent
    assert "Worker 39" not in page.split('id="crew"')[1].split("</ul>")[0]


async def test_an_agent_being_removed_is_not_called_silent(
    alice, board_path, transaction, world, task
) -> None:
    task.assigned_agent_id = world.worker.id
    async with transaction() as session:
        await session.merge(task)
        worker = await session.get_one(Agent, world.worker.id)
        worker.desired_state, worker.last_seen_at = DesiredState.GONE, now() - timedelta(hours=1)
    for path in (f"{board_path}/agents-panel", f"/agents/{world.worker.id}"):
        page = (await alice.get(path)).text
        assert "is being removed" in page.lower(), path
        assert "silent for" not in page.lower(), path


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
        ("title", "   ", "Enter a title."),
        ("title", "x" * 501, "At most 500 characters."),
        ("due_at", "tomorrow", "Write a date like"),
        ("due_at", "9999-12-31", "year"),
        ("assignee", "01a210b8-d6d6-7787-bac6-cae49650af55", "no such agent"),
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


async def test_the_start_page_is_the_inbox_if_a_decision_is_pending(
    alice, transaction, world
) -> None:
    assert (await alice.get("/")).headers["Location"] == "/dashboard"
    await keep(transaction, *world.make_approval())
    assert (await alice.get("/")).headers["Location"] == "/approvals"


@pytest.mark.parametrize(
    "part", ["columns", "agents-panel", "presence", "chat/news", "cards/{task}"]
)
async def test_an_unchanged_part_is_not_sent_again(
    alice, rita, board_path, transaction, task, part
) -> None:
    path = f"{board_path}/{part.format(task=task.id)}"
    first = await alice.get(path, headers=HTMX)
    known = HTMX | {"If-None-Match": first.headers["ETag"]}
    again = await alice.get(path, headers=known)
    assert (again.status_code, again.content) == (304, b"")
    assert again.headers["ETag"] == first.headers["ETag"]
    assert again.headers["Cache-Control"] == "private, no-cache"
    if part == "columns":
        assert (await rita.get(path, headers=known)).status_code == 200
        async with transaction() as session:
            (await session.get_one(Task, task.id)).title = "Another title"
        assert (await alice.get(path, headers=known)).status_code == 200


async def test_a_page_is_sent_although_its_part_is_known(alice, board_path, task) -> None:
    part = await alice.get(board_path, headers=HTMX)
    page = await alice.get(board_path, headers={"If-None-Match": part.headers["ETag"]})
    assert page.status_code == 200
    assert "<html" in page.text


@pytest.mark.parametrize(("part", "limit"), [("", 13), ("/columns", 8), ("/cards/{task}", 6)])
async def test_a_board_takes_few_statements_however_many_tasks_it_has(
    alice, board_path, transaction, world, task, part, limit
) -> None:
    tasks = [world.make_task(f"Task {number}") for number in range(20)]
    await keep(transaction, *tasks, *world.make_approval(tasks[0], tasks[1]))
    path = f"{board_path}{part.format(task=task.id)}"
    await alice.get(path)
    with count_all_statements() as statements:
        assert (await alice.get(path, headers=HTMX if part else {})).status_code == 200
    assert len(statements) <= limit, "\n\n".join(one[:150] for one in statements)
