"""Boards and their snapshots (contract, people-and-boards 3.6)."""

from uuid import UUID

from pydantic import Field

from api.endpoints.agent_models import AgentRead
from api.endpoints.approval_models import ApprovalRead
from api.endpoints.memory import BoardMemoryRead, build_memory_read
from api.endpoints.tasks import TaskRead, build_task_fields
from api.framework.fields import (
    NOT_SENT,
    JsonObject,
    Name,
    NonNegativeInt,
    Ok,
    PageQuery,
    PatchModel,
    RequestModel,
    RequestTimestamp,
    RequiredText,
    ResponseModel,
    ShortText,
    Text,
    Timestamp,
)
from api.framework.operation import RequestContext, error_responses
from core.paging import Page
from models import Board, Member
from services import boards
from services.tasks import TaskDetail


class BoardRead(ResponseModel):
    """A board and its rules for tasks."""

    name: str
    slug: str
    description: str
    gateway_id: UUID | None
    board_group_id: UUID | None
    board_type: str
    objective: str | None
    success_metrics: JsonObject | None
    target_date: Timestamp | None
    goal_confirmed: bool
    goal_source: str | None
    require_approval_for_done: bool
    require_review_before_done: bool
    comment_required_for_review: bool
    block_status_changes_with_pending_approval: bool
    only_lead_can_change_status: bool
    max_agents: int
    paused_at: Timestamp | None = Field(
        description="Since when the board is paused; null: it is not paused."
    )
    id: UUID
    organization_id: UUID
    created_at: Timestamp
    updated_at: Timestamp
    version: int = Field(description="Increases with every change; the first part of the ETag.")


class BoardCreate(RequestModel):
    """A new board. Without a gateway its agents use HTTP only."""

    example = {
        "name": "Launch",
        "description": "All that has to happen before we go public.",
        "board_type": "general",
        "require_approval_for_done": True,
    }

    name: Name
    slug: ShortText = Field(default="", description="Made from the name if blank or already used.")
    description: RequiredText
    gateway_id: UUID | None = None
    board_group_id: UUID | None = None
    board_type: Name = Field(default="goal", description="`goal`, `general`, or another type.")
    objective: Text | None = None
    success_metrics: JsonObject | None = None
    target_date: RequestTimestamp | None = None
    goal_confirmed: bool = False
    goal_source: ShortText | None = None
    require_approval_for_done: bool = Field(
        default=True, description="A task can only be done with an approval."
    )
    require_review_before_done: bool = Field(
        default=False, description="A task can only be done from review."
    )
    comment_required_for_review: bool = Field(
        default=False, description="Moving a task to review requires a comment."
    )
    block_status_changes_with_pending_approval: bool = Field(
        default=False, description="A task with a pending approval cannot change its status."
    )
    only_lead_can_change_status: bool = Field(
        default=False, description="Only the lead may change the status of tasks; workers comment."
    )
    max_agents: NonNegativeInt = Field(
        default=1, description="Maximum number of workers that the lead may create."
    )


class BoardUpdate(PatchModel):
    """Changes of a board. Rules, gateway and group are for admins."""

    name: Name = NOT_SENT
    slug: ShortText = NOT_SENT
    description: RequiredText = NOT_SENT
    gateway_id: UUID | None = None
    board_group_id: UUID | None = None
    board_type: Name = NOT_SENT
    objective: Text | None = None
    success_metrics: JsonObject | None = None
    target_date: RequestTimestamp | None = None
    goal_confirmed: bool = NOT_SENT
    goal_source: ShortText | None = None
    require_approval_for_done: bool = NOT_SENT
    require_review_before_done: bool = NOT_SENT
    comment_required_for_review: bool = NOT_SENT
    block_status_changes_with_pending_approval: bool = NOT_SENT
    only_lead_can_change_status: bool = NOT_SENT
    max_agents: NonNegativeInt = NOT_SENT


class BoardFilter(PageQuery):
    """Which boards to list."""

    gateway_id: UUID | None = Field(default=None, description="Only on this gateway.")
    board_group_id: UUID | None = Field(default=None, description="Only in this group.")


async def list_boards(
    context: RequestContext, member: Member, query: BoardFilter
) -> Page[BoardRead]:
    """List the boards of the active organization that the user may read, by name."""
    found = await boards.list_boards(
        context.session,
        member,
        query.paging,
        gateway_id=query.gateway_id,
        board_group_id=query.board_group_id,
    )
    return found.map(BoardRead.model_validate)


async def create_board(context: RequestContext, member: Member, body: BoardCreate) -> BoardRead:
    """Create a board in the active organization. Its creator may read and change it."""
    draft = boards.BoardDraft(**dict(body))
    return BoardRead.model_validate(await boards.create_board(context.session, member, draft))


async def get_board(context: RequestContext, board: Board) -> BoardRead:
    """Return a board."""
    return BoardRead.model_validate(board)


@error_responses(412)
async def update_board(context: RequestContext, board: Board, body: BoardUpdate) -> BoardRead:
    """Change a board. Only the fields in the request change."""
    changed = await boards.update_board(
        context.session, context.actor, board, body.changes(), known=context.known_versions
    )
    return BoardRead.model_validate(changed)


@error_responses(412)
async def delete_board(context: RequestContext, board: Board) -> Ok:
    """Delete a board with its tasks, comments, approvals and agents. This cannot be undone."""
    await boards.delete_board(context.session, context.actor, board, known=context.known_versions)
    return Ok()


class TaskCardRead(TaskRead):
    """A task with the additional data of its card on the board."""

    assignee: str | None
    approvals_count: int
    approvals_pending_count: int

    @classmethod
    def of(cls, detail: TaskDetail) -> "TaskCardRead":
        """Build the model from a task."""
        return cls(
            **build_task_fields(detail),
            assignee=detail.assignee.name if detail.assignee else None,
            approvals_count=detail.approvals_count,
            approvals_pending_count=detail.approvals_pending_count,
        )


class BoardSnapshot(ResponseModel):
    """Everything on a board."""

    board: BoardRead
    tasks: list[TaskCardRead]
    agents: list[AgentRead]
    approvals: list[ApprovalRead]
    chat_messages: list[BoardMemoryRead]
    pending_approvals_count: int


async def get_board_snapshot(context: RequestContext, board: Board) -> BoardSnapshot:
    """Return a board with its tasks and agents, and its newest approvals and chat messages."""
    snapshot = await boards.load_board_snapshot(context.session, board)
    return BoardSnapshot(
        board=BoardRead.model_validate(snapshot.board),
        tasks=[TaskCardRead.of(task) for task in snapshot.tasks],
        agents=[AgentRead.of(agent, context) for agent in snapshot.agents],
        approvals=[ApprovalRead.of(approval) for approval in snapshot.approvals],
        chat_messages=[build_memory_read(BoardMemoryRead, note) for note in snapshot.chat_messages],
        pending_approvals_count=snapshot.pending_approvals_count,
    )
