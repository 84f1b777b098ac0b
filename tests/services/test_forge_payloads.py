"""Reading the payloads of GitHub and GitLab, also forged ones."""

import json
from urllib.parse import urlencode
from uuid import uuid4

import pytest

from services.forges import (
    ChangeState,
    CheckStatus,
    IssueAction,
    UnusedPayload,
    read_payload,
)
from services.forges.payloads import Repository, check_url, find_closed_issues
from tests.support import forge_payloads as payloads
from tests.support.cpu_time import MAX_CPU_SECONDS, measure_cpu
from tests.support.forge_payloads import GITHUB_URL, GITLAB_URL, github_headers, gitlab_headers


def read_github(event, payload):
    return read_payload(github_headers(event), payload)


def read_gitlab(payload):
    return read_payload(gitlab_headers("System Hook"), payload)


def reason_of(headers, payload) -> str:
    with pytest.raises(UnusedPayload) as caught:
        read_payload(headers, payload)
    return caught.value.reason


@pytest.mark.parametrize(
    ("report", "url"),
    [
        (read_github("issues", payloads.github_issue()), f"{GITHUB_URL}/issues/7"),
        (read_gitlab(payloads.gitlab_issue()), f"{GITLAB_URL}/-/issues/7"),
    ],
    ids=["github", "gitlab"],
)
def test_issues_are_read(report, url) -> None:
    assert (report.action, report.number, report.url) == (IssueAction.OPENED, 7, url)
    assert report.title == "The page is blank"
    assert report.body.startswith("Open")


def test_the_form_that_github_sends_by_default_is_read() -> None:
    form = urlencode({"payload": json.dumps(payloads.github_issue())})
    assert read_github("issues", form).number == 7
    assert reason_of(github_headers("issues"), "payload=%7B") == "malformed"


@pytest.mark.parametrize(
    ("fields", "state"),
    [
        ({}, ChangeState.OPEN),
        ({"draft": True}, ChangeState.DRAFT),
        ({"state": "closed"}, ChangeState.CLOSED),
        ({"state": "closed", "merged": True}, ChangeState.MERGED),
    ],
)
def test_the_state_of_a_pull_request_is_read(fields, state) -> None:
    assert read_github("pull_request", payloads.github_change(**fields)).state is state


@pytest.mark.parametrize(
    ("fields", "state"),
    [
        ({}, ChangeState.OPEN),
        ({"draft": True}, ChangeState.DRAFT),
        ({"work_in_progress": True}, ChangeState.DRAFT),
        ({"state": "closed"}, ChangeState.CLOSED),
        ({"state": "merged", "draft": True}, ChangeState.MERGED),
    ],
)
def test_the_state_of_a_merge_request_is_read(fields, state) -> None:
    assert read_gitlab(payloads.gitlab_change(**fields)).state is state


@pytest.mark.parametrize(
    ("event", "payload", "name", "state"),
    [
        ("check_run", payloads.github_check_run("failure"), "test", CheckStatus.FAILING),
        ("check_run", payloads.github_check_run(None), "test", CheckStatus.RUNNING),
        ("check_suite", payloads.github_check_suite("success"), "GitHub Actions", "passing"),
        ("workflow_run", payloads.github_workflow_run("timed_out"), "CI", CheckStatus.FAILING),
        ("status", payloads.github_status("error"), "ci/lint", CheckStatus.FAILING),
        ("status", payloads.github_status("pending"), "ci/lint", CheckStatus.RUNNING),
    ],
)
def test_checks_of_github_are_read(event, payload, name, state) -> None:
    report = read_github(event, payload)
    assert (report.name, report.state, report.branch) == (name, state, "main")
    assert report.url.startswith(f"{GITHUB_URL}/")  # never the address of another CI


@pytest.mark.parametrize(
    ("payload", "name", "state"),
    [
        (payloads.gitlab_pipeline("failed"), "Pipeline", CheckStatus.FAILING),
        (payloads.gitlab_pipeline("running"), "Pipeline", CheckStatus.RUNNING),
        (payloads.gitlab_job("failed"), "test", CheckStatus.FAILING),
        (payloads.gitlab_job("failed", allow_failure=True), "test", CheckStatus.PASSING),
        (payloads.gitlab_job("success"), "test", CheckStatus.PASSING),
    ],
)
def test_checks_of_gitlab_are_read(payload, name, state) -> None:
    report = read_gitlab(payload)
    assert (report.name, report.state, report.branch) == (name, state, "main")
    assert report.repository == Repository("acme/tools/app", GITLAB_URL)


@pytest.mark.parametrize(
    ("headers", "payload", "reason"),
    [
        ({}, {}, "forge_unknown"),
        (github_headers("ping"), {"zen": "x"}, "ping"),
        (github_headers("issues"), payloads.github_issue("labeled"), "action_unsupported"),
        (github_headers("check_run"), payloads.github_check_run("cancelled"), "action_unsupported"),
        (github_headers("issues"), [], "action_unsupported"),
        (github_headers("pull_request"), {}, "malformed"),
        (github_headers("issues"), payloads.github_issue(title=None), "malformed"),
        (github_headers("issues"), payloads.github_issue(number=-1), "malformed"),
        (gitlab_headers("Push Hook"), {"object_kind": "push"}, "event_unsupported"),
        (
            gitlab_headers("Pipeline Hook"),
            payloads.gitlab_pipeline("skipped"),
            "action_unsupported",
        ),
    ],
)
def test_other_payloads_are_not_used(headers, payload, reason) -> None:
    assert reason_of(headers, payload) == reason


@pytest.mark.parametrize(
    "url",
    [
        "javascript:alert(1)",
        "https://github.com.evil.example/acme/app/issues/7",
        "https://github.com@evil.example/acme/app/issues/7",
        "https://user:x@github.com/acme/app/issues/7",
        "http://github.com/acme/app/issues/7",
        "https://github.com:444/acme/app/issues/7",
        "https://github.com\\@evil.example/",
        "//github.com/acme/app/issues/7",
        "https://github.com/acme/app/issues/7\n",
        'https://github.com/"onclick=',
        "https://[::1/",
        "https://github.com/" + "x" * 1_000,
        7,
        None,
    ],
)
def test_a_url_of_another_host_is_not_linked(url) -> None:
    payload = payloads.github_issue(html_url=url)
    assert reason_of(github_headers("issues"), payload) == "foreign_url"


@pytest.mark.parametrize("url", ["javascript:alert(1)//acme/app", "ftp://a/acme/app", "/acme/app"])
def test_a_repository_has_a_web_address(url) -> None:
    payload = payloads.github_issue()
    payload["repository"]["html_url"] = url
    assert reason_of(github_headers("issues"), payload) == "malformed"


def test_tasks_are_named_by_their_id_or_address() -> None:
    first, second, third = uuid4(), uuid4(), uuid4()
    payload = payloads.github_change(
        title=f"Fix {first}",
        body=f"See https://mc.example.com/boards/{uuid4()}/tasks/{second} and {first}",
        head={"ref": f"task/{str(third).upper()}", "sha": "abc"},
    )
    ids = list(read_github("pull_request", payload).task_ids)
    assert ids[:2] == [first, third]
    assert ids[3] == second


@pytest.mark.parametrize(
    ("text", "numbers"),
    [
        ("Fixes #7, closes: #8 and resolved acme/app#9", ["7", "8", "9"]),
        (f"Closes {GITHUB_URL}/issues/10.", ["10"]),
        ("prefixes #7, fix 7, fixes#7, see #7", []),
        ("FIXED #3", ["3"]),
    ],
)
def test_closed_issues_are_found(text, numbers) -> None:
    report = read_github("pull_request", payloads.github_change(body=text))
    assert report.closed_issue_urls == [f"{GITHUB_URL}/issues/{one}" for one in numbers]


def test_a_closed_issue_may_be_in_another_repository() -> None:
    text = f"Closes other/tool#4, fixes https://evil.example/other/tool/issues/5 {GITHUB_URL}"
    report = read_github("pull_request", payloads.github_change(body=text))
    assert report.closed_issue_urls == ["https://github.com/other/tool/issues/4"]
    text = f"Implements #4, closing acme/other#5 and fixing {GITLAB_URL}/-/issues/6"
    assert read_gitlab(payloads.gitlab_change(description=text)).closed_issue_urls == [
        f"{GITLAB_URL}/-/issues/4",
        "https://gitlab.example.com/acme/other/-/issues/5",
        f"{GITLAB_URL}/-/issues/6",
    ]


@pytest.mark.parametrize(
    "text",
    ["fixes " * 10_000, "fixes a/" * 5_000, "fixes " + "a/b" * 20_000, "fixes a/" + "a" * 60_000],
)
def test_searching_closed_issues_takes_linear_time(text) -> None:
    repository = Repository("acme/app", GITHUB_URL)
    with measure_cpu() as measured:
        found = find_closed_issues(
            text, repository, issue_path="/issues/", keywords="fix(?:e[sd])?"
        )
    assert measured.seconds < MAX_CPU_SECONDS
    assert found == []


@pytest.mark.parametrize("value", [None, 7, "x", [], {}, [{}], {"a": {}}, True])
@pytest.mark.parametrize("place", ["issue", "repository", "pull_request", "check_run", "action"])
def test_a_field_of_another_type_is_never_an_error(place, value) -> None:
    for event, payload in (
        ("issues", payloads.github_issue()),
        ("pull_request", payloads.github_change()),
        ("check_run", payloads.github_check_run("failure")),
    ):
        if place in payload:
            reason_of(
                github_headers(event), payload | {place: value}
            ) if place != "action" else None
    for broken in (value, {"object_kind": value}, {"object_kind": "issue", "project": value}):
        reason_of(gitlab_headers("Issue Hook"), broken)


def test_code_hosts_are_recognized_by_their_header() -> None:
    assert reason_of(github_headers("ping"), {}) == "ping"
    assert reason_of(gitlab_headers("Push Hook"), {}) == "event_unsupported"
    assert reason_of({"x-event-key": "repo:push"}, {}) == "forge_unknown"
    assert check_url("https://a.example/x", "https://a.example") == "https://a.example/x"
