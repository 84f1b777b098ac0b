"""Boards and their snapshots."""

from typing import Any
from uuid import UUID

from pydantic import Field

from api.endpoints.agents import AgentRead, build_agent_fields
from api.endpoints.approvals import ApprovalRead, PendingCount, build_approval_fields
from api.endpoints.memory import BoardMemoryRead, build_note_fields
from api.endpoints.tasks import TaskRead, build_task_fields
from api.framework.agent_operations import declare_agent
from api.framework.auth import require_decision_scope
from api.framework.dependencies import (
    active_membership,
    admin_membership,
    board_for_deletion,
    board_for_read,
    board_for_update,
)
from api.framework.fields import (
    JsonObject,
    Ok,
    PageQuery,
    ResponseModel,
    Timestamp,
)
from api.framework.operation import EITHER, USER, Operation, error_responses, reads_only
from api.framework.request_context import RequestContext
from core.json_responses import Encoded, build_encoder, encode_page
from core.paging import Page
from models import Board, Member
from services import boards, snapshots
from services.boards import BoardCreate, BoardUpdate
from services.tasks import ListedTask


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
    workers_may_ask_people: bool
    max_agents: int
    stale_after_minutes: int | None
    remind_after_minutes: int | None
    paused_at: Timestamp | None = Field(
        description="Since when the board is paused; null: it is not paused."
    )
    id: UUID
    organization_id: UUID
    created_at: Timestamp
    updated_at: Timestamp
    version: int = Field(description="Increases with every change; the first part of the ETag.")


encode_board = build_encoder(BoardRead)


DONE_RULES = (
    "require_approval_for_done",
    "require_review_before_done",
    "block_status_changes_with_pending_approval",
)
"""The fields of a board that define which decisions a task needs."""


class BoardFilter(PageQuery):
    """Which boards to list."""

    gateway_id: UUID | None = Field(default=None, description="Only on this gateway.")
    board_group_id: UUID | None = Field(default=None, description="Only in this group.")


@reads_only
async def list_boards(
    context: RequestContext, member: Member, query: BoardFilter
) -> Encoded[Page[BoardRead]]:
    """List the boards of the active organization that the user may read, by name."""
    found = await boards.list_boards(
        context.source,
        member,
        query.paging,
        gateway_id=query.gateway_id,
        board_group_id=query.board_group_id,
    )
    return encode_page(found, encode_board)


async def create_board(
    context: RequestContext, member: Member, body: BoardCreate
) -> Encoded[BoardRead]:
    """Create a board in the active organization. Its creator may read and change it."""
    return _encode_board(await boards.create_board(context.session, member, body))


@reads_only
async def get_board(context: RequestContext, board: Board) -> Encoded[BoardRead]:
    """Return a board."""
    return _encode_board(board)


@error_responses(412)
async def update_board(
    context: RequestContext, board: Board, body: BoardUpdate
) -> Encoded[BoardRead]:
    """Change a board. Only the fields in the request change.

    A token with the scope `no_decisions` may not change which approvals and reviews a task needs.
    """
    changes = body.changes()
    if any(name in changes and changes[name] != getattr(board, name) for name in DONE_RULES):
        require_decision_scope(context.request)
    changed = await boards.update_board(
        context.session, context.actor, board, body, known=context.known_versions
    )
    return _encode_board(changed)


def _encode_board(board: Board) -> Encoded[BoardRead]:
    return Encoded(encode_board(board), board.version)


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


def _build_card_fields(task: ListedTask) -> dict[str, Any]:
    """Return the fields of a TaskCardRead."""
    count, pending_count = task.approval_counts
    fields = build_task_fields(task)
    fields["assignee"] = task.assignee
    fields["approvals_count"] = count
    fields["approvals_pending_count"] = pending_count
    return fields


class BoardSnapshot(ResponseModel):
    """Everything on a board."""

    board: BoardRead
    tasks: list[TaskCardRead]
    agents: list[AgentRead]
    approvals: list[ApprovalRead]
    chat_messages: list[BoardMemoryRead]
    pending_approvals_count: PendingCount


@reads_only
async def get_board_snapshot(context: RequestContext, board: Board) -> Encoded[BoardSnapshot]:
    """Return a board with its tasks and agents, and its newest approvals and chat messages."""
    snapshot = await snapshots.load_board_snapshot(context.source, board)
    fields = {
        "board": encode_board(snapshot.board),
        "tasks": [_build_card_fields(task) for task in snapshot.tasks],
        "agents": [build_agent_fields(agent, agent.gateway, context) for agent in snapshot.agents],
        "approvals": list(map(build_approval_fields, snapshot.approvals)),
        "chat_messages": list(map(build_note_fields, snapshot.chat_messages)),
        "pending_approvals_count": snapshot.pending_approvals_count,
    }
    return Encoded(fields)


@reads_only
async def list_agent_boards(context: RequestContext, query: PageQuery) -> Encoded[Page[BoardRead]]:
    """List the boards on which the calling agent works, newest first."""
    found = await boards.list_agent_boards(context.source, context.agent, query.paging)
    return encode_page(found, encode_board)


BOARD = "/boards/{board_id}"

OPERATIONS = [
    Operation("GET", "/boards", list_boards, USER, ["boards"], active_membership),
    declare_agent("GET", "/boards", list_agent_boards, "agent_board_discovery"),
    Operation("POST", "/boards", create_board, USER, ["boards"], admin_membership),
    Operation("GET", BOARD, get_board, USER, ["boards"], board_for_read),
    declare_agent("GET", BOARD, get_board, "agent_board_lookup", board_for_read),
    Operation("PATCH", BOARD, update_board, USER, ["boards"], board_for_update),
    Operation("DELETE", BOARD, delete_board, USER, ["boards"], board_for_deletion),
    Operation("GET", BOARD + "/snapshot", get_board_snapshot, EITHER, ["boards"], board_for_read),
]
