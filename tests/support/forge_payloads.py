"""Payloads of GitHub and GitLab: the documented fields that are read, of a made-up repository.

The structures are those of https://docs.github.com/en/webhooks/webhook-events-and-payloads and
https://docs.gitlab.com/user/project/integrations/webhook_events/. Recorded payloads of GitHub
are in tests/vendor.
"""

from typing import Any

GITHUB_URL = "https://github.com/acme/app"
GITLAB_URL = "https://gitlab.example.com/acme/tools/app"
COMMIT = "7c211433f02071597741e6ff5a8ea34789abbf43"
OTHER_COMMIT = "9bcc5ef3a1b2c3d4e5f60718293a4b5c6d7e8f90"

Payload = dict[str, Any]


def github_headers(event: str) -> dict[str, str]:
    """Return the headers that are kept of a payload of GitHub."""
    return {
        "x-github-event": event,
        "x-github-delivery": "72d3162e-cc78-11e3-81ab-4c9367dc0958",
        "content-type": "application/json",
    }


def gitlab_headers(event: str) -> dict[str, str]:
    """Return the headers that are kept of a payload of GitLab."""
    return {"x-gitlab-event": event, "x-gitlab-instance": "https://gitlab.example.com"}


def _github(**rest: Any) -> Payload:
    repository = {"id": 1, "name": "app", "full_name": "acme/app", "html_url": GITHUB_URL}
    return {**rest, "repository": repository, "sender": {"login": "octo", "type": "User"}}


def github_issue(action: str = "opened", *, number: int = 7, **fields: Any) -> Payload:
    """Return the payload of the event `issues`."""
    issue = {
        "html_url": f"{GITHUB_URL}/issues/{number}",
        "id": 1000 + number,
        "number": number,
        "title": "The page is blank",
        "user": {"login": "octo"},
        "labels": [{"name": "bug"}, {"name": "urgent"}],
        "state": "closed" if action == "closed" else "open",
        "body": "Open **any** page.\n\n# Expected\nSomething @lead",
        **fields,
    }
    return _github(action=action, issue=issue)


def github_change(action: str = "opened", *, number: int = 12, **fields: Any) -> Payload:
    """Return the payload of the event `pull_request`."""
    change = {
        "html_url": f"{GITHUB_URL}/pull/{number}",
        "number": number,
        "state": "open",
        "draft": False,
        "merged": False,
        "title": "Show the page",
        "body": None,
        "head": {"ref": "fix-page", "sha": COMMIT},
        "base": {"ref": "main"},
        **fields,
    }
    return _github(action=action, number=number, pull_request=change)


def github_check_run(
    conclusion: str | None, *, name: str = "test", branch: str = "main", sha: str = COMMIT
) -> Payload:
    """Return the payload of the event `check_run`."""
    run = {
        "id": 4,
        "name": name,
        "head_sha": sha,
        "html_url": f"{GITHUB_URL}/runs/4",
        "details_url": "https://ci.example.org/build/4",
        "status": "completed" if conclusion else "in_progress",
        "conclusion": conclusion,
        "check_suite": {"id": 5, "head_branch": branch, "head_sha": sha},
        "pull_requests": [],
    }
    return _github(action="completed" if conclusion else "created", check_run=run)


def github_check_suite(conclusion: str, *, branch: str = "main") -> Payload:
    """Return the payload of the event `check_suite`."""
    suite = {
        "id": 5,
        "head_branch": branch,
        "head_sha": COMMIT,
        "status": "completed",
        "conclusion": conclusion,
        "url": "https://api.github.com/repos/acme/app/check-suites/5",
        "app": {"id": 6, "name": "GitHub Actions"},
    }
    return _github(action="completed", check_suite=suite)


def github_workflow_run(
    conclusion: str | None, *, run: int = 30, branch: str = "main", sha: str = COMMIT
) -> Payload:
    """Return the payload of the event `workflow_run`."""
    workflow_run = {
        "id": run,
        "name": "CI",
        "head_branch": branch,
        "head_sha": sha,
        "status": "completed" if conclusion else "in_progress",
        "conclusion": conclusion,
        "html_url": f"{GITHUB_URL}/actions/runs/{run}",
    }
    return _github(action="completed", workflow_run=workflow_run, workflow={"name": "CI"})


def github_status(state: str, *, branch: str = "main") -> Payload:
    """Return the payload of the event `status`."""
    return _github(
        sha=COMMIT,
        name="acme/app",
        context="ci/lint",
        state=state,
        description="Lint",
        target_url="https://ci.example.org/build/9",
        branches=[{"name": branch, "commit": {"sha": COMMIT}}],
    )


def _gitlab(kind: str, **rest: Any) -> Payload:
    project = {"id": 3, "web_url": GITLAB_URL, "path_with_namespace": "acme/tools/app"}
    return {"object_kind": kind, "project": project, **rest}


def gitlab_issue(action: str = "open", *, number: int = 7, **fields: Any) -> Payload:
    """Return the payload of an issue event."""
    issue = {
        "id": 301,
        "iid": number,
        "title": "The page is blank",
        "description": "Open any page.",
        "state": "closed" if action == "close" else "opened",
        "action": action,
        "url": f"{GITLAB_URL}/-/issues/{number}",
        **fields,
    }
    return _gitlab("issue", event_type="issue", object_attributes=issue)


def gitlab_change(state: str = "opened", *, number: int = 12, **fields: Any) -> Payload:
    """Return the payload of a merge request event."""
    change = {
        "iid": number,
        "title": "Show the page",
        "description": "",
        "state": state,
        "draft": False,
        "source_branch": "fix-page",
        "target_branch": "main",
        "last_commit": {"id": COMMIT},
        "url": f"{GITLAB_URL}/-/merge_requests/{number}",
        "action": "open",
        **fields,
    }
    return _gitlab("merge_request", event_type="merge_request", object_attributes=change)


def gitlab_pipeline(
    status: str, *, pipeline: int = 31, branch: str = "main", change: int | None = None
) -> Payload:
    """Return the payload of a pipeline event."""
    attributes = {
        "id": pipeline,
        "name": None,
        "ref": branch,
        "tag": False,
        "sha": OTHER_COMMIT,
        "status": status,
        "url": f"{GITLAB_URL}/-/pipelines/{pipeline}",
    }
    request = change and {
        "iid": change,
        "source_branch": "fix-page",
        "url": f"{GITLAB_URL}/-/merge_requests/{change}",
    }
    return _gitlab("pipeline", object_attributes=attributes, merge_request=request, builds=[])


def gitlab_job(status: str, *, allow_failure: bool = False) -> Payload:
    """Return the payload of a job event, with the fields of before `project` was added."""
    return {
        "object_kind": "build",
        "ref": "main",
        "sha": COMMIT,
        "build_id": 1977,
        "build_name": "test",
        "build_status": status,
        "build_allow_failure": allow_failure,
        "project_name": "Acme / Tools / App",
        "repository": {"name": "app", "homepage": GITLAB_URL},
    }
