"""The sentences of the history of a task, and of the steps that led to something."""

from typing import Any

import pytest

from core.clock import now
from models import ApprovalStatus, Event, EventType, RequestKind, RunStatus
from services.causes.steps import DECISION_SENTENCES, REQUEST_TEXTS, RUN_SENTENCES
from services.events import TASK_CAUSES, list_types
from services.tasks import FieldChange, HistoryEntry
from web.tasks.history import describe_entry
from web.ui.translation import PSEUDO, reader_language

UPDATED, MOVED = EventType.TASK_UPDATED, EventType.TASK_STATUS_CHANGED
WITHOUT_ACTOR = {EventType.APPROVAL_LAPSED, EventType.TASK_STALE, EventType.TASK_ACTIVE}


def describe(type: EventType, *changes: FieldChange, **data: Any) -> str:
    event = Event(type=type, data=data)
    entry = HistoryEntry(now(), "<Ana>", False, None, None, event=event, changes=changes)
    return str(describe_entry(entry, event)).replace("<b>&lt;Ana&gt;</b>", "Ana")


@pytest.mark.parametrize(
    ("field", "old", "new", "text"),
    [
        ("title", "<i>", "b", "Ana renamed this task from “&lt;i&gt;”."),
        ("priority", "low", "high", "Ana set the priority to High."),
        ("priority", "low", "odd", "Ana set the priority to odd."),
        ("due_at", "2026-11-09T10:00:00+00:00", None, "Ana removed the due date."),
        ("assigned_agent_id", None, "Bo", "Ana assigned this task to Bo."),
        ("assigned_agent_id", "Bo", None, "Ana unassigned this task from Bo."),
        ("tag_ids", ["a", "b"], ["b", "c"], "Ana added the tag c. Ana removed the tag a."),
        ("tag_ids", ["a", "b"], ["b", "a"], "Ana changed this task."),
        ("depends_on_task_ids", [], ["100 %(x)s"], "Ana added the dependency on “100 %(x)s”."),
        ("rank", 1, 2, "Ana changed the field “rank”."),
    ],
)
def test_a_change_is_a_sentence(field: str, old: object, new: object, text: str) -> None:
    assert describe(UPDATED, FieldChange(field, old, new)) == text


def test_a_move_names_its_status_and_what_else_changed() -> None:
    changes = FieldChange("assigned_agent_id", "Bo", None), FieldChange("priority", "low", "high")
    text = "Ana moved this task to In progress. Ana set the priority to High."
    assert describe(MOVED, *changes, entered="in_progress") == text


def test_a_change_of_another_task_names_nobody() -> None:
    text = "A task that this one depends on was reopened. This task went back to Inbox."
    assert describe(MOVED, entered="inbox", reopened_task_id="1") == text
    assert all(cause.history_text for cause in TASK_CAUSES.values())


@pytest.mark.parametrize("language", ["en", PSEUDO])
def test_every_event_is_described_also_without_its_data(language: str) -> None:
    token = reader_language.set(language)
    try:
        for type in list_types(lambda entry: entry.is_in_history):
            assert ("Ana" in describe(type)) is (type not in WITHOUT_ACTOR), type
    finally:
        reader_language.reset(token)


@pytest.mark.parametrize("question", [None, 5, ["Why?"]])
def test_a_stored_question_that_is_no_text_is_described(question: object) -> None:
    text = "Ana requested approval: a question"
    assert describe(EventType.APPROVAL_REQUESTED, question=question) == text


def test_a_stored_question_is_shown() -> None:
    text = "Ana approved: Deploy the site?"
    assert describe(EventType.APPROVAL_APPROVED, question="Deploy the site?") == text


def test_every_step_has_a_sentence() -> None:
    assert RUN_SENTENCES.keys() == set(RunStatus)
    assert REQUEST_TEXTS.keys() == set(RequestKind)
    assert DECISION_SENTENCES.keys() >= set(ApprovalStatus) - {ApprovalStatus.PENDING}


def test_a_task_without_activity_is_no_change_by_somebody() -> None:
    assert describe(EventType.TASK_STALE) == "No activity on this task."
    assert describe(EventType.TASK_ACTIVE) == "Work on this task continues."
