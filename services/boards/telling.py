"""Who is told of a change of a board (contract, 3.6): its lead, and whom it shares a group with."""

from collections.abc import Mapping, Sequence
from uuid import UUID

from sqlalchemy import or_, select
from sqlalchemy.ext.asyncio import AsyncSession

from models import Actor, Agent, Board, BoardGroup, EventType
from services import messages

JOINED = (EventType.GROUP_JOIN_NOTIFIED, EventType.GROUP_JOIN_NOTIFY_FAILED)
LEFT = (EventType.GROUP_LEAVE_NOTIFIED, EventType.GROUP_LEAVE_NOTIFY_FAILED)


async def about_change(
    session: AsyncSession,
    actor: Actor,
    board: Board,
    moved: Mapping[str, Sequence[object]],
    *,
    left: UUID | None,
) -> list[messages.Draft]:
    """Return what is told of a change that is made: to the lead, what each field was and is.

    `left` is the group in which the board was before. If that is another now, every agent of the
    old group and of the new is told, and those of the board itself of both.
    """
    drafts = []
    if left != board.board_group_id:
        drafts = await _about_groups(session, actor, board, left)
    return [*drafts, to_lead(actor, board, moved)]


def to_lead(actor: Actor, board: Board, moved: Mapping[str, Sequence[object]]) -> messages.Draft:
    """Return what a board's lead is told of a change of it."""
    return messages.Draft(
        to=messages.LeadOf(board),
        content=messages.texts.board_updated(board, moved),
        board=board,
        sender=actor,
        told=EventType.BOARD_LEAD_NOTIFIED,
        failed=EventType.BOARD_LEAD_NOTIFY_FAILED,
        data={"name": board.name},
    )


async def _about_groups(
    session: AsyncSession, actor: Actor, board: Board, left: UUID | None
) -> list[messages.Draft]:
    shared = or_(Board.board_group_id == BoardGroup.id, Board.id == board.id)
    query = (
        select(BoardGroup, Board, Agent.id)
        .join(Board, shared)
        .join(Agent, Agent.board_id == Board.id)
        .where(BoardGroup.id.in_([left, board.board_group_id]))
        .order_by(BoardGroup.id != left, Board.id, Agent.id)
    )
    return [_to_agent(actor, board, *row) for row in await session.execute(query)]


def _to_agent(
    actor: Actor, board: Board, group: BoardGroup, recipient: Board, agent_id: UUID
) -> messages.Draft:
    joined = group.id == board.board_group_id
    told, failed = JOINED if joined else LEFT
    return messages.Draft(
        to=agent_id,
        content=messages.texts.group_updated(board, group, recipient=recipient, joined=joined),
        board=recipient,
        sender=actor,
        told=told,
        failed=failed,
        data={"name": board.name, "group": group.name},
    )
