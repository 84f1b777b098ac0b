"""Rules for approval requests and their questions, without a database."""

from typing import Any
from uuid import uuid4

import pytest

from core.errors import Forbidden, Invalid
from models import ApprovalStatus
from services.approvals import rules
from services.approvals.requests import mention_agent
from services.approvals.rules import (
    ApprovalCreate,
    format_question,
    linked_task_ids,
    payload_with_reason,
)
from tests.support.board_rows import make_agent
from tests.support.world import World, make_world


@pytest.fixture
def world() -> World:
    return make_world()


def make_request(**fields) -> ApprovalCreate:
    given: dict[str, Any] = {
        "action_type": "task.complete",
        "confidence": 90,
        "lead_reasoning": "It is done.",
    }
    return ApprovalCreate.parse(given | fields)


@pytest.mark.parametrize("status", [ApprovalStatus.APPROVED, ApprovalStatus.REJECTED])
def test_requester_cannot_set_the_decision(world, status) -> None:
    with pytest.raises(Forbidden) as raised:
        rules.require_undecided(make_request(status=status), world.worker)
    assert raised.value.code == "approval_status_forbidden"
    with pytest.raises(Forbidden):
        rules.require_undecided(make_request(status=status), world.lead)
    with pytest.raises(Invalid):
        rules.require_undecided(make_request(status=status), world.alice)
    rules.require_undecided(make_request(), world.worker)


@pytest.mark.parametrize("confidence", [-0.1, 100.1, float("nan"), float("inf")])
def test_confidence_outside_0_to_100_is_rejected(confidence) -> None:
    with pytest.raises(Invalid):
        make_request(confidence=confidence)


@pytest.mark.parametrize("confidence", [0, 0.5, 100])
def test_fractional_confidence_is_accepted(confidence) -> None:
    assert make_request(confidence=confidence).confidence == confidence


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"payload": {"reason": "x" * 300_000}}, "payload"),
        ({"payload": {"reason": "ok", "deep": ["nul \0"]}}, "payload"),
        ({"payload": {"nul \0": 1}}, "payload"),
        ({"rubric_scores": {"nul \0": 1}}, "rubric_scores"),
        ({"payload": {"reason": "ok", "number": float("nan")}}, "payload"),
    ],
)
def test_unstorable_values_are_rejected_with_their_field(fields, field) -> None:
    with pytest.raises(Invalid) as raised:
        make_request(**fields)
    assert raised.value.field == field


@pytest.mark.parametrize(
    "fields",
    [
        {"action_type": " "},
        {"action_type": "x" * 201},
        {"lead_reasoning": "x" * 10_001},
        {"task_ids": [uuid4() for _ in range(101)]},
    ],
)
def test_fields_have_limits(fields) -> None:
    with pytest.raises(Invalid):
        make_request(**fields)


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"payload": {"reason": " Because "}}, "Because"),
        ({"payload": {"decision": {"reason": "Nested"}}}, "Nested"),
        ({"lead_reasoning": "  Trimmed "}, "Trimmed"),
        ({"payload": {"reason": " "}, "lead_reasoning": "Instead"}, "Instead"),
        ({"payload": {"decision": "no object"}, "lead_reasoning": "Instead"}, "Instead"),
    ],
)
def test_reason_is_read_from_three_places(fields, reason) -> None:
    payload = payload_with_reason(make_request(**({"lead_reasoning": None} | fields)))
    assert rules.find_reason(payload) == reason


def test_payload_reason_takes_precedence() -> None:
    assert payload_with_reason(
        make_request(payload={"reason": "First"}, lead_reasoning="Second")
    ) == {"reason": "First"}


@pytest.mark.parametrize("payload", [None, {}, {"reason": ""}, {"reason": 5}, {"decision": {}}])
def test_request_without_reason_is_rejected(payload) -> None:
    with pytest.raises(Invalid) as raised:
        payload_with_reason(make_request(payload=payload, lead_reasoning=" "))
    assert raised.value.code == "reason_required"


def test_task_ids_come_from_fields_then_payload_without_duplicates() -> None:
    a, b, c, d, e = (uuid4() for _ in range(5))
    payload = {
        "taskIds": [str(c), "no id", str(a), 7],
        "task_ids": [str(b)],
        "taskID": str(d),
        "taskId": "nonsense",
        "task_id": str(e),
    }
    found = linked_task_ids(make_request(task_id=a, task_ids=[b, a], payload=payload))
    assert found == [a, b, c, e, d]


def test_more_than_100_tasks_are_rejected() -> None:
    with pytest.raises(Invalid):
        linked_task_ids(make_request(payload={"task_ids": [str(uuid4()) for _ in range(101)]}))


@pytest.mark.parametrize(
    ("kind", "titles", "sentence"),
    [
        ("Mark_Done", ["Write"], "Complete the task “Write”?"),
        ("taskDone", ["Write"], "Complete the task “Write”?"),
        ("task.complete", ["Write it"], "Complete the task “Write it”?"),
        ("task.complete", ["One", "Two", "Three"], "Complete the task “One” and 2 more?"),
        ("task.complete", [], "Complete the task?"),
        ("email.send", ["Newsletter"], "Send the email for “Newsletter”?"),
        ("deploy_site", [], "Deploy site?"),
        ("deploy", ["Site"], "Deploy for “Site”?"),
        ("deploy.production", ["Site"], "Deploy production for “Site”?"),
        ("Delete.user_account", [], "Delete user account?"),
        ("release.publish", [], "Publish the release?"),
        ("payment.send", [], "Send the payment?"),
        ("", ["Site"], "Go on with “Site”?"),
        (" ", [], "Go ahead?"),
        (".", [], "Go ahead?"),
        ("x" * 500, [], "X" + "x" * 198 + "…?"),
        ("a.b", [], "B the a?"),
    ],
)
def test_the_question_is_built_from_the_kind_and_the_tasks(kind, titles, sentence) -> None:
    assert format_question(kind, titles) == sentence


@pytest.mark.parametrize(
    ("payload", "text"),
    [
        ({"title": " Publish\nthe notes "}, "Publish\nthe notes"),
        ({"title": " ", "question": "Really?"}, "Really?"),
        ({"title": 5, "summary": "In short"}, "In short"),
        ({"reason": "Because"}, None),
        (None, None),
    ],
)
def test_the_words_of_the_requester_are_separate(payload, text) -> None:
    assert rules.find_agent_text(payload) == text


def test_clarification_mentions_the_requesting_agent(world) -> None:
    assert mention_agent(world.worker, "Why?") == "@Worker Why?"
    assert mention_agent(world.lead, "Why?") == "@lead Why?"
    assert mention_agent(world.other_worker, "Why?") == "@Other Why?"
    assert mention_agent(make_agent("007 Bond", world.board), "Why?") == "007 Bond: Why?"
    assert mention_agent(None, "Why?") == "Why?"
