"""What people type about a task."""

from datetime import date, time, tzinfo
from typing import Annotated, Any
from uuid import UUID

from pydantic import BaseModel

from models import Status
from services.tasks import TaskDetail, TaskDraft
from web.ages import moment_of
from web.forms import Form, OrNothing

END_OF_DAY = time(23, 59)


class NewTask(BaseModel):
    """A task to be."""

    title: str = ""
    description: Annotated[str | None, OrNothing] = None
    priority: str = "medium"
    assigned_agent_id: Annotated[UUID | None, OrNothing] = None
    due_at: Annotated[date | None, OrNothing] = None
    tag_ids: list[UUID] = []

    def draft(self, zone: tzinfo) -> TaskDraft:
        """Return the task that is wanted."""
        wanted: dict[str, Any] = self.model_dump() | {
            "due_at": moment_of(self.due_at, END_OF_DAY, zone)
        }
        return TaskDraft(**wanted)


class Move(BaseModel):
    """Where a task is to go, and, if it goes back there, who had it."""

    to: Status
    assigned_agent_id: Annotated[UUID | None, OrNothing] = None


class Changes(BaseModel):
    """What is to be changed of a task: what was sent, and nothing else."""

    title: str = ""
    description: Annotated[str | None, OrNothing] = None
    status: str = ""
    priority: str = ""
    assigned_agent_id: Annotated[UUID | None, OrNothing] = None
    due_at: Annotated[date | None, OrNothing] = None
    tag_ids: list[Annotated[UUID | None, OrNothing]] = []
    depends_on_task_ids: list[Annotated[UUID | None, OrNothing]] = []
    add: Annotated[UUID | None, OrNothing] = None  # to depends_on_task_ids
    take: Annotated[UUID | None, OrNothing] = None  # from them

    def changes(self, form: Form, detail: TaskDetail, zone: tzinfo) -> dict[str, Any]:
        """Return the fields that were sent, as the service takes them."""
        sent = self.model_dump(include=set(form.values) - {"add", "take"})
        if "due_at" in sent:
            sent["due_at"] = moment_of(self.due_at, END_OF_DAY, zone)
        if "tag_ids" in sent:
            sent["tag_ids"] = [id for id in self.tag_ids if id]
        if {"add", "take"} & set(form.values):
            waits_for = [id for id in detail.depends_on_task_ids if id != self.take]
            sent["depends_on_task_ids"] = waits_for + ([self.add] if self.add else [])
        return sent
