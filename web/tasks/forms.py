"""Forms about tasks."""

from datetime import date, time, tzinfo
from typing import Annotated, Any
from uuid import UUID

from pydantic import BaseModel

from models import Status
from services.tasks import TaskDetail, TaskDraft, TaskPlace
from web.boards.assignees import AssigneeValue, parse_assignee
from web.ui.forms import BlankAsNone, Form
from web.ui.time_format import combine_local

END_OF_DAY = time(23, 59)


class NewTaskForm(BaseModel):
    """A new task."""

    title: str = ""
    description: Annotated[str | None, BlankAsNone] = None
    priority: str = "medium"
    assignee: AssigneeValue = ""
    due_at: Annotated[date | None, BlankAsNone] = None
    tag_ids: list[UUID] = []

    def to_draft(self, zone: tzinfo) -> TaskDraft:
        """Return the task to create."""
        wanted: dict[str, Any] = self.model_dump(exclude={"assignee"}) | {
            "due_at": combine_local(self.due_at, END_OF_DAY, zone)
        }
        return TaskDraft(**wanted, **parse_assignee(self.assignee))


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

    def to_changes(self, form: Form) -> dict[str, Any]:
        """Return the move as the service takes it."""
        assignees = parse_assignee(self.assignee) if "assignee" in form.values else {}
        return {"status": self.to, **assignees}


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
        """Return the submitted fields as the service takes them."""
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


class CommentForm(BaseModel):
    """A comment."""

    message: str = ""
