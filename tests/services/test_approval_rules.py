"""What may be asked and how it reads, without a database."""

from typing import Any
from uuid import uuid4

import pytest

from kit.clock import now
from kit.errors import Forbidden, Invalid
from models import Approval, ApprovalStatus
from services.approvals import rules
from services.approvals.asking_back import addressed
from services.approvals.rules import ApprovalDraft, linked_task_ids, question, with_reason
from tests.world import World, a_world, an_agent


@pytest.fixture
def world() -> World:
    return a_world()


def draft(**fields) -> ApprovalDraft:
    given: dict[str, Any] = {
        "action_type": "task.complete",
        "confidence": 90,
        "lead_reasoning": "It is done.",
    }
    return ApprovalDraft(**(given | fields))


def asked(action_type: str = "task.complete", **payload) -> Approval:
    return Approval(action_type=action_type, payload=payload, created_at=now())


@pytest.mark.parametrize("status", [ApprovalStatus.APPROVED, ApprovalStatus.REJECTED])
def test_who_asks_does_not_answer(world, status) -> None:
    with pytest.raises(Forbidden) as refused:
        rules.check(draft(status=status), world.worker)
    assert refused.value.code == "approval_status_forbidden"
    with pytest.raises(Forbidden):
        rules.check(draft(status=status), world.lead)
    with pytest.raises(Invalid):
        rules.check(draft(status=status), world.alice)
    rules.check(draft(), world.worker)


@pytest.mark.parametrize("confidence", [-0.1, 100.1, float("nan"), float("inf")])
def test_confidence_is_between_0_and_100(world, confidence) -> None:
    with pytest.raises(Invalid) as refused:
        rules.check(draft(confidence=confidence), world.worker)
    assert refused.value.field == "confidence"


@pytest.mark.parametrize("confidence", [0, 0.5, 100])
def test_confidence_may_be_a_fraction(world, confidence) -> None:
    rules.check(draft(confidence=confidence), world.worker)


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"action_type": "x" * 201}, "action_type"),
        ({"action_type": "nul \0"}, "action_type"),
        ({"lead_reasoning": "x" * 10_001}, "lead_reasoning"),
        ({"lead_reasoning": "half \ud800"}, "lead_reasoning"),
        ({"payload": {"reason": "x" * 300_000}}, "payload"),
        ({"payload": {"reason": "ok", "deep": ["nul \0"]}}, "payload"),
        ({"payload": {"nul \0": 1}}, "payload"),
        ({"payload": {"reason": "ok", "number": float("nan")}}, "payload"),
    ],
)
def test_what_cannot_be_stored_is_refused_with_its_field(world, fields, field) -> None:
    with pytest.raises(Invalid) as refused:
        rules.check(draft(**fields), world.worker)
    assert refused.value.field == field


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
def test_a_reason_is_found_in_three_places(fields, reason) -> None:
    payload = with_reason(draft(**({"lead_reasoning": None} | fields)))
    assert rules.reason_in(payload) == reason


def test_a_reason_that_is_given_twice_stays_where_it_was() -> None:
    assert with_reason(draft(payload={"reason": "First"}, lead_reasoning="Second")) == {
        "reason": "First"
    }


@pytest.mark.parametrize("payload", [None, {}, {"reason": ""}, {"reason": 5}, {"decision": {}}])
def test_without_a_reason_nothing_is_asked(payload) -> None:
    with pytest.raises(Invalid) as refused:
        with_reason(draft(payload=payload, lead_reasoning=" "))
    assert refused.value.code == "reason_required"


def test_tasks_are_found_in_the_fields_and_then_in_the_payload_without_doubles() -> None:
    a, b, c, d, e = (uuid4() for _ in range(5))
    payload = {
        "taskIds": [str(c), "no id", str(a), 7],
        "task_ids": [str(b)],
        "taskID": str(d),
        "taskId": "nonsense",
        "task_id": str(e),
    }
    found = linked_task_ids(draft(task_id=a, task_ids=[b, a], payload=payload))
    assert found == [a, b, c, e, d]


def test_a_question_about_everything_is_refused() -> None:
    with pytest.raises(Invalid):
        linked_task_ids(draft(task_ids=[uuid4() for _ in range(101)]))


@pytest.mark.parametrize(
    ("approval", "titles", "sentence"),
    [
        (asked(title="Publish the notes"), [], "Publish the notes?"),
        (asked(question=" Publish\nthe notes? "), [], "Publish the notes?"),
        (asked(summary="Publish the notes."), [], "Publish the notes?"),
        (asked(title="", question="Really?!"), [], "Really?"),
        (asked(), ["Write it"], "Complete the task “Write it”?"),
        (asked(), ["One", "Two", "Three"], "Complete the task “One” and 2 more?"),
        (asked(), [], "Complete the task?"),
        (asked("email.send"), ["Newsletter"], "Send the email for “Newsletter”?"),
        (asked("deploy_site"), [], "Deploy site?"),
        (asked("deploy"), ["Site"], "Deploy for “Site”?"),
        (asked(""), ["Site"], "Go on with “Site”?"),
        (asked(" "), [], "Go ahead?"),
        (asked("."), [], "Go ahead?"),
        (asked(title="?"), [], "Complete the task?"),
        (asked(title="x" * 500), [], "x" * 199 + "…?"),
        (Approval(action_type="a.b", payload=None), [], "B the a?"),
    ],
)
def test_what_is_asked_reads_as_a_question(approval, titles, sentence) -> None:
    assert question(approval, titles) == sentence


def test_asking_back_mentions_whoever_asked(world) -> None:
    assert addressed(world.worker, "Why?") == "@Worker Why?"
    assert addressed(world.lead, "Why?") == "@lead Why?"
    assert addressed(world.other_worker, "Why?") == "@Other Why?"
    assert addressed(an_agent("007 Bond", world.board), "Why?") == "007 Bond: Why?"
    assert addressed(None, "Why?") == "Why?"
