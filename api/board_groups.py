"""Groups of boards, as JSON (contract, people-and-boards 3.7)."""

from typing import Annotated
from uuid import UUID

from pydantic import BaseModel, Field, StringConstraints

from api.boards import BoardRead
from api.fields import (
    UNSENT,
    Answer,
    Body,
    Changes,
    Moment,
    Name,
    Ok,
    Paged,
    Short,
    Text,
    Whole,
)
from api.operations import Call, may_answer
from api.tasks import TagRef
from kit.paging import Page
from models import Board, BoardGroup, Member, Status
from services import board_groups

Every = Annotated[
    str,
    StringConstraints(max_length=20),
    Field(description="As `30s`, `10m`, `1h` or `1h30m`; `0m` is never."),
]


class BoardGroupRead(Answer):
    """Boards that share context."""

    id: UUID
    organization_id: UUID
    name: str
    slug: str
    description: str | None
    created_at: Moment
    updated_at: Moment


class BoardGroupCreate(Body):
    """A group to be."""

    example = {"name": "Spring launch", "description": "All boards that go out together."}

    name: Name
    slug: Short = Field(default="", description="Made of the name if it is blank.")
    description: Text | None = None


class BoardGroupUpdate(Changes):
    """What may be changed of a group. A blank slug is made of the name anew."""

    name: Name = UNSENT
    slug: Short = UNSENT
    description: Text | None = None


class BoardGroupHeartbeatApply(Body):
    """How often the agents of a group are to check in."""

    example = {"every": "10m"}

    every: Every
    include_board_leads: bool = False


class BoardGroupHeartbeatApplyResult(Answer):
    """Which agents are to check in so often from now on."""

    board_group_id: UUID
    requested: BoardGroupHeartbeatApply
    updated_agent_ids: list[UUID]
    failed_agent_ids: list[UUID] = Field(
        description="Those that a gateway could not be told about. Others read how often from the "
        "API, in their `heartbeat_config`."
    )


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
    def of(cls, glance: board_groups.TaskGlance) -> "TaskSummary":
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

    @classmethod
    def of(cls, seen: board_groups.GroupSnapshot) -> "GroupSnapshot":
        """Make one of what the services know of a group."""
        return cls(
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


OF_EACH = "How many tasks of each board, at most."


class SnapshotQuery(BaseModel):
    """What of a group to show."""

    include_done: bool = Field(default=False, description="Tasks that are done, too.")
    per_board_task_limit: Whole = Field(default=5, description=OF_EACH)


class BoardSnapshotQuery(SnapshotQuery):
    """What to show of the group that a board is in."""

    include_self: bool = Field(default=False, description="The board itself, too.")
    per_board_task_limit: int = Field(default=5, ge=0, le=100, description=OF_EACH)


async def list_board_groups(call: Call, member: Member, query: Paged) -> Page[BoardGroupRead]:
    """List the groups of boards that the caller may read, by name."""
    found = await board_groups.listed(call.session, member, query.paging)
    return found.map(BoardGroupRead.model_validate)


@may_answer(409)
async def create_board_group(call: Call, member: Member, body: BoardGroupCreate) -> BoardGroupRead:
    """Create a group of boards. A board joins it by its `board_group_id`."""
    draft = board_groups.GroupDraft(**dict(body))
    return BoardGroupRead.model_validate(await board_groups.create(call.session, member, draft))


async def get_board_group(call: Call, group: BoardGroup) -> BoardGroupRead:
    """Return a group of boards."""
    return BoardGroupRead.model_validate(group)


@may_answer(409)
async def update_board_group(
    call: Call, group: BoardGroup, body: BoardGroupUpdate
) -> BoardGroupRead:
    """Change a group of boards. Only the fields that are sent count."""
    changed = await board_groups.change(call.session, call.user, group, body.changes())
    return BoardGroupRead.model_validate(changed)


@may_answer(403, 404)
async def delete_board_group(call: Call, group_id: UUID) -> Ok:
    """Delete a group with its memory. Its boards stay, in no group, and their agents are told."""
    await board_groups.delete(call.session, call.user, group_id)
    return Ok()


async def get_group_snapshot(call: Call, group: BoardGroup, query: SnapshotQuery) -> GroupSnapshot:
    """Return the boards of a group that the caller may read, each with its most urgent tasks."""
    seen = await board_groups.snapshot(call.session, call.actor, group.id, **dict(query))
    return GroupSnapshot.of(seen)


async def get_board_group_snapshot(
    call: Call, board: Board, query: BoardSnapshotQuery
) -> GroupSnapshot:
    """Return the boards of the group that a board is in, each with its most urgent tasks."""
    how = dict(query)
    besides = None if how.pop("include_self") else board
    group_id = board.board_group_id
    seen = await board_groups.snapshot(call.session, call.actor, group_id, besides=besides, **how)
    return GroupSnapshot.of(seen)


async def apply_board_group_heartbeat(
    call: Call, held: board_groups.Crews, group_id: UUID, body: BoardGroupHeartbeatApply
) -> BoardGroupHeartbeatApplyResult:
    """Let all agents on a group's boards check in as often as this, its leads only if included.

    For admins who may change the group, and for the lead of one of its boards.
    """
    updated = await board_groups.check_in(call.session, call.actor, held, **dict(body))
    return BoardGroupHeartbeatApplyResult(
        board_group_id=group_id,
        requested=body,
        updated_agent_ids=list(updated),
        failed_agent_ids=[],
    )
