"""Board groups."""

from typing import Annotated
from uuid import UUID

from pydantic import BaseModel, Field, StringConstraints

from api.endpoints.boards import BoardRead, encode_board
from api.endpoints.tasks import TagRef, encode_tag
from api.framework.agent_operations import LEAD, WORKER
from api.framework.dependencies import (
    active_membership,
    admin_membership,
    board_for_read,
    group_agents_for_update,
    group_for_read,
    group_for_update,
)
from api.framework.fields import (
    NonNegativeInt,
    Ok,
    PageQuery,
    RequestModel,
    ResponseModel,
    Timestamp,
)
from api.framework.operation import EITHER, USER, Operation, error_responses, reads_only
from api.framework.request_context import RequestContext
from core.json_responses import Encoded, build_encoder, encode_page
from core.paging import Page
from models import Board, BoardGroup, Member, Status
from services import agents, boards, snapshots
from services.boards import BoardGroupCreate, BoardGroupUpdate


class BoardGroupRead(ResponseModel):
    """Boards that share context."""

    id: UUID
    organization_id: UUID
    name: str
    slug: str
    description: str | None
    created_at: Timestamp
    updated_at: Timestamp


encode_group = build_encoder(BoardGroupRead)


class BoardGroupHeartbeatApply(RequestModel):
    """The heartbeat interval for the agents of a group."""

    example = {"every": "10m"}

    every: Annotated[
        str,
        StringConstraints(max_length=agents.MAX_INTERVAL_LENGTH),
        Field(description="A duration such as `30s`, `10m`, `1h` or `1h30m`; `0m` means never."),
    ]
    include_board_leads: bool = False


class BoardGroupHeartbeatApplyResult(ResponseModel):
    """The agents with the new heartbeat interval."""

    board_group_id: UUID
    requested: BoardGroupHeartbeatApply
    updated_agent_ids: list[UUID]
    failed_agent_ids: list[UUID] = Field(
        description="Agents whose gateway could not be updated. Agents without a gateway read the "
        "interval from the API, in their `heartbeat_config`."
    )


class TaskSummary(ResponseModel):
    """A task in short form."""

    id: UUID
    board_id: UUID
    board_name: str
    title: str
    status: Status
    priority: str
    assigned_agent_id: UUID | None
    assigned_user_id: UUID | None
    assignee: str | None
    due_at: Timestamp | None
    in_progress_at: Timestamp | None
    tags: list[TagRef]
    created_at: Timestamp
    updated_at: Timestamp


encode_summary = build_encoder(
    TaskSummary, "task", board_name="board_name", assignee="assignee", tags="tags"
)


class GroupBoard(ResponseModel):
    """A board of a group, with its most urgent tasks."""

    board: BoardRead
    task_counts: dict[Status, int] = Field(description="Statuses without tasks are left out.")
    tasks: list[TaskSummary]


class GroupSnapshot(ResponseModel):
    """The boards of a group, by name."""

    group: BoardGroupRead | None
    boards: list[GroupBoard]


def _encode_snapshot(snapshot: snapshots.GroupSnapshot) -> Encoded[GroupSnapshot]:
    fields = {
        "group": encode_group(snapshot.group) if snapshot.group else None,
        "boards": [
            {
                "board": encode_board(one.board),
                "task_counts": one.task_counts,
                "tasks": [
                    encode_summary(item) | {"tags": list(map(encode_tag, item.tags))}
                    for item in one.tasks
                ],
            }
            for one in snapshot.boards
        ],
    }
    return Encoded(fields)


TASK_LIMIT_DESCRIPTION = "Maximum number of tasks per board."


class SnapshotQuery(BaseModel):
    """What the snapshot of a group contains."""

    include_done: bool = Field(default=False, description="Include tasks that are done.")
    per_board_task_limit: NonNegativeInt = Field(default=5, description=TASK_LIMIT_DESCRIPTION)


class BoardSnapshotQuery(SnapshotQuery):
    """What the snapshot of a board's group contains."""

    include_self: bool = Field(default=False, description="Include the board itself.")
    per_board_task_limit: int = Field(default=5, ge=0, le=100, description=TASK_LIMIT_DESCRIPTION)


@reads_only
async def list_board_groups(
    context: RequestContext, member: Member, query: PageQuery
) -> Encoded[Page[BoardGroupRead]]:
    """List the board groups that the user may read, by name."""
    found = await boards.list_groups(context.source, member, query.paging)
    return encode_page(found, encode_group)


@error_responses(409)
async def create_board_group(
    context: RequestContext, member: Member, body: BoardGroupCreate
) -> Encoded[BoardGroupRead]:
    """Create a board group. A board joins it with its `board_group_id`."""
    return Encoded(encode_group(await boards.create_group(context.session, member, body)))


@reads_only
async def get_board_group(context: RequestContext, group: BoardGroup) -> Encoded[BoardGroupRead]:
    """Return a board group."""
    return Encoded(encode_group(group))


@error_responses(409)
async def update_board_group(
    context: RequestContext, group: BoardGroup, body: BoardGroupUpdate
) -> Encoded[BoardGroupRead]:
    """Change a board group. Only the fields in the request change."""
    await boards.update_group(context.session, context.user, group, body)
    return Encoded(encode_group(group))


@error_responses(403, 404)
async def delete_board_group(context: RequestContext, group_id: UUID) -> Ok:
    """Delete a group with its memory. Its boards remain, and their agents are notified."""
    await boards.delete_group(context.session, context.user, group_id)
    return Ok()


@reads_only
async def get_group_snapshot(
    context: RequestContext, group: BoardGroup, query: SnapshotQuery
) -> Encoded[GroupSnapshot]:
    """Return the boards of a group that the user may read, each with its most urgent tasks."""
    snapshot = await snapshots.load_group_snapshot(
        context.source, context.actor, group.id, **dict(query)
    )
    return _encode_snapshot(snapshot)


@reads_only
async def get_board_group_snapshot(
    context: RequestContext, board: Board, query: BoardSnapshotQuery
) -> Encoded[GroupSnapshot]:
    """Return the boards of a board's group, each with its most urgent tasks."""
    options = dict(query)
    excluded_board = None if options.pop("include_self") else board
    group_id = board.board_group_id
    snapshot = await snapshots.load_group_snapshot(
        context.source, context.actor, group_id, excluding=excluded_board, **options
    )
    return _encode_snapshot(snapshot)


async def apply_board_group_heartbeat(
    context: RequestContext,
    locked_group: boards.GroupAgents,
    group_id: UUID,
    body: BoardGroupHeartbeatApply,
) -> BoardGroupHeartbeatApplyResult:
    """Set the heartbeat interval of all agents in a group; of leads only if included.

    For admins who may change the group, and for the lead of one of its boards.
    """
    updated = await agents.set_group_heartbeat_interval(
        context.session, context.actor, locked_group, **dict(body)
    )
    return BoardGroupHeartbeatApplyResult(
        board_group_id=group_id,
        requested=body,
        updated_agent_ids=list(updated),
        failed_agent_ids=[],
    )


GROUP = "/board-groups/{group_id}"
TAGS = ["board-groups"]

BOARD_OPERATIONS = [
    Operation(
        "GET",
        "/boards/{board_id}/group-snapshot",
        get_board_group_snapshot,
        EITHER,
        ["boards", LEAD, WORKER],
        board_for_read,
    ),
]

OPERATIONS = [
    Operation("GET", "/board-groups", list_board_groups, USER, TAGS, active_membership),
    Operation("POST", "/board-groups", create_board_group, USER, TAGS, admin_membership),
    Operation("GET", GROUP, get_board_group, USER, TAGS, group_for_read),
    Operation("PATCH", GROUP, update_board_group, USER, TAGS, group_for_update),
    Operation("DELETE", GROUP, delete_board_group, USER, TAGS),
    Operation("GET", GROUP + "/snapshot", get_group_snapshot, USER, TAGS, group_for_read),
    Operation(
        "POST",
        GROUP + "/heartbeat",
        apply_board_group_heartbeat,
        EITHER,
        TAGS,
        group_agents_for_update,
    ),
]
