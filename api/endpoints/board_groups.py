"""Board groups (contract, people-and-boards 3.7)."""

from typing import Annotated
from uuid import UUID

from pydantic import BaseModel, Field, StringConstraints

from api.endpoints.boards import BoardRead
from api.endpoints.tasks import TagRef
from api.framework.fields import (
    NOT_SENT,
    Name,
    NonNegativeInt,
    Ok,
    PageQuery,
    PatchModel,
    RequestModel,
    ResponseModel,
    ShortText,
    Text,
    Timestamp,
)
from api.framework.handler import RequestContext, error_responses, reads_only
from core.paging import Page
from models import Board, BoardGroup, Member, Status
from services import agents, boards

HeartbeatInterval = Annotated[
    str,
    StringConstraints(max_length=agents.MAX_INTERVAL_LENGTH),
    Field(description="A duration such as `30s`, `10m`, `1h` or `1h30m`; `0m` means never."),
]


class BoardGroupRead(ResponseModel):
    """Boards that share context."""

    id: UUID
    organization_id: UUID
    name: str
    slug: str
    description: str | None
    created_at: Timestamp
    updated_at: Timestamp


class BoardGroupCreate(RequestModel):
    """A new board group."""

    example = {"name": "Spring launch", "description": "All boards that go out together."}

    name: Name
    slug: ShortText = Field(default="", description="Made from the name if blank.")
    description: Text | None = None


class BoardGroupUpdate(PatchModel):
    """Changes of a board group. A blank slug is made from the name."""

    name: Name = NOT_SENT
    slug: ShortText = NOT_SENT
    description: Text | None = None


class BoardGroupHeartbeatApply(RequestModel):
    """The heartbeat interval for the agents of a group."""

    example = {"every": "10m"}

    every: HeartbeatInterval
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

    @classmethod
    def of(cls, item: boards.GroupSnapshotTask) -> "TaskSummary":
        """Build the model from a task of a snapshot."""
        return cls(
            **{name: getattr(item.task, name) for name in ROW_FIELDS},
            board_name=item.board_name,
            assignee=item.assignee,
            tags=[TagRef.model_validate(tag) for tag in item.tags],
        )


ROW_FIELDS = TaskSummary.model_fields.keys() - {"board_name", "assignee", "tags"}


class GroupBoard(ResponseModel):
    """A board of a group, with its most urgent tasks."""

    board: BoardRead
    task_counts: dict[Status, int] = Field(description="Statuses without tasks are left out.")
    tasks: list[TaskSummary]


class GroupSnapshot(ResponseModel):
    """The boards of a group, by name."""

    group: BoardGroupRead | None
    boards: list[GroupBoard]

    @classmethod
    def of(cls, snapshot: boards.GroupSnapshot) -> "GroupSnapshot":
        """Build the model from a snapshot."""
        return cls(
            group=BoardGroupRead.model_validate(snapshot.group) if snapshot.group else None,
            boards=[
                GroupBoard(
                    board=BoardRead.model_validate(one.board),
                    task_counts=dict(one.task_counts),
                    tasks=[TaskSummary.of(task) for task in one.tasks],
                )
                for one in snapshot.boards
            ],
        )


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
) -> Page[BoardGroupRead]:
    """List the board groups that the user may read, by name."""
    found = await boards.list_groups(context.source, member, query.paging)
    return found.map(BoardGroupRead.model_validate)


@error_responses(409)
async def create_board_group(
    context: RequestContext, member: Member, body: BoardGroupCreate
) -> BoardGroupRead:
    """Create a board group. A board joins it with its `board_group_id`."""
    draft = boards.GroupDraft(**dict(body))
    return BoardGroupRead.model_validate(await boards.create_group(context.session, member, draft))


@reads_only
async def get_board_group(context: RequestContext, group: BoardGroup) -> BoardGroupRead:
    """Return a board group."""
    return BoardGroupRead.model_validate(group)


@error_responses(409)
async def update_board_group(
    context: RequestContext, group: BoardGroup, body: BoardGroupUpdate
) -> BoardGroupRead:
    """Change a board group. Only the fields in the request change."""
    changed = await boards.update_group(context.session, context.user, group, body.changes())
    return BoardGroupRead.model_validate(changed)


@error_responses(403, 404)
async def delete_board_group(context: RequestContext, group_id: UUID) -> Ok:
    """Delete a group with its memory. Its boards remain, and their agents are notified."""
    await boards.delete_group(context.session, context.user, group_id)
    return Ok()


@reads_only
async def get_group_snapshot(
    context: RequestContext, group: BoardGroup, query: SnapshotQuery
) -> GroupSnapshot:
    """Return the boards of a group that the user may read, each with its most urgent tasks."""
    snapshot = await boards.load_group_snapshot(
        context.source, context.actor, group.id, **dict(query)
    )
    return GroupSnapshot.of(snapshot)


@reads_only
async def get_board_group_snapshot(
    context: RequestContext, board: Board, query: BoardSnapshotQuery
) -> GroupSnapshot:
    """Return the boards of a board's group, each with its most urgent tasks."""
    options = dict(query)
    excluded_board = None if options.pop("include_self") else board
    group_id = board.board_group_id
    snapshot = await boards.load_group_snapshot(
        context.source, context.actor, group_id, excluding=excluded_board, **options
    )
    return GroupSnapshot.of(snapshot)


async def apply_board_group_heartbeat(
    context: RequestContext,
    locked_group: boards.GroupAgents,
    group_id: UUID,
    body: BoardGroupHeartbeatApply,
) -> BoardGroupHeartbeatApplyResult:
    """Set the heartbeat interval of all agents in a group; of leads only if included.

    For admins who may change the group, and for the lead of one of its boards.
    """
    updated = await boards.set_group_heartbeat_interval(
        context.session, context.actor, locked_group, **dict(body)
    )
    return BoardGroupHeartbeatApplyResult(
        board_group_id=group_id,
        requested=body,
        updated_agent_ids=list(updated),
        failed_agent_ids=[],
    )
