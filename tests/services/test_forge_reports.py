"""What reports of code hosts do to the tasks of a board."""

from uuid import uuid4

import pytest
from sqlalchemy import select

from core.paging import Paging
from models import Comment, Event, EventType, Message, Status, Task, TaskLink
from services import boards, forges, tasks
from services.forges import UnusedPayload
from tests.support import forge_payloads as payloads
from tests.support.forge_payloads import (
    COMMIT,
    GITHUB_URL,
    OTHER_COMMIT,
    github_headers,
    gitlab_headers,
)

WEBHOOK = "Code"


async def report(session, world, headers, payload):
    """Apply a payload; return the id of its task, or the reason why it was not used."""
    board = await boards.lock_board(session, world.alice, world.board.id)
    try:
        read = forges.read_payload(headers, payload)
        return await forges.apply_report(session, board, read, forges.ReportSource(WEBHOOK))
    except UnusedPayload as unused:
        return unused.reason


async def github(session, world, event, payload):
    return await report(session, world, github_headers(event), payload)


async def gitlab(session, world, payload):
    return await report(session, world, gitlab_headers("System Hook"), payload)


async def get_link(session, **conditions):
    query = select(TaskLink).filter_by(**conditions).execution_options(populate_existing=True)
    return (await session.scalars(query)).one()


async def list_comments(session, world, task_id):
    page = await tasks.list_comments(session, world.board, task_id, Paging())
    return [(one.author_name, one.comment.message) for one in page.items]


async def test_an_issue_creates_one_task(session, world) -> None:
    task_id = await github(session, world, "issues", payloads.github_issue())
    assert await github(session, world, "issues", payloads.github_issue()) == "unchanged"

    task = (await session.scalars(select(Task).where(Task.id == task_id))).one()
    assert (task.title, task.status, task.created_by_user_id) == (
        "The page is blank",
        Status.INBOX,
        None,
    )
    assert task.description == (
        "acme/app#7: https://github.com/acme/app/issues/7\n\n"
        "> Open \\*\\*any\\*\\* page.\n>\n> \\# Expected\n> Something @ lead"
    )
    link = await get_link(session, task_id=task_id)
    assert (link.kind, link.reference, link.state) == ("issue", "#7", "open")
    created = (
        await session.scalars(select(Event).where(Event.type == EventType.TASK_CREATED))
    ).one()
    assert (created.user_id, created.agent_id, created.data["webhook"]) == (None, None, WEBHOOK)


async def test_the_lead_is_told_about_the_task_of_an_issue(session, world) -> None:
    await github(session, world, "issues", payloads.github_issue())
    message = (await session.scalars(select(Message))).one()
    assert (message.agent_id, message.kind) == (world.lead.id, "NEW TASK ADDED")


async def test_closing_and_reopening_an_issue_is_commented(session, world) -> None:
    task_id = await gitlab(session, world, payloads.gitlab_issue())
    assert await gitlab(session, world, payloads.gitlab_issue("close")) == task_id
    assert await gitlab(session, world, payloads.gitlab_issue("close")) == "unchanged"
    assert await gitlab(session, world, payloads.gitlab_issue("reopen")) == task_id
    assert await gitlab(session, world, payloads.gitlab_issue("update", title="New")) == task_id

    url = f"{payloads.GITLAB_URL}/-/issues/7"
    assert await list_comments(session, world, task_id) == [
        (WEBHOOK, f"The issue was closed: {url}"),
        (WEBHOOK, f"The issue was reopened: {url}"),
    ]
    link = await get_link(session, task_id=task_id)
    assert (link.title, link.state) == ("New", "open")


async def test_a_change_of_an_unknown_issue_does_nothing(session, world) -> None:
    for action in ("closed", "edited"):
        assert await github(session, world, "issues", payloads.github_issue(action)) == "no_task"
    assert isinstance(
        await github(session, world, "issues", payloads.github_issue("reopened")), type(uuid4())
    )


async def test_a_failing_check_creates_one_task_while_it_is_open(session, world) -> None:
    def run(conclusion, number):
        return github(
            session, world, "workflow_run", payloads.github_workflow_run(conclusion, run=number)
        )

    assert await run("success", 1) == "no_task"
    task_id = await run("failure", 2)
    assert await run("failure", 2) == "unchanged"
    assert await run("failure", 3) == task_id
    assert await run(None, 4) == "unchanged"
    assert await run("success", 4) == task_id
    assert await run("failure", 5) == task_id

    link = await get_link(session, task_id=task_id)
    assert (link.kind, link.reference, link.state) == ("check", "main", "failing")
    assert link.url == f"{GITHUB_URL}/actions/runs/5"
    assert [text for _, text in await list_comments(session, world, task_id)] == [
        f"The check “CI” passes on “main”: {GITHUB_URL}/actions/runs/4",
        f"The check “CI” fails again on “main”: {GITHUB_URL}/actions/runs/5",
    ]

    await tasks.update_task(
        session, world.alice, world.board, task_id, tasks.TaskUpdate.of(status="done")
    )
    assert await run("success", 6) == task_id
    other_id = await run("failure", 7)
    assert other_id != task_id
    assert (await get_link(session, kind="check")).task_id == other_id


async def test_each_branch_and_check_has_its_task(session, world) -> None:
    ids = {
        await github(session, world, "check_run", payloads.github_check_run("failure", **names))
        for names in ({}, {"branch": "next"}, {"name": "lint"}, {"branch": "x\nlint", "name": "y"})
    }
    assert len(ids) == 4
    assert await gitlab(session, world, payloads.gitlab_pipeline("failed")) not in ids
    assert await gitlab(session, world, payloads.gitlab_job("failed")) not in ids


async def test_names_of_checks_mention_nobody(session, world) -> None:
    names = {"name": "@lead", "branch": "*@worker*"}
    payload = payloads.github_check_run("failure", **names, sha="@lead [a](b)")
    task_id = await github(session, world, "check_run", payload)
    task = (await session.scalars(select(Task).where(Task.id == task_id))).one()
    assert "@lead" not in task.description
    assert "\\[a\\]" in task.description
    passed = payloads.github_check_run("success", **names)
    assert await github(session, world, "check_run", passed) == task_id
    assert (await list_comments(session, world, task_id))[0][1].startswith(
        "The check “@ lead” passes on “\\*@ worker\\*”"
    )


async def add_task(session, world, **fields):
    task = world.make_task(**fields)
    session.add(task)
    await session.flush()
    return task


async def test_a_pull_request_is_linked_to_the_task_that_it_names(session, world) -> None:
    task = await add_task(session, world)
    assert await github(session, world, "pull_request", payloads.github_change()) == "no_task"
    named = payloads.github_change(body=f"For /tasks/{task.id}", draft=True)
    assert await github(session, world, "pull_request", named) == task.id
    assert await github(session, world, "pull_request", named) == "unchanged"
    link = await get_link(session)
    assert (link.kind, link.reference, link.state, link.commit) == (
        *("change", "#12", "draft"),
        COMMIT,
    )
    merged = payloads.github_change("closed", state="closed", merged=True, title="Done")
    assert await github(session, world, "pull_request", merged) == task.id
    link = await get_link(session)
    assert (link.state, link.title) == ("merged", "Done")
    changed = select(Event).where(Event.type == EventType.TASK_LINK_UPDATED).order_by(Event.seq)
    assert [one.data["state"] for one in await session.scalars(changed)] == ["draft", "merged"]


async def test_a_pull_request_is_linked_to_the_task_of_the_issue_that_it_closes(
    session, world
) -> None:
    task_id = await github(session, world, "issues", payloads.github_issue())
    change = payloads.github_change(body="Fixes #7")
    assert await github(session, world, "pull_request", change) == task_id
    task_id = await gitlab(session, world, payloads.gitlab_issue())
    assert await gitlab(session, world, payloads.gitlab_change(description="Closes #7")) == task_id


async def test_a_task_of_another_board_is_not_linked(session, world) -> None:
    for board in (world.garden, world.charlies_board):
        task = world.make_task()
        task.board, task.board_id = board, board.id
        session.add(task)
        await session.flush()
        change = payloads.github_change(title=str(task.id))
        assert await github(session, world, "pull_request", change) == "no_task"


async def test_checks_of_a_pull_request_are_shown_with_it(session, world) -> None:
    task = await add_task(session, world, assigned_agent_id=world.worker.id)
    await github(session, world, "pull_request", payloads.github_change(title=str(task.id)))

    async def check(name, conclusion):
        payload = payloads.github_check_run(conclusion, name=name, branch="fix-page")
        await github(session, world, "check_run", payload)
        return (await get_link(session)).checks_state

    assert await check("test", None) == "running"
    assert await check("lint", "success") == "running"
    assert await check("test", "failure") == "failing"
    assert await check("docs", "failure") == "failing"
    assert len(await list_comments(session, world, task.id)) == 1
    told = (await session.scalars(select(Message))).one()
    assert (told.agent_id, told.kind) == (world.worker.id, "NEW TASK COMMENT")

    new_commit = payloads.github_change(
        "synchronize", title=str(task.id), head={"ref": "fix-page", "sha": OTHER_COMMIT}
    )
    await github(session, world, "pull_request", new_commit)
    link = await get_link(session)
    assert (link.checks, link.checks_state) == ({}, None)


async def test_a_check_of_a_fork_with_the_same_commit_is_not_shown(session, world) -> None:
    task = await add_task(session, world)
    await github(session, world, "pull_request", payloads.github_change(title=str(task.id)))
    check = payloads.github_check_run("success")
    fork = {"full_name": "other/app", "html_url": "https://github.com/other/app"}
    check["check_run"]["html_url"] = "https://github.com/other/app/runs/4"
    assert await github(session, world, "check_run", check | {"repository": fork}) == "no_task"
    assert (await get_link(session)).checks_state is None


async def test_a_pipeline_belongs_to_its_merge_request(session, world) -> None:
    task = await add_task(session, world)
    await gitlab(session, world, payloads.gitlab_change(title=str(task.id)))
    pipeline = payloads.gitlab_pipeline("success", change=12)
    assert await gitlab(session, world, pipeline) == task.id
    link = await get_link(session)
    assert (link.reference, link.checks_state) == ("!12", "passing")


async def test_the_number_of_checks_of_a_commit_is_limited(session, world) -> None:
    task = await add_task(session, world)
    await github(session, world, "pull_request", payloads.github_change(title=str(task.id)))
    link = await get_link(session)
    link.checks = {str(number): "passing" for number in range(100)}
    await session.flush()
    await github(session, world, "check_run", payloads.github_check_run("failure"))
    assert len((await get_link(session)).checks) == 100


async def test_links_are_deleted_and_restored_with_their_task(session, world) -> None:
    task_id = await github(session, world, "issues", payloads.github_issue())
    await tasks.delete_task(session, world.alice, world.board, task_id)
    assert (await session.scalars(select(TaskLink))).all() == []
    await tasks.restore_task(session, world.alice, world.board, task_id)
    assert (await get_link(session)).task_id == task_id
    links = await forges.list_task_links(session, world.board, task_id)
    assert [one.url for one in links] == [f"{GITHUB_URL}/issues/7"]


async def test_a_long_issue_fits_into_a_task(session, world) -> None:
    issue = payloads.github_issue(title="x" * 10_000, body="*" * 100_000 + "\0")
    task_id = await github(session, world, "issues", issue)
    task = (await session.scalars(select(Task).where(Task.id == task_id))).one()
    assert len(task.title) == 200
    assert len(task.description or "") < 50_000


@pytest.mark.parametrize("event", ["issues", "check_run"])
async def test_nothing_is_left_if_a_task_cannot_be_created(session, world, event) -> None:
    payload = {"issues": payloads.github_issue(title="\u200b")}.get(event)
    result = await github(session, world, event, payload or payloads.github_check_run("neutral"))
    assert result in ("malformed", "no_task")
    assert (await session.scalars(select(Comment))).all() == []
