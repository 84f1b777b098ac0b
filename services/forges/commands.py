"""Apply what a code host reports to the tasks of a board: create them, comment, and link them."""

import hashlib
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from core.clock import now
from core.fields import MAX_TEXT_LENGTH
from models import Board, EventType, LinkKind, Status, Task, TaskLink, new_id
from services import events, tasks
from services.forges.github import read_github_payload
from services.forges.gitlab import read_gitlab_payload
from services.forges.payloads import (
    MAX_NAME_LENGTH,
    ChangeReport,
    CheckReport,
    CheckStatus,
    ForgeReport,
    IssueAction,
    IssueReport,
    UnusedPayload,
)
from services.forges.queries import find_link, find_task_of_issues, list_changes_of, load_tasks
from services.payload_templates import clean_text, escape_markdown

OPEN, CLOSED = "open", "closed"


def read_payload(headers: Mapping[str, str], payload: object) -> ForgeReport:
    """Return what a payload of a code host is about. The names of headers are in lower case.

    Gitea and Forgejo send the header and the fields of GitHub too. Raises UnusedPayload.
    """
    if "x-github-event" in headers:
        return read_github_payload(headers["x-github-event"], payload)
    if "x-gitlab-event" in headers:
        return read_gitlab_payload(payload)
    raise UnusedPayload("forge_unknown")


@dataclass(frozen=True)
class ReportSource:
    """Where a report comes from, and how a task is made of it."""

    webhook: str  # its name, as the author of what is written
    preface: str = ""  # begins the description of a new task
    sends_messages: bool = True  # otherwise the caller tells the lead of a new task


async def apply_report(
    session: AsyncSession,
    board: Board,
    report: ForgeReport,
    source: ReportSource,
) -> UUID:
    """Apply a report to a locked board, and return the id of the task that it concerns.

    Raises UnusedPayload if nothing is to be done, and what `tasks.create_task` raises.
    """
    if isinstance(report, IssueReport):
        return await _apply_issue(session, board, report, source)
    if isinstance(report, CheckReport):
        return await _apply_check(session, board, report, source)
    return await _apply_change(session, board, report, source)


async def _apply_issue(
    session: AsyncSession, board: Board, issue: IssueReport, source: ReportSource
) -> UUID:
    link, at = await find_link(session, board, issue.url), now()
    if link is None:
        if issue.action not in (IssueAction.OPENED, IssueAction.REOPENED):
            raise UnusedPayload("no_task")
        fields = {"title": issue.title, "description": _describe_issue(issue)}
        task_id = await _create_task(session, board, fields, source)
        link = add_link(session, board, task_id, issue, OPEN, at)
        await _record(session, board, link, source)
        return task_id
    before = (link.title, link.state)
    link.title = issue.title
    if issue.action is not IssueAction.UPDATED:
        link.state = CLOSED if issue.action is IssueAction.CLOSED else OPEN
    if before == (link.title, link.state):
        raise UnusedPayload("unchanged")
    if before[1] != link.state:
        verb = "closed" if link.state == CLOSED else "reopened"
        await _comment(session, board, link, f"The issue was {verb}: {link.url}", source)
    await _update(session, board, link, at, source)
    return link.task_id


async def _apply_check(
    session: AsyncSession, board: Board, check: CheckReport, source: ReportSource
) -> UUID:
    changes = await list_changes_of(session, board, check)
    for change in changes:
        before = (change.checks, change.checks_state)
        if check.name in change.checks or len(change.checks) < 100:  # of a commit
            change.checks = {**change.checks, check.name: check.state.value}
            change.checks_state = combine_states(change.checks.values())
        if before == (change.checks, change.checks_state):
            continue
        if change.checks_state == CheckStatus.FAILING != before[1]:
            text = f"{_describe_check(check)} fails on {_name(check.branch)}: {check.url}"
            await _comment(session, board, change, text, source)
        await _update(session, board, change, now(), source)
    if changes:
        return changes[0].task_id
    return await _apply_branch_check(session, board, check, source)


async def _apply_branch_check(
    session: AsyncSession, board: Board, check: CheckReport, source: ReportSource
) -> UUID:
    """Apply a check of a branch that belongs to no pull request of a task."""
    link, at = await find_link(session, board, build_check_key(check)), now()
    is_failing = check.state is CheckStatus.FAILING
    task = await _load_task(session, board, link) if link and is_failing else None
    if link is None or (task and task.status is Status.DONE):
        if not is_failing:
            raise UnusedPayload("no_task")
        fields = {
            "title": f"{check.name} fails on {check.branch}",
            "description": _describe_failure(check),
            "priority": "high",
        }
        task_id = await _create_task(session, board, fields, source)
        if link is None:
            link = add_link(session, board, task_id, check, check.state, at)
            await _record(session, board, link, source)
            return task_id
        link.task_id, link.state = task_id, check.state
    elif check.state is CheckStatus.RUNNING or (link.state, link.url) == (check.state, check.url):
        raise UnusedPayload("unchanged")
    elif link.state != check.state:
        verb = "fails again" if is_failing else "passes"
        text = f"{_describe_check(check)} {verb} on {_name(check.branch)}: {check.url}"
        link.state = check.state
        await _comment(session, board, link, text, source)
    link.url = check.url
    await _update(session, board, link, at, source)
    return link.task_id


async def _apply_change(
    session: AsyncSession, board: Board, change: ChangeReport, source: ReportSource
) -> UUID:
    link, at = await find_link(session, board, change.url), now()
    task_id = await _find_task(session, board, change)
    if link is None:
        if task_id is None:
            raise UnusedPayload("no_task")
        link = add_link(session, board, task_id, change, change.state, at)
        await _record(session, board, link, source)
        return task_id
    before = (link.task_id, link.title, link.state, link.commit)
    link.task_id, link.title, link.state = task_id or link.task_id, change.title, change.state
    if change.commit != link.commit:
        link.commit, link.checks, link.checks_state = change.commit, {}, None
    if before == (link.task_id, link.title, link.state, link.commit):
        raise UnusedPayload("unchanged")
    await _update(session, board, link, at, source)
    return link.task_id


async def _find_task(session: AsyncSession, board: Board, change: ChangeReport) -> UUID | None:
    """Return the task that a pull request names, or else the one of an issue that it closes."""
    found = await load_tasks(session, board, change.task_ids)
    named = next((id for id in change.task_ids if id in found), None)
    if named is not None:
        return named
    of_issues = await find_task_of_issues(session, board, change.closed_issue_urls)
    return next((of_issues[url] for url in change.closed_issue_urls if url in of_issues), None)


async def _create_task(
    session: AsyncSession,
    board: Board,
    fields: Mapping[str, object],
    source: ReportSource,
) -> UUID:
    if source.preface:
        description = f"{source.preface}{fields['description']}"[:MAX_TEXT_LENGTH]
        fields = {**fields, "description": description}
    detail = await tasks.create_task(
        session,
        None,
        board,
        tasks.TaskCreate.parse(fields),
        webhook=source.webhook,
        sends_messages=source.sends_messages,
    )
    return detail.task.id


async def _load_task(session: AsyncSession, board: Board, link: TaskLink) -> Task:
    found = await load_tasks(session, board, [link.task_id])
    return found[link.task_id]


async def _comment(
    session: AsyncSession, board: Board, link: TaskLink, text: str, source: ReportSource
) -> None:
    await tasks.create_comment(session, None, board, link.task_id, text, webhook=source.webhook)


async def _update(
    session: AsyncSession, board: Board, link: TaskLink, at: datetime, source: ReportSource
) -> None:
    link.updated_at = at
    await _record(session, board, link, source)


async def _record(
    session: AsyncSession, board: Board, link: TaskLink, source: ReportSource
) -> None:
    """Store a link, and record that it has changed."""
    await session.flush()
    task = await _load_task(session, board, link)
    await events.record_event(
        session,
        EventType.TASK_LINK_UPDATED,
        None,
        organization_id=board.organization_id,
        board=board,
        task=task,
        data={
            "title": task.title,
            "webhook": source.webhook,
            "kind": link.kind.value,
            "repository": link.repository,
            "reference": link.reference,
            "link_title": link.title,
            "url": link.url,
            "state": str(link.state),
            "checks_state": link.checks_state,
        },
    )


def _describe_issue(issue: IssueReport) -> str:
    """Quote the text of an issue, so that it can be told from ours, line by line."""
    name = escape_markdown(f"{issue.repository.name}#{issue.number}")
    lines = escape_markdown(clean_text(issue.body)).strip().split("\n")
    quote = "\n".join(f"> {line}".rstrip() for line in lines) if issue.body.strip() else ""
    return "\n\n".join(filter(None, (f"{name}: {issue.url}", quote)))


def _describe_failure(check: CheckReport) -> str:
    names = (
        escape_markdown(check.repository.name),
        _name(check.branch),
        escape_markdown(check.commit[:12]),
    )
    return f"{_describe_check(check)} fails.\n\n{names[0]}, {names[1]}, {names[2]}: {check.url}"


def _describe_check(check: CheckReport) -> str:
    return f"The check {_name(check.name)}"


def _name(text: str) -> str:
    """Write a name so that it is shown as it is, and mentions nobody."""
    return "“" + escape_markdown(text[:MAX_NAME_LENGTH]) + "”"


def build_check_key(check: CheckReport) -> str:
    """Return what identifies a check of a branch: a hash, since all three names can be long."""
    names = "\n".join((check.repository.url, check.branch, check.name))
    return f"check:{hashlib.sha256(names.encode()).hexdigest()}"


def add_link(
    session: AsyncSession,
    board: Board,
    task_id: UUID,
    report: IssueReport | ChangeReport | CheckReport,
    state: str,
    at: datetime,
) -> TaskLink:
    """Add a link of a task of a locked board."""
    link = TaskLink(
        id=new_id(),
        board_id=board.id,
        task_id=task_id,
        repository=report.repository.name,
        url=report.url,
        state=state,
        commit=report.commit if isinstance(report, ChangeReport) else None,
        checks={},
        created_at=at,
        updated_at=at,
    )
    if isinstance(report, CheckReport):
        link.kind, link.key = LinkKind.CHECK, build_check_key(report)
        link.reference, link.title = report.branch, report.name
    else:
        link.kind = LinkKind.ISSUE if isinstance(report, IssueReport) else LinkKind.CHANGE
        sign = "!" if "/-/merge_requests/" in report.url else "#"
        link.key, link.reference, link.title = report.url, f"{sign}{report.number}", report.title
    session.add(link)
    return link


def combine_states(states: Collection[str]) -> str | None:
    """Return the state of all checks: failing if one is, passing if all are, else running."""
    if not states:
        return None
    if CheckStatus.FAILING in states:
        return CheckStatus.FAILING.value
    is_passing = all(state == CheckStatus.PASSING for state in states)
    return (CheckStatus.PASSING if is_passing else CheckStatus.RUNNING).value
