"""The texts of events on pages."""

from itertools import product

import pytest

from models import Event, EventType, Status
from services import events
from services.events import EVENT_DEFINITIONS, find_feed_text
from web.activity.event_texts import build_values, describe_event
from web.activity.presenter import KIND_LABELS
from web.ui.translation import PSEUDO, reader_language


def describe_in_feed(event: Event, actor: str = "", subject: str = "") -> str:
    return find_feed_text(event) % {**build_values(event), "actor": actor, "subject": subject}


@pytest.fixture
def pseudo_language():
    token = reader_language.set(PSEUDO)
    yield
    reader_language.reset(token)


def test_every_event_type_has_an_entry() -> None:
    assert list(EVENT_DEFINITIONS) == list(EventType)
    for definition in EVENT_DEFINITIONS.values():
        assert definition.text
        assert definition.audit_text != ""
        assert definition.stale_parts
        assert bool(definition.feed_kind) == bool(definition.feed_text)
    assert {one.feed_kind for one in EVENT_DEFINITIONS.values()} == {"", *KIND_LABELS}


def test_no_value_has_to_be_present() -> None:
    for type, describe in product(
        EventType, (events.describe_event, describe_event, describe_in_feed)
    ):
        assert "%" not in describe(Event(type=type, data={})), type


def test_a_missing_value_is_left_out() -> None:
    removed = Event(type=EventType.MEMBER_REMOVED, data={})
    assert describe_event(removed) == "Member removed"
    removed.data = {"name": "Bob"}
    assert describe_event(removed) == "Member removed: Bob"


@pytest.mark.parametrize(
    ("data", "alone", "in_feed"),
    [
        ({"entered": Status.DONE}, "Task moved to done: Ship", "Ava completed Ship"),
        ({"entered": "elsewhere"}, "Task moved: Ship", "Ava moved Ship"),
        (
            {"entered": Status.INBOX, "reopened_task_id": "1"},
            "Task moved to inbox: Ship",
            "A task that Ship depends on was reopened",
        ),
    ],
)
def test_a_move_names_the_status_or_its_cause(data, alone, in_feed) -> None:
    moved = Event(type=EventType.TASK_STATUS_CHANGED, data={"title": "Ship", **data})
    assert describe_event(moved) == alone
    assert describe_in_feed(moved, "Ava", "Ship") == in_feed


def test_an_answered_request_names_the_answer() -> None:
    data = {"kind": "exec", "name": "Worker", "hash": "a1b2", "answer": "denied"}
    answered = Event(type=EventType.GATEWAY_REQUEST_ANSWERED, data=data)
    assert describe_event(answered) == "Request of Worker answered (denied): Command a1b2"
    expected = "Ann denied a request of Worker: Command a1b2"
    assert describe_in_feed(answered, "Ann", "Command a1b2") == expected


def test_decisions_and_runs_name_what_was_decided_and_their_status() -> None:
    decided = {"answer": "rejected", "question": "Deploy?"}
    event = Event(type=EventType.APPROVAL_DECIDED, data=decided)
    assert describe_event(event) == "Approval decided (rejected): Deploy?"
    changed = Event(type=EventType.RUN_CHANGED, data={"name": "Ada", "status": "running"})
    assert describe_event(changed) == "Run of Ada changed: running"


def test_texts_are_translated_and_values_are_not(pseudo_language) -> None:
    commented = Event(type=EventType.TASK_COMMENT, data={"title": "Ship"})
    assert describe_event(commented).startswith("Çöm")
    assert "Ship" in describe_event(commented)
    assert describe_event(commented, "Look") == "Look"
