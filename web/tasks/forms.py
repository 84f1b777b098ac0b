"""Forms about tasks, and the values of a task as its forms show them."""

from collections.abc import Mapping
from datetime import date, datetime, time, tzinfo
from typing import Annotated, Any
from uuid import UUID

from pydantic import BaseModel

from core.db.reads import Source
from models import Board, Priority, Status
from services import boards, tags, tasks
from services.tasks import TaskDetail, TaskPlace, TaskUpdate
from web.boards.assignees import PERSON_PREFIX, AssigneeValue, format_assignee, parse_assignee
from web.boards.cards import STATUS_NAMES
from web.ui.edited_fields import EditedField, FieldKind
from web.ui.forms import BlankAsNone, Form
from web.ui.time_format import combine_local
from web.ui.translation import N_, _, pgettext, translate

END_OF_DAY = time(23, 59)


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


class NewTaskForm(BaseModel):
    """A new task."""

    title: str = ""
    description: Annotated[str | None, BlankAsNone] = None
    priority: str = "medium"
    assignee: AssigneeValue = ""
    due_at: Annotated[date | None, BlankAsNone] = None
    tag_ids: list[UUID] = []

    def to_values(self, zone: tzinfo) -> dict[str, Any]:
        """Return the values of a TaskCreate."""
        due_at = combine_local(self.due_at, END_OF_DAY, zone)
        given = self.model_dump(exclude={"assignee"})
        return given | {"due_at": due_at} | parse_assignee(self.assignee)


class PlaceForm(BaseModel):
    """The tasks around a place in a column."""

    before: Annotated[UUID | None, BlankAsNone] = None
    after: Annotated[UUID | None, BlankAsNone] = None

    @property
    def place(self) -> TaskPlace:
        """Return the place in the column."""
        return TaskPlace(self.before, self.after)


class MoveForm(PlaceForm):
    """The target status and the tasks around the place; when a move is undone also the assignee."""

    to: Status
    assignee: AssigneeValue = ""

    def to_changes(self, form: Form) -> TaskUpdate:
        """Return the move as the service takes it."""
        assignees = parse_assignee(self.assignee) if "assignee" in form.values else {}
        return TaskUpdate.of(status=self.to, **assignees)


class TaskEditForm(BaseModel):
    """Changes of a task. Only submitted fields are changed."""

    title: str = ""
    description: Annotated[str | None, BlankAsNone] = None
    status: str = ""
    priority: str = ""
    assignee: AssigneeValue = ""
    due_at: Annotated[date | None, BlankAsNone] = None
    tag_ids: list[Annotated[UUID | None, BlankAsNone]] = []
    depends_on_task_ids: list[Annotated[UUID | None, BlankAsNone]] = []
    add: Annotated[UUID | None, BlankAsNone] = None  # added to depends_on_task_ids
    take: Annotated[UUID | None, BlankAsNone] = None  # removed from depends_on_task_ids

    def to_changes(self, form: Form, detail: TaskDetail, zone: tzinfo) -> dict[str, Any]:
        """Return the submitted values of a TaskUpdate."""
        sent = self.model_dump(include=set(form.values) - {"add", "take", "assignee"})
        if "assignee" in form.values:
            sent |= parse_assignee(self.assignee)
        if "due_at" in sent:
            sent["due_at"] = combine_local(self.due_at, END_OF_DAY, zone)
        if "tag_ids" in sent:
            sent["tag_ids"] = [id for id in self.tag_ids if id]
        if {"add", "take"} & set(form.values):
            waits_for = [id for id in detail.depends_on_task_ids if id != self.take]
            sent["depends_on_task_ids"] = waits_for + ([self.add] if self.add else [])
        return sent
