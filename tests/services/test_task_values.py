"""What may stand in a task's fields, checked before anything is asked of the database."""

from datetime import UTC, datetime, timedelta, timezone

import pytest

from kit.errors import Invalid
from models import Status, new_id
from services.tasks.values import TaskDraft, checked, checked_comment


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
def test_a_value_that_makes_no_sense_is_refused_with_its_field(field, value, code) -> None:
    """C30."""
    with pytest.raises(Invalid) as refused:
        checked({field: value})
    assert (refused.value.code, refused.value.field) == (code, field)


def test_what_makes_sense_is_taken_and_put_in_order() -> None:
    one, two = new_id(), new_id()
    assert checked(
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
    assert checked({"due_at": datetime(2026, 5, 1)})["due_at"] == datetime(2026, 5, 1, tzinfo=UTC)


def test_what_the_contract_ignores_is_left_out() -> None:
    ignored = {
        "comment": "  ",
        "depends_on_task_ids": None,
        "tag_ids": None,
        "version": 7,
        "board_id": new_id(),
    }
    assert checked(ignored) == {}


def test_null_for_the_custom_fields_is_a_change_of_none_of_them() -> None:
    assert checked({"custom_field_values": None}) == {"custom_field_values": {}}


def test_a_draft_does_not_say_who_made_the_task() -> None:
    """S4."""
    assert "created_by_user_id" not in checked(
        TaskDraft(title="A", created_by_user_id=new_id()).fields()
    )


def test_a_comment_says_something() -> None:
    assert checked_comment(" Well. ") == "Well."
    for nothing in ("", "  ", None):
        with pytest.raises(Invalid) as refused:
            checked_comment(nothing)
        assert refused.value.field == "message"
