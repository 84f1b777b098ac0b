"""A board at a glance, and the boards beside it, as JSON (contract, people-and-boards 3.6)."""

from typing import Any
from uuid import UUID

from pydantic import BaseModel, Field

from api.agents import AgentRead
from api.approvals import ApprovalRead
from api.boards import BoardRead
from api.fields import Answer, Moment
from api.operations import Call
from api.tasks import TagRef, TaskRead, task_fields
from models import Board, Status
from services import snapshots
from services.tasks import TaskDetail


class TaskCardRead(TaskRead):
    """A task, with what a card on a board shows."""

    assignee: str | None
    approvals_count: int
    approvals_pending_count: int

    @classmethod
    def of(cls, detail: TaskDetail) -> "TaskCardRead":
        """Make one of what the services know of a task."""
        return cls(
            **task_fields(detail),
            assignee=detail.assignee.name if detail.assignee else None,
            approvals_count=detail.approvals_count,
            approvals_pending_count=detail.approvals_pending_count,
        )


class BoardMemoryRead(Answer):
    """A note, or a message of the board's chat."""

    id: UUID
    board_id: UUID
    content: str
    tags: list[Any] | None
    source: str | None
    is_chat: bool
    created_at: Moment


class BoardSnapshot(Answer):
    """All that is on a board."""

    board: BoardRead
    tasks: list[TaskCardRead]
    agents: list[AgentRead]
    approvals: list[ApprovalRead]
    chat_messages: list[BoardMemoryRead]
    pending_approvals_count: int


class BoardGroupRead(Answer):
    """Boards that share context."""

    id: UUID
    organization_id: UUID
    name: str
    slug: str
    description: str | None
    created_at: Moment
    updated_at: Moment


class TaskSummary(Answer):
    """A task in one line."""

    id: UUID
    board_id: UUID
    board_name: str
    title: str
    status: Status
    priority: str
    assigned_agent_id: UUID | None
    assignee: str | None
    due_at: Moment | None
    in_progress_at: Moment | None
    tags: list[TagRef]
    created_at: Moment
    updated_at: Moment

    @classmethod
    def of(cls, glance: snapshots.TaskGlance) -> "TaskSummary":
        """Make one of what the services know of a task."""
        return cls(
            **{name: getattr(glance.task, name) for name in OF_THE_ROW},
            board_name=glance.board_name,
            assignee=glance.assignee,
            tags=[TagRef.model_validate(tag) for tag in glance.tags],
        )


OF_THE_ROW = TaskSummary.model_fields.keys() - {"board_name", "assignee", "tags"}


class GroupBoard(Answer):
    """A board of a group, with its most urgent tasks."""

    board: BoardRead
    task_counts: dict[Status, int] = Field(description="Only of statuses that occur.")
    tasks: list[TaskSummary]


class GroupSnapshot(Answer):
    """The boards of a group, by name."""

    group: BoardGroupRead | None
    boards: list[GroupBoard]


class GroupSnapshotQuery(BaseModel):
    """What of a group to show."""

    include_self: bool = Field(default=False, description="The board itself, too.")
    include_done: bool = Field(default=False, description="Tasks that are done, too.")
    per_board_task_limit: int = Field(default=5, ge=0, le=100)


async def get_board_snapshot(call: Call, board: Board) -> BoardSnapshot:
    """Return a board with all its tasks and agents, and its newest approvals and messages."""
    seen = await snapshots.snapshot(call.session, board)
    return BoardSnapshot(
        board=BoardRead.model_validate(seen.board),
        tasks=[TaskCardRead.of(task) for task in seen.tasks],
        agents=[AgentRead.of(agent, call) for agent in seen.agents],
        approvals=[ApprovalRead.of(approval) for approval in seen.approvals],
        chat_messages=[BoardMemoryRead.model_validate(note) for note in seen.chat_messages],
        pending_approvals_count=seen.pending_approvals_count,
    )


async def get_board_group_snapshot(
    call: Call, board: Board, query: GroupSnapshotQuery
) -> GroupSnapshot:
    """Return the boards of the group that a board is in, each with its most urgent tasks."""
    seen = await snapshots.group_snapshot(call.session, call.actor, board, **dict(query))
    return GroupSnapshot(
        group=BoardGroupRead.model_validate(seen.group) if seen.group else None,
        boards=[
            GroupBoard(
                board=BoardRead.model_validate(one.board),
                task_counts=dict(one.task_counts),
                tasks=[TaskSummary.of(task) for task in one.tasks],
            )
            for one in seen.boards
        ],
    )
