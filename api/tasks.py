"""Tasks, as JSON (contract, people-and-boards 3.10)."""

from typing import Annotated, Any
from uuid import UUID

from pydantic import Field

from api.fields import (
    LONGEST_NAME,
    MOST_IDS,
    UNSENT,
    Answer,
    Body,
    Changes,
    GivenMoment,
    JsonObject,
    Moment,
    Ok,
    Paged,
    Short,
    Text,
    Title,
)
from api.operations import Call, may_answer
from kit.errors import Invalid
from kit.paging import Page
from models import Board, Status
from services import tasks

Ids = Annotated[list[UUID], Field(max_length=MOST_IDS)]


class TagRef(Answer):
    """A tag, as far as a task shows it."""

    id: UUID
    name: str
    slug: str
    color: str = Field(description="Six hex digits.")


class TaskRead(Answer):
    """A task as it stands now."""

    title: str
    description: str | None
    status: Status
    priority: str
    due_at: Moment | None
    assigned_agent_id: UUID | None
    depends_on_task_ids: list[UUID] = Field(description="In the order in which they were named.")
    tag_ids: list[UUID]
    id: UUID
    board_id: UUID
    created_by_user_id: UUID | None
    in_progress_at: Moment | None
    created_at: Moment
    updated_at: Moment
    version: int = Field(description="It grows with every change. It begins the ETag.")
    blocked_by_task_ids: list[UUID] = Field(description="What it waits for that is not done.")
    is_blocked: bool
    tags: list[TagRef]
    custom_field_values: JsonObject | None = Field(
        description="What it holds for every custom field of the board, by key, or the default."
    )

    @classmethod
    def of(cls, detail: tasks.TaskDetail) -> "TaskRead":
        """Make one of what the services know of a task."""
        return cls(**task_fields(detail))


def task_fields(detail: tasks.TaskDetail) -> dict[str, Any]:
    """Return the fields of a TaskRead."""
    task = detail.task
    return {
        **{name: getattr(task, name) for name in OF_THE_ROW},
        "depends_on_task_ids": detail.depends_on_task_ids,
        "blocked_by_task_ids": detail.blocked_by_task_ids,
        "is_blocked": detail.is_blocked,
        "tag_ids": [tag.id for tag in detail.tags],
        "tags": [TagRef.model_validate(tag) for tag in detail.tags],
        "custom_field_values": detail.custom_field_values,
    }


OF_THE_ROW = (
    "title",
    "description",
    "status",
    "priority",
    "due_at",
    "assigned_agent_id",
    "id",
    "board_id",
    "created_by_user_id",
    "in_progress_at",
    "created_at",
    "updated_at",
    "version",
)


class TaskCreate(Body):
    """A task to be. `created_by_user_id` is taken and not believed: it is whoever calls."""

    example = {"title": "Write the release notes", "priority": "high"}

    title: Title
    description: Text | None = None
    status: Status = Status.INBOX
    priority: Short = Field(default="medium", description="`low`, `medium` or `high`.")
    due_at: GivenMoment | None = None
    assigned_agent_id: UUID | None = None
    depends_on_task_ids: Ids = []
    tag_ids: Ids = []
    custom_field_values: JsonObject = Field(
        default={}, description="By key, of the board's custom fields. Others hold their default."
    )
    created_by_user_id: UUID | None = None

    def draft(self) -> tasks.TaskDraft:
        """Return the same, as the services take it."""
        return tasks.TaskDraft(**dict(self))


class TaskUpdate(Changes):
    """What may be changed of a task. Who may change what: see the guide for agents."""

    example = {"status": "review", "comment": "The draft is in the wiki."}

    title: Title = UNSENT
    description: Text | None = None
    status: Status = UNSENT
    priority: Short = UNSENT
    due_at: GivenMoment | None = None
    assigned_agent_id: UUID | None = None
    depends_on_task_ids: Ids | None = None
    tag_ids: Ids | None = None
    custom_field_values: JsonObject | None = Field(
        default=None, description="Only the keys that are sent change; null takes a value away."
    )
    comment: Text | None = Field(default=None, description="Said together with the change.")


class TaskFilter(Paged):
    """Which tasks to list; all filters have to fit."""

    status: str | None = Field(
        default=None,
        max_length=LONGEST_NAME,
        description="Statuses, with commas between them.",
        examples=["inbox,in_progress"],
    )
    assigned_agent_id: UUID | None = Field(default=None, description="Only those it has.")
    unassigned: bool = Field(default=False, description="Only those that nobody has.")

    def statuses(self) -> list[Status]:
        """Return the statuses that are asked for; none of them means all. Raises Invalid."""
        words = [word.strip() for word in (self.status or "").split(",") if word.strip()]
        if not set(words) <= set(Status):
            raise Invalid("unknown_status", f"The statuses are {', '.join(Status)}.")
        return [Status(word) for word in words]


async def list_tasks(call: Call, board: Board, query: TaskFilter) -> Page[TaskRead]:
    """List the tasks of a board, newest first."""
    found = await tasks.listed(
        call.session,
        board,
        query.paging,
        statuses=query.statuses(),
        assigned_agent_id=query.assigned_agent_id,
        unassigned=query.unassigned,
    )
    return found.map(TaskRead.of)


async def get_task(call: Call, board: Board, task_id: UUID) -> TaskRead:
    """Return one task."""
    return TaskRead.of(await tasks.detail(call.session, board, task_id))


@may_answer(409)
async def create_task(call: Call, board: Board, body: TaskCreate) -> TaskRead:
    """Create a task on a board. Among agents, only the board's lead may."""
    return TaskRead.of(await tasks.create(call.session, call.actor, board, body.draft()))


@may_answer(409, 412)
async def update_task(call: Call, board: Board, task_id: UUID, body: TaskUpdate) -> TaskRead:
    """Change a task: claim it, move it, comment on it, assign it. Only sent fields count.

    A worker sends `status`, `comment` and `custom_field_values`; a lead everything that concerns
    who does what and when; a person whatever they like. What the board asks for may refuse it
    with 409, or with 422 where a comment is missing.
    """
    changes = body.changes()
    changed = await tasks.change(
        call.session, call.actor, board, task_id, changes, known=call.known_versions
    )
    return TaskRead.of(changed)


@may_answer(412)
async def delete_task(call: Call, board: Board, task_id: UUID) -> Ok:
    """Delete a task with its comments. Approvals keep the other tasks they are about."""
    await tasks.delete(call.session, call.actor, board, task_id, known=call.known_versions)
    return Ok()
