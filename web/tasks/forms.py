"""Forms about tasks, and the values of a task as its forms show them."""

from collections.abc import Mapping
from datetime import tzinfo
from typing import Annotated
from uuid import UUID

from pydantic import BaseModel

from core.db.reads import Source
from models import Board, Priority, Status
from services import boards, tags, tasks
from services.tasks import TaskDetail, TaskPosition, TaskUpdate
from web.boards.assignees import PERSON_PREFIX, format_assignee
from web.boards.cards import STATUS_NAMES
from web.boards.forms import format_date_field, read_task_values
from web.ui import object_forms
from web.ui.edited_fields import EditedField
from web.ui.forms import BlankAsNone, Form
from web.ui.translation import N_, _, pgettext, translate


def parse_changes(form: Form, detail: TaskDetail, zone: tzinfo) -> TaskUpdate:
    """Parse changes of a task; only submitted fields are changed. Raises Invalid.

    `add` and `take` are a dependency that is added, and one that is removed.
    """
    given = read_task_values(form, zone)
    if "tag_ids" in form.values:
        given["tag_ids"] = [id for id in form.selected("tag_ids") if id]
    if {"add", "take"} & form.values.keys():
        kept = [id for id in detail.depends_on_task_ids if str(id) != form.value("take")]
        given["depends_on_task_ids"] = [*kept, *filter(None, [form.value("add")])]
    return form.parse(TaskUpdate, given)


def list_edited_fields(detail: TaskDetail, zone: tzinfo) -> list[EditedField]:
    """Return the current values of a task as its forms show them."""
    task = detail.task
    values = {"due_at": format_date_field(task.due_at, zone), "tag_ids": detail.tag_ids}
    return [
        *object_forms.list_edited_fields(TaskUpdate, task, values),
        EditedField("assignee", N_("Assignee"), format_assignee(task), column="assigned_agent_id"),
    ]


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


class PositionForm(BaseModel):
    """The tasks around a position in a column."""

    before: Annotated[UUID | None, BlankAsNone] = None
    after: Annotated[UUID | None, BlankAsNone] = None

    @property
    def position(self) -> TaskPosition:
        """Return the position in the column."""
        return TaskPosition(self.before, self.after)


class MoveForm(PositionForm):
    """The target status, and the tasks around the position."""

    to: Status
