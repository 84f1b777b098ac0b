"""Forms about tasks."""

from datetime import date, time, tzinfo
from typing import Annotated, Any
from uuid import UUID

from pydantic import BaseModel

from models import Status
from services.tasks import TaskDetail, TaskDraft
from web.ui.forms import BlankAsNone, Form
from web.ui.time_format import combine_local

END_OF_DAY = time(23, 59)


class NewTaskForm(BaseModel):
    """A new task."""

    title: str = ""
    description: Annotated[str | None, BlankAsNone] = None
    priority: str = "medium"
    assigned_agent_id: Annotated[UUID | None, BlankAsNone] = None
    due_at: Annotated[date | None, BlankAsNone] = None
    tag_ids: list[UUID] = []

    def to_draft(self, zone: tzinfo) -> TaskDraft:
        """Return the task to create."""
        wanted: dict[str, Any] = self.model_dump() | {
            "due_at": combine_local(self.due_at, END_OF_DAY, zone)
        }
        return TaskDraft(**wanted)


class MoveForm(BaseModel):
    """The target status; when a move is undone also the previous assignee."""

    to: Status
    assigned_agent_id: Annotated[UUID | None, BlankAsNone] = None


class TaskEditForm(BaseModel):
    """Changes of a task. Only submitted fields are changed."""

    title: str = ""
    description: Annotated[str | None, BlankAsNone] = None
    status: str = ""
    priority: str = ""
    assigned_agent_id: Annotated[UUID | None, BlankAsNone] = None
    due_at: Annotated[date | None, BlankAsNone] = None
    tag_ids: list[Annotated[UUID | None, BlankAsNone]] = []
    depends_on_task_ids: list[Annotated[UUID | None, BlankAsNone]] = []
    add: Annotated[UUID | None, BlankAsNone] = None  # added to depends_on_task_ids
    take: Annotated[UUID | None, BlankAsNone] = None  # removed from depends_on_task_ids

    def to_changes(self, form: Form, detail: TaskDetail, zone: tzinfo) -> dict[str, Any]:
        """Return the submitted fields as the service takes them."""
        sent = self.model_dump(include=set(form.values) - {"add", "take"})
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
