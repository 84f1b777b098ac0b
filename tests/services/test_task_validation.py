"""Validation of task fields, before any database query."""

from datetime import UTC, datetime, timedelta, timezone

import pytest

from core.errors import Invalid
from models import Status, new_id
from services.tasks.change_request import TaskDraft, validate_changes, validate_comment


@pytest.mark.parametrize(
    ("field", "value", "code"),
    [
        ("title", None, "text_required"),
        ("title", 7, "text_required"),
        ("title", " \n", "blank"),
        ("title", "x" * 501, "too_long"),
        ("title", "a\0b", "bad_character"),
        ("title", "a\ud800b", "bad_character"),
        ("description", 7, "text_required"),
        ("description", "x" * 100_001, "too_long"),
        ("description", "a\0b", "bad_character"),
        ("status", None, "unknown_status"),
        ("status", "finished", "unknown_status"),
        ("status", ["done"], "unknown_status"),
        ("priority", None, "unknown_priority"),
        ("priority", "urgent", "unknown_priority"),
        ("priority", "High", "unknown_priority"),
        ("due_at", "tomorrow", "date_required"),
        ("due_at", datetime(1, 1, 1, tzinfo=timezone(timedelta(hours=9))), "date_out_of_range"),
        ("due_at", datetime.max, "date_out_of_range"),
        ("assigned_agent_id", "nobody", "id_required"),
        ("depends_on_task_ids", "nobody", "list_required"),
        ("depends_on_task_ids", [None], "id_required"),
        ("depends_on_task_ids", [new_id() for _ in range(501)], "too_many"),
        ("tag_ids", 7, "list_required"),
        ("tag_ids", ["x"], "id_required"),
        ("custom_field_values", [], "object_required"),
        ("comment", 7, "text_required"),
        ("comment", "x" * 100_001, "too_long"),
        ("comment", "\0", "bad_character"),
    ],
)
def test_an_invalid_value_is_rejected_with_its_field(field, value, code) -> None:
    """C30."""
    with pytest.raises(Invalid) as error_info:
        validate_changes({field: value})
    assert (error_info.value.code, error_info.value.field) == (code, field)


def test_valid_values_are_normalized() -> None:
    one, two = new_id(), new_id()
    assert validate_changes(
        {
            "title": "  Ship it ",
            "description": None,
            "status": "in_progress",
            "priority": "high",
            "due_at": datetime(2026, 5, 1, 12, tzinfo=timezone(timedelta(hours=2))),
            "assigned_agent_id": str(one),
            "depends_on_task_ids": (one, str(two), one),
            "custom_field_values": {"a": 1},
            "comment": " Well. ",
        }
    ) == {
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
    assert validate_changes({"due_at": datetime(2026, 5, 1)})["due_at"] == datetime(
        2026, 5, 1, tzinfo=UTC
    )


def test_values_that_the_contract_ignores_are_left_out() -> None:
    ignored = {
        "comment": "  ",
        "depends_on_task_ids": None,
        "tag_ids": None,
        "version": 7,
        "board_id": new_id(),
    }
    assert validate_changes(ignored) == {}


def test_null_for_custom_field_values_changes_none_of_them() -> None:
    assert validate_changes({"custom_field_values": None}) == {"custom_field_values": {}}


def test_a_draft_does_not_determine_the_creator() -> None:
    """S4."""
    assert "created_by_user_id" not in validate_changes(
        TaskDraft(title="A", created_by_user_id=new_id()).as_changes()
    )


def test_a_comment_must_not_be_blank() -> None:
    assert validate_comment(" Well. ") == "Well."
    for nothing in ("", "  ", None):
        with pytest.raises(Invalid) as error_info:
            validate_comment(nothing)
        assert error_info.value.field == "message"
