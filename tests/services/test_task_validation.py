"""Validation of task fields, before any database query."""

from datetime import UTC, datetime, timedelta, timezone

import pytest

from core.errors import Invalid
from models import Status, new_id
from services.tasks import TaskCommentCreate, TaskCreate, TaskUpdate


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("title", 7),
        ("title", " \n"),
        ("title", "x" * 501),
        ("description", 7),
        ("description", "x" * 100_001),
        ("status", "finished"),
        ("status", ["done"]),
        ("due_at", "tomorrow"),
        ("due_at", datetime(1, 1, 1, tzinfo=timezone(timedelta(hours=9)))),
        ("due_at", datetime.max),
        ("assigned_agent_id", "nobody"),
        ("depends_on_task_ids", "nobody"),
        ("depends_on_task_ids", [None]),
        ("depends_on_task_ids", [new_id() for _ in range(501)]),
        ("tag_ids", 7),
        ("tag_ids", ["x"]),
        ("custom_field_values", []),
        ("comment", 7),
        ("comment", "x" * 100_001),
    ],
)
def test_an_invalid_value_is_rejected_with_its_field(field, value) -> None:
    """C30."""
    with pytest.raises(Invalid) as invalid:
        TaskUpdate.of(**{field: value})
    assert invalid.value.field == field


@pytest.mark.parametrize(("values", "code"), [({}, "blank"), ({"title": " "}, "blank")])
def test_a_new_task_requires_a_title(values, code) -> None:
    """C30."""
    with pytest.raises(Invalid) as raised:
        TaskCreate.parse(values)
    assert (raised.value.code, raised.value.field) == (code, "title")


@pytest.mark.parametrize("priority", ["urgent", "High", ""])
def test_an_unknown_priority_has_a_code_of_its_own(priority) -> None:
    with pytest.raises(Invalid) as raised:
        TaskUpdate.of(priority=priority)
    assert (raised.value.code, raised.value.field) == ("unknown_priority", "priority")


@pytest.mark.parametrize("field", ["title", "status", "priority"])
def test_required_values_are_not_null(field) -> None:
    with pytest.raises(Invalid):
        TaskUpdate.of(**{field: None})


def test_valid_values_are_normalized() -> None:
    one, two = new_id(), new_id()
    assert TaskUpdate.of(
        title="  Ship it ",
        description=None,
        status="in_progress",
        priority="high",
        due_at=datetime(2026, 5, 1, 12, tzinfo=timezone(timedelta(hours=2))),
        assigned_agent_id=str(one),
        depends_on_task_ids=(one, str(two), one),
        custom_field_values={"a": 1},
        comment=" Well. ",
    ).changes() == {
        "title": "Ship it",
        "description": None,
        "status": Status.IN_PROGRESS,
        "priority": "high",
        "due_at": datetime(2026, 5, 1, 10, tzinfo=UTC),
        "assigned_agent_id": one,
        "depends_on_task_ids": [one, two],
        "custom_field_values": {"a": 1},
        "comment": "Well.",
    }


def test_a_time_without_a_zone_is_utc() -> None:
    changes = TaskUpdate.of(due_at=datetime(2026, 5, 1)).changes()
    assert changes["due_at"] == datetime(2026, 5, 1, tzinfo=UTC)


def test_values_that_the_contract_ignores_are_left_out() -> None:
    ignored = {
        "comment": "  ",
        "depends_on_task_ids": None,
        "tag_ids": None,
        "version": 7,
        "board_id": new_id(),
    }
    assert TaskUpdate.of(**ignored).changes() == {}


def test_null_for_custom_field_values_changes_none_of_them() -> None:
    changes = TaskUpdate.of(custom_field_values=None).changes()
    assert changes == {"custom_field_values": {}}


def test_a_new_task_does_not_determine_its_creator() -> None:
    """S4."""
    new = TaskCreate(title="A", created_by_user_id=new_id())
    assert "created_by_user_id" not in new.as_changes()


@pytest.mark.parametrize(
    ("message", "code"),
    [("", "blank"), ("  ", "blank"), ("x" * 100_001, "too_long"), ("a\0b", "bad_character")],
)
def test_a_comment_must_not_be_blank_or_too_long(message, code) -> None:
    with pytest.raises(Invalid) as raised:
        TaskCommentCreate.parse({"message": message})
    assert (raised.value.code, raised.value.field) == (code, "message")
