"""Forms about tasks, and the values of a task as its forms show them."""

from collections.abc import Mapping
from datetime import tzinfo
from typing import Annotated
from uuid import UUID

from pydantic import BaseModel

from core.db.reads import Source
from core.fields import BlankToNone
from models import Board, Member, Priority, Status
from services.pickers import PickerKind, PickerOption
from services.tasks import TaskDetail, TaskPosition, TaskUpdate
from web import pickers
from web.boards.assignees import format_assignee
from web.boards.cards import STATUS_NAMES
from web.boards.forms import format_date_field, read_task_values
from web.pickers import Chosen, ChosenOption, load_chosen
from web.ui import object_forms
from web.ui.edited_fields import EditedField
from web.ui.forms import Form
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


async def load_chosen_values(
    source: Source, member: Member, board: Board, detail: TaskDetail, form: Form
) -> dict[str, Chosen]:
    """Return what the pickers of a task show; without a submitted form no statement runs.

    The assignee is chosen only after the page of its picker has led back.
    """
    known = [
        ChosenOption(str(tag.id), PickerOption("tag", str(tag.id), tag.name, mark=tag.color))
        for tag in detail.tags
    ]
    is_edited = "tag_ids" in form.values
    return {
        "chosen_assignee": await load_chosen(
            source, member, PickerKind.ASSIGNEES, "assignee", Form()
        ),
        "chosen_tags": await load_chosen(
            source,
            member,
            PickerKind.TAGS,
            "tag_ids",
            form if is_edited else Form(),
            detail.tag_ids,
            known=known,
        ),
        "chosen_dependency": await load_chosen(
            source, member, PickerKind.TASKS, "add", form, board=board
        ),
    }


async def load_value_names(
    source: Source, member: Member, form: Form, detail: TaskDetail
) -> Mapping[str, Mapping[str, str]]:
    """Return the texts of the submitted and the current values of a task, by field and value."""
    assignees = [*form.selected("assignee"), format_assignee(detail.task)]
    tag_ids = [*form.selected("tag_ids"), *detail.tag_ids]
    return {
        "status": {status.value: translate(name) for status, name in STATUS_NAMES.items()},
        "priority": {
            Priority.LOW: pgettext("priority", "Low"),
            Priority.MEDIUM: pgettext("priority", "Medium"),
            Priority.HIGH: pgettext("priority", "High"),
        },
        "assignee": {
            "": _("Unassigned"),
            **await pickers.load_value_names(source, member, PickerKind.ASSIGNEES, assignees),
        },
        "tag_ids": await pickers.load_value_names(source, member, PickerKind.TAGS, tag_ids),
        "due_at": {"": _("No date")},
    }


class PositionForm(BaseModel):
    """The tasks around a position in a column."""

    before: Annotated[UUID | None, BlankToNone] = None
    after: Annotated[UUID | None, BlankToNone] = None

    @property
    def position(self) -> TaskPosition:
        """Return the position in the column."""
        return TaskPosition(self.before, self.after)


class MoveForm(PositionForm):
    """The target status, and the tasks around the position."""

    to: Status
