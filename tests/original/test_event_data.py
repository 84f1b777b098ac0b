"""What becomes of the messages of the original's events: the values that our texts contain."""

from collections.abc import Mapping

import pytest

from models import Event, EventType
from services.events import describe_event
from services.original.activity import EVENT_TYPES, build_event_data

ROW = {
    "title": "Paint the door",
    "agent_name": "Ava",
    "board_name": "Launch",
    "earlier_message": None,
}
CASES: Mapping[str, tuple[str, str, Mapping[str, str]]] = {
    "created": (
        "task.created",
        "Task created: Buy: paint.",
        {"title": "Buy: paint", "entered": "inbox"},
    ),
    "by lead": (
        "task.created",
        "Task created by lead: Buy paint.",
        {"title": "Buy paint", "entered": "inbox"},
    ),
    "moved": (
        "task.status_changed",
        "Task moved to review: Buy paint.",
        {"title": "Buy paint", "left": "inbox", "entered": "review"},
    ),
    "unknown status": (
        "task.status_changed",
        "Task moved to blocked: Buy paint.",
        {"title": "Buy paint"},
    ),
    "failed": (
        "task.assignee_notify_failed",
        "Assignee notify failed: 502: Bad gateway",
        {"title": "Paint the door", "error": "502: Bad gateway", "reason": "502: Bad gateway"},
    ),
    "agent": (
        "agent.provision.direct",
        "Provisiond directly for Bo.",
        {"title": "Paint the door", "name": "Bo"},
    ),
    "deleted agent": ("agent.delete.direct", "Deleted agent Bo.", {"name": "Bo"}),
    "comment": ("task.comment", "See <b>this</b>.", {"title": "Paint the door"}),
    "other words": ("board.lead_notified", "Something else", {"name": "Launch"}),
    "empty": ("agent.wakeup.sent", "", {"name": "Ava"}),
}


@pytest.mark.parametrize("case", CASES)
def test_an_event_has_the_values_of_its_message(case: str) -> None:
    name, message, expected = CASES[case]
    type = EVENT_TYPES[name]
    has_task = "title" in expected
    data = build_event_data(type, message, ROW | ({} if has_task else {"title": None}))
    assert data == expected
    assert describe_event(Event(type=type, data=data))


def test_a_move_leaves_the_status_of_the_move_before() -> None:
    row = ROW | {"earlier_message": "Task moved to in_progress: Paint the door."}
    moved = EventType.TASK_STATUS_CHANGED
    data = build_event_data(moved, "Task moved to done: Paint the door.", row)
    assert (data["left"], data["entered"]) == ("in_progress", "done")
    same = build_event_data(moved, "Task moved to in_progress: Paint the door.", row)
    assert "entered" not in same  # nothing has moved


@pytest.mark.parametrize("type", sorted(set(EVENT_TYPES.values())))
def test_every_imported_event_has_a_text(type: EventType) -> None:
    for message in ("", "x" * 100_000, "Task moved to done: %(x)s", "failed: \u202e\0"):
        data = build_event_data(type, message, dict.fromkeys(ROW))
        assert describe_event(Event(type=type, data=data))
        assert all(len(value) <= 200 for value in data.values())
