"""Payloads that GitHub has sent are read; they are vendored from a package of examples."""

import json
from pathlib import Path
from typing import Any

import pytest

from services.forges import (
    ChangeState,
    CheckStatus,
    ForgeReport,
    IssueAction,
    UnusedPayload,
    read_payload,
)
from tests.support.forge_payloads import github_headers

RECORDED = Path(__file__).parent.parent / "vendor/github-webhooks-7.6.1.jsonl"
REPOSITORY = "https://github.com/Codertocat/Hello-World"
COMMIT = "ec26c3e57ca3a959ca5aad62de7213c562f8c821"
RUN = "https://github.com/octo-org/octo-repo/actions/runs/289782451"
EXPECTED = [
    (IssueAction.OPENED, f"{REPOSITORY}/issues/1"),
    (IssueAction.REOPENED, f"{REPOSITORY}/issues/1"),
    "action_unsupported",  # a label
    (ChangeState.OPEN, f"{REPOSITORY}/pull/2"),
    (ChangeState.CLOSED, f"{REPOSITORY}/pull/2"),
    (ChangeState.DRAFT, f"{REPOSITORY}/pull/2"),
    (CheckStatus.FAILING, f"{REPOSITORY}/runs/128620228"),
    (CheckStatus.PASSING, f"{REPOSITORY}/commit/{COMMIT}"),
    (CheckStatus.PASSING, RUN),  # which has no name; its workflow has one
    (CheckStatus.PASSING, f"{REPOSITORY}/commit/6113728f27ae82c7b1a177c8d03f9e96e0adf246"),
    "ping",
    "event_unsupported",  # a push
]
PAYLOADS = [json.loads(line) for line in RECORDED.read_text(encoding="utf-8").splitlines()]


def describe(report: ForgeReport) -> tuple[Any, str]:
    """Return what a report says of its object, and the address of the object."""
    said: Any = report
    names = ("action", "state", "status")
    return next(getattr(said, name) for name in names if hasattr(said, name)), said.url


@pytest.mark.parametrize(
    ("event", "payload", "expected"),
    [(*given, expected) for given, expected in zip(PAYLOADS, EXPECTED, strict=True)],
    ids=[f"{event}-{payload.get('action', '')}" for event, payload in PAYLOADS],
)
def test_a_recorded_payload_is_read(event: str, payload: Any, expected: Any) -> None:
    if isinstance(expected, str):
        with pytest.raises(UnusedPayload) as caught:
            read_payload(github_headers(event), payload)
        assert caught.value.reason == expected
    else:
        assert describe(read_payload(github_headers(event), payload)) == expected
