"""Read the payloads of GitHub, which are named by the header X-GitHub-Event.

Their fields are those of https://docs.github.com/en/webhooks/webhook-events-and-payloads.
"""

import json
from collections.abc import Callable, Mapping
from urllib.parse import unquote_plus

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

FORM_START = "payload="
CLOSING_WORDS = "close[sd]?|fix|fixe[sd]|resolve[sd]?"
FAILING = {"failure", "timed_out", "startup_failure", "error"}
PASSING = {"success", "neutral", "skipped"}
ISSUE_ACTIONS = {
    "opened": IssueAction.OPENED,
    "closed": IssueAction.CLOSED,
    "deleted": IssueAction.CLOSED,
    "reopened": IssueAction.REOPENED,
    "edited": IssueAction.UPDATED,
}


def read_github_payload(event: str, payload: object) -> ForgeReport:
    """Return what a payload is about. Raises UnusedPayload."""
    reader = READERS.get(event)
    if event == "ping":  # sent once, when a webhook is set up at GitHub
        raise UnusedPayload("ping")
    if reader is None:
        raise UnusedPayload("event_unsupported")
    return reader(PayloadReader(_decode_form(payload)))


def _decode_form(payload: object) -> object:
    """Return the JSON of a form, which is what GitHub sends unless another type is chosen."""
    if not isinstance(payload, str) or not payload.startswith(FORM_START):
        return payload
    text = unquote_plus(payload.removeprefix(FORM_START).partition("&")[0])
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        raise UnusedPayload("malformed") from None


def _read_repository(payload: PayloadReader) -> Repository:
    given = payload.read("repository")
    name = require(given.text("full_name"))
    url = require(given.text("html_url", MAX_URL_LENGTH))
    if not (check_url(url, url) and url.endswith(f"/{name}")):
        raise UnusedPayload("malformed")
    return Repository(name, url)


def _read_issue(payload: PayloadReader) -> IssueReport:
    action = ISSUE_ACTIONS.get(payload.text("action"))
    if action is None:
        raise UnusedPayload("action_unsupported")
    repository, issue = _read_repository(payload), payload.read("issue")
    return IssueReport(
        repository,
        action,
        issue.url("html_url", repository.url),
        issue.number("number"),
        require(issue.text("title")),
        issue.body("body"),
    )


def _read_change(payload: PayloadReader) -> ChangeReport:
    repository, change = _read_repository(payload), payload.read("pull_request")
    title, body, head = require(change.text("title")), change.body("body"), change.read("head")
    branch = head.text("ref")
    return ChangeReport(
        repository,
        _read_change_state(change),
        change.url("html_url", repository.url),
        change.number("number"),
        title,
        branch,
        head.text("sha"),
        find_task_ids(title, branch, body),
        find_closed_issues(
            f"{title}\n{body}", repository, issue_path="/issues/", keywords=CLOSING_WORDS
        ),
    )


def _read_change_state(change: PayloadReader) -> ChangeState:
    if change.flag("merged"):
        return ChangeState.MERGED
    if change.text("state") == "closed":
        return ChangeState.CLOSED
    return ChangeState.DRAFT if change.flag("draft") else ChangeState.OPEN


def _read_check_run(payload: PayloadReader) -> CheckReport:
    run = payload.read("check_run")
    suite = run.read("check_suite")
    return _build_check(payload, run, run.text("name"), suite.text("head_branch"))


def _read_workflow_run(payload: PayloadReader) -> CheckReport:
    run = payload.read("workflow_run")
    name = run.text("name") or payload.read("workflow").text("name")
    return _build_check(payload, run, name, run.text("head_branch"))


def _read_check_suite(payload: PayloadReader) -> CheckReport:
    suite = payload.read("check_suite")
    return _build_check(payload, suite, suite.read("app").text("name"), suite.text("head_branch"))


def _build_check(
    payload: PayloadReader, check: PayloadReader, name: str, branch: str
) -> CheckReport:
    repository, commit = _read_repository(payload), require(check.text("head_sha"))
    try:
        url = check.url("html_url", repository.url)
    except UnusedPayload:  # suites have no page of their own
        url = _commit_url(repository, commit)
    state = CheckStatus.RUNNING
    if check.text("status") == "completed":
        state = _read_conclusion(check.text("conclusion"))
    return CheckReport(repository, require(name), state, require(branch), commit, url)


def _read_status(payload: PayloadReader) -> CheckReport:
    repository, commit = _read_repository(payload), require(payload.text("sha"))
    branches = [one.text("name") for one in payload.read_all("branches", 1)]
    state = CheckStatus.RUNNING
    if payload.text("state") != "pending":
        state = _read_conclusion(payload.text("state"))
    return CheckReport(
        repository,
        require(payload.text("context")),
        state,
        require("".join(branches)),
        commit,
        _commit_url(repository, commit),
    )


def _read_conclusion(conclusion: str) -> CheckStatus:
    if conclusion in FAILING:
        return CheckStatus.FAILING
    if conclusion in PASSING:
        return CheckStatus.PASSING
    raise UnusedPayload("action_unsupported")  # cancelled, or replaced by another run


def _commit_url(repository: Repository, commit: str) -> str:
    if not (commit.isascii() and commit.isalnum()):
        raise UnusedPayload("malformed")
    return f"{repository.url}/commit/{commit}"


READERS: Mapping[str, Callable[[PayloadReader], ForgeReport]] = {
    "issues": _read_issue,
    "pull_request": _read_change,
    "check_run": _read_check_run,
    "check_suite": _read_check_suite,
    "workflow_run": _read_workflow_run,
    "status": _read_status,
}
