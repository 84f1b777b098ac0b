"""Build events of boards, and messages about them to agents."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from uuid import UUID

from sqlalchemy import or_, select
from sqlalchemy.ext.asyncio import AsyncSession

from models import Actor, Agent, Board, BoardGroup, EventType
from services import events, messages

JOIN_EVENT_TYPES = (EventType.GROUP_JOIN_NOTIFIED, EventType.GROUP_JOIN_NOTIFY_FAILED)
LEAVE_EVENT_TYPES = (EventType.GROUP_LEAVE_NOTIFIED, EventType.GROUP_LEAVE_NOTIFY_FAILED)


async def board_update_messages(
    session: AsyncSession,
    actor: Actor,
    board: Board,
    changes: Mapping[str, Sequence[object]],
    *,
    old_group_id: UUID | None,
) -> list[messages.OutgoingMessage]:
    """Build the messages about an update; the lead receives the old and new value of each field.

    If the board changed its group, all agents of the old and of the new group are notified; the
    agents of the board itself about both.
    """
    outgoing = []
    if old_group_id != board.board_group_id:
        query = (
            select(BoardGroup, Board, Agent.id)
            .join(Board, or_(Board.board_group_id == BoardGroup.id, Board.id == board.id))
            .join(Agent, Agent.board_id == Board.id)
            .where(BoardGroup.id.in_([old_group_id, board.board_group_id]))
            .order_by(BoardGroup.id != old_group_id, Board.id, Agent.id)
        )
        for group, recipient, agent_id in await session.execute(query):
            joined = group.id == board.board_group_id
            on_delivered, on_failed = JOIN_EVENT_TYPES if joined else LEAVE_EVENT_TYPES
            one = messages.OutgoingMessage(
                to=agent_id,
                content=messages.templates.render_group_update(
                    board, group, recipient=recipient, joined=joined
                ),
                board=recipient,
                sender=actor,
                on_delivered=on_delivered,
                on_failed=on_failed,
                event_data={"name": board.name, "group": group.name},
            )
            outgoing.append(one)
    return [*outgoing, lead_update_message(actor, board, changes)]


def lead_update_message(
    actor: Actor, board: Board, changes: Mapping[str, Sequence[object]]
) -> messages.OutgoingMessage:
    """Build the message about an update of a board to its lead."""
    return messages.OutgoingMessage(
        to=messages.BoardLeadRecipient(board),
        content=messages.templates.render_board_update(board, changes),
        board=board,
        sender=actor,
        on_delivered=EventType.BOARD_LEAD_NOTIFIED,
        on_failed=EventType.BOARD_LEAD_NOTIFY_FAILED,
        event_data={"name": board.name},
    )


def board_event(type: EventType, actor: Actor, board: Board, **more: object) -> events.NewEvent:
    """Build an event of a board. `more` is added to its data."""
    return events.NewEvent(
        type,
        actor,
        organization_id=board.organization_id,
        board=board,
        data={"name": board.name, **more},
    )


def board_updated_event(
    actor: Actor, board: Board, changes: Mapping[str, Sequence[object]]
) -> events.NewEvent:
    """Build the event of an update. `changes` has the old and the new value of each field."""
    return board_event(EventType.BOARD_UPDATED, actor, board, changes=changes)


def json_value(value: object) -> object:
    """Convert a date or a UUID to a string for JSON."""
    if isinstance(value, datetime):
        return value.isoformat()
    return str(value) if isinstance(value, UUID) else value


def group_event(
    type: EventType, actor: Actor, group: BoardGroup, **more: object
) -> events.NewEvent:
    """Build an event of a board group. `more` is added to its data."""
    data = {"group_id": str(group.id), "name": group.name, **more}
    return events.NewEvent(type, actor, organization_id=group.organization_id, data=data)
