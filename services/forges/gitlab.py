"""Read the payloads of GitLab, which are named by their field `object_kind`.

Their fields are those of https://docs.gitlab.com/user/project/integrations/webhook_events/.
"""

from collections.abc import Callable, Mapping

from services.forges.payloads import (
    MAX_URL_LENGTH,
    ChangeReport,
    ChangeState,
    CheckReport,
    CheckStatus,
    ForgeReport,
    IssueAction,
    IssueReport,
    PayloadReader,
    Repository,
    UnusedPayload,
    check_url,
    find_closed_issues,
    find_task_ids,
    require,
)

CLOSING_WORDS = "clos(?:e[sd]?|ing)|fix|fixe[sd]|fixing|resolv(?:e[sd]?|ing)|implement(?:s|ed|ing)?"
RUNNING = {"created", "waiting_for_resource", "preparing", "pending", "running"}
ISSUE_ACTIONS = {
    "open": IssueAction.OPENED,
    "close": IssueAction.CLOSED,
    "reopen": IssueAction.REOPENED,
    "update": IssueAction.UPDATED,
}


def read_gitlab_payload(payload: object) -> ForgeReport:
    """Return what a payload is about. Raises UnusedPayload."""
    given = PayloadReader(payload)
    reader = READERS.get(given.text("object_kind"))
    if reader is None:
        raise UnusedPayload("event_unsupported")
    return reader(given)


def _read_project(payload: PayloadReader) -> Repository:
    given, older = payload.read("project"), payload.read("repository")
    url = require(given.text("web_url", MAX_URL_LENGTH) or older.text("homepage", MAX_URL_LENGTH))
    path = url.partition("://")[2].partition("/")[2]
    name = require(given.text("path_with_namespace") or path)
    if not (check_url(url, url) and url.endswith(f"/{name}")):
        raise UnusedPayload("malformed")
    return Repository(name, url)


def _read_issue(payload: PayloadReader) -> IssueReport:
    issue = payload.read("object_attributes")
    action = ISSUE_ACTIONS.get(issue.text("action"))
    if action is None:
        raise UnusedPayload("action_unsupported")
    project = _read_project(payload)
    return IssueReport(
        project,
        action,
        issue.url("url", project.url),
        issue.number("iid"),
        require(issue.text("title")),
        issue.body("description"),
    )


def _read_change(payload: PayloadReader) -> ChangeReport:
    project, change = _read_project(payload), payload.read("object_attributes")
    title, body = require(change.text("title")), change.body("description")
    branch = change.text("source_branch")
    return ChangeReport(
        project,
        _read_change_state(change),
        change.url("url", project.url),
        change.number("iid"),
        title,
        branch,
        change.read("last_commit").text("id"),
        find_task_ids(title, branch, body),
        find_closed_issues(
            f"{title}\n{body}", project, issue_path="/-/issues/", keywords=CLOSING_WORDS
        ),
    )


def _read_change_state(change: PayloadReader) -> ChangeState:
    state = change.text("state")
    if state in ("merged", "closed"):
        return ChangeState(state)
    is_draft = change.flag("draft") or change.flag("work_in_progress")
    return ChangeState.DRAFT if is_draft else ChangeState.OPEN


def _read_pipeline(payload: PayloadReader) -> CheckReport:
    project, pipeline = _read_project(payload), payload.read("object_attributes")
    change = payload.read("merge_request")
    return CheckReport(
        project,
        pipeline.text("name") or "Pipeline",
        _read_state(pipeline.text("status")),
        require(change.text("source_branch") or pipeline.text("ref")),
        require(pipeline.text("sha")),
        f"{project.url}/-/pipelines/{pipeline.number('id')}",
        check_url(change.text("url"), project.url),
    )


def _read_job(payload: PayloadReader) -> CheckReport:
    project = _read_project(payload)
    state = _read_state(payload.text("build_status"))
    if state is CheckStatus.FAILING and payload.flag("build_allow_failure"):
        state = CheckStatus.PASSING
    return CheckReport(
        project,
        require(payload.text("build_name")),
        state,
        require(payload.text("ref")),
        require(payload.text("sha")),
        f"{project.url}/-/jobs/{payload.number('build_id')}",
    )


def _read_state(status: str) -> CheckStatus:
    if status in RUNNING:
        return CheckStatus.RUNNING
    if status == "failed":
        return CheckStatus.FAILING
    if status == "success":
        return CheckStatus.PASSING
    raise UnusedPayload("action_unsupported")  # canceled, skipped, manual or scheduled


READERS: Mapping[str, Callable[[PayloadReader], ForgeReport]] = {
    "issue": _read_issue,
    "merge_request": _read_change,
    "pipeline": _read_pipeline,
    "build": _read_job,
}
