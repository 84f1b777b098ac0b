"""Boards, as JSON (contract, people-and-boards 3.6)."""

from uuid import UUID

from pydantic import Field

from api.fields import (
    UNSENT,
    Answer,
    Body,
    Changes,
    GivenMoment,
    JsonObject,
    Moment,
    Name,
    Ok,
    Paged,
    Short,
    Text,
    Whole,
    Words,
)
from api.operations import Call, may_answer
from kit.paging import Page
from models import Board, Member
from services import boards


class BoardRead(Answer):
    """A board, and the rules that it asks its tasks to keep."""

    name: str
    slug: str
    description: str
    gateway_id: UUID | None
    board_group_id: UUID | None
    board_type: str
    objective: str | None
    success_metrics: JsonObject | None
    target_date: Moment | None
    goal_confirmed: bool
    goal_source: str | None
    require_approval_for_done: bool
    require_review_before_done: bool
    comment_required_for_review: bool
    block_status_changes_with_pending_approval: bool
    only_lead_can_change_status: bool
    max_agents: int
    paused_at: Moment | None = Field(description="Since when its agents are to rest; null: not.")
    id: UUID
    organization_id: UUID
    created_at: Moment
    updated_at: Moment
    version: int = Field(description="It grows with every change. It begins the ETag.")


class BoardCreate(Body):
    """A board to be. The gateway may be left out: then agents come by HTTP alone."""

    example = {
        "name": "Launch",
        "description": "All that has to happen before we go public.",
        "board_type": "general",
        "require_approval_for_done": True,
    }

    name: Name
    slug: Short = Field(default="", description="Made from the name if it is blank or taken.")
    description: Words
    gateway_id: UUID | None = None
    board_group_id: UUID | None = None
    board_type: Name = Field(default="goal", description="`goal`, `general`, or your own word.")
    objective: Text | None = None
    success_metrics: JsonObject | None = None
    target_date: GivenMoment | None = None
    goal_confirmed: bool = False
    goal_source: Short | None = None
    require_approval_for_done: bool = Field(
        default=True, description="A task needs an approval before it is done."
    )
    require_review_before_done: bool = Field(
        default=False, description="A task is done only out of review."
    )
    comment_required_for_review: bool = Field(
        default=False, description="Whoever moves a task to review says what was done."
    )
    block_status_changes_with_pending_approval: bool = Field(
        default=False, description="A task stays where it is while a question about it waits."
    )
    only_lead_can_change_status: bool = Field(
        default=False, description="Workers comment; the lead moves the tasks."
    )
    max_agents: Whole = Field(default=1, description="How many workers the lead may create.")


class BoardUpdate(Changes):
    """What may be changed of a board. The rules, the gateway and the group are for admins."""

    name: Name = UNSENT
    slug: Short = UNSENT
    description: Words = UNSENT
    gateway_id: UUID | None = None
    board_group_id: UUID | None = None
    board_type: Name = UNSENT
    objective: Text | None = None
    success_metrics: JsonObject | None = None
    target_date: GivenMoment | None = None
    goal_confirmed: bool = UNSENT
    goal_source: Short | None = None
    require_approval_for_done: bool = UNSENT
    require_review_before_done: bool = UNSENT
    comment_required_for_review: bool = UNSENT
    block_status_changes_with_pending_approval: bool = UNSENT
    only_lead_can_change_status: bool = UNSENT
    max_agents: Whole = UNSENT


class BoardFilter(Paged):
    """Which boards to list."""

    gateway_id: UUID | None = Field(default=None, description="Only on this gateway.")
    board_group_id: UUID | None = Field(default=None, description="Only in this group.")


async def list_boards(call: Call, member: Member, query: BoardFilter) -> Page[BoardRead]:
    """List the boards of the active organization that the caller may read, by name."""
    found = await boards.listed(
        call.session,
        member,
        query.paging,
        gateway_id=query.gateway_id,
        board_group_id=query.board_group_id,
    )
    return found.map(BoardRead.model_validate)


async def create_board(call: Call, member: Member, body: BoardCreate) -> BoardRead:
    """Create a board in the active organization. Its creator may read and change it."""
    draft = boards.BoardDraft(**dict(body))
    return BoardRead.model_validate(await boards.create(call.session, member, draft))


async def get_board(call: Call, board: Board) -> BoardRead:
    """Return a board."""
    return BoardRead.model_validate(board)


@may_answer(412)
async def update_board(call: Call, board: Board, body: BoardUpdate) -> BoardRead:
    """Change a board. Only the fields that are sent count."""
    changed = await boards.change(
        call.session, call.actor, board, body.changes(), known=call.known_versions
    )
    return BoardRead.model_validate(changed)


@may_answer(412)
async def delete_board(call: Call, board: Board) -> Ok:
    """Delete a board with its tasks, comments, approvals and agents. This cannot be undone."""
    await boards.delete(call.session, call.actor, board, known=call.known_versions)
    return Ok()
