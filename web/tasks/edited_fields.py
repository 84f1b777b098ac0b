"""The fields of a task that people edit on its page."""

from collections.abc import Mapping
from datetime import datetime, tzinfo

from core.db.reads import Source
from models import Board, Priority
from services import boards, tags, tasks
from services.tasks import TaskDetail
from web.boards.assignees import PERSON_PREFIX, format_assignee
from web.boards.cards import STATUS_NAMES
from web.ui.edited_fields import EditedField, FieldKind
from web.ui.translation import N_, _, pgettext, translate


def list_edited_fields(detail: TaskDetail, zone: tzinfo) -> list[EditedField]:
    """Return the current values of a task as its forms show them."""
    task = detail.task
    return [
        EditedField("title", N_("Title"), task.title, FieldKind.LINE),
        EditedField("description", N_("Description"), task.description, FieldKind.TEXT),
        EditedField("status", N_("Status"), task.status),
        EditedField("priority", N_("Priority"), task.priority),
        EditedField("assignee", N_("Assignee"), format_assignee(task), column="assigned_agent_id"),
        EditedField("due_at", N_("Due"), format_due_date_field(task.due_at, zone)),
        EditedField("tag_ids", N_("Tags"), detail.tag_ids),
    ]


def format_due_date_field(due_at: datetime | None, zone: tzinfo) -> str:
    """Format a due date for a date field, in the time zone of the user."""
    return due_at.astimezone(zone).date().isoformat() if due_at else ""


async def load_value_names(
    source: Source, board: Board, detail: TaskDetail
) -> Mapping[str, Mapping[str, str]]:
    """Return the texts of statuses, priorities, agents and tags, by field and value."""
    agents = [*await tasks.list_assignable_agents(source, board)]
    agents += [detail.assignee] if detail.assignee else []
    people = await boards.list_board_people(source, board)
    board_tags = await tags.list_board_tags(source, board)
    return {
        "status": {status.value: translate(name) for status, name in STATUS_NAMES.items()},
        "priority": {
            Priority.LOW: pgettext("priority", "Low"),
            Priority.MEDIUM: pgettext("priority", "Medium"),
            Priority.HIGH: pgettext("priority", "High"),
        },
        "assignee": {
            "": _("Unassigned"),
            **{str(one.id): one.name for one in agents},
            **{f"{PERSON_PREFIX}{one.id}": one.name for one in people},
        },
        "tag_ids": {str(tag.id): tag.name for tag in board_tags},
        "due_at": {"": _("No date")},
    }
