"""Events with the names of whom and what they are about, in one query."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Select, func, select
from sqlalchemy.ext.asyncio import AsyncSession

from models import Agent, Board, Comment, Event, EventType, User
from services.activity.sentences import sentence
from services.events import of_gone


@dataclass(frozen=True)
class Entry:
    """An event as it is shown: a sentence, who did it, and where it leads."""

    event: Event
    message: str
    board_name: str | None
    agent_name: str | None  # of who did it, or to whom it happened
    user_name: str | None  # of the person who did it

    @property
    def task_title(self) -> str | None:
        """The title of its task, as it was then."""
        return self.event.data.get("title")

    @property
    def actor_name(self) -> str | None:
        """Who did it; None if nobody did, or nobody who is still there."""
        return self.user_name or self.agent_name

    @property
    def route_name(self) -> str:
        """The page that shows more of it (contract, people-and-boards 3.12)."""
        if self.event.board_id is None:
            return "activity"
        of_approval = self.event.type.startswith("approval.")
        return "board.approvals" if of_approval else "board"

    @property
    def route_params(self) -> Mapping[str, str]:
        """What that page has to know."""
        event = self.event
        task = {"taskId": str(event.task_id)} if event.task_id else {}
        if event.board_id is None:
            when = event.created_at.replace(tzinfo=None).isoformat(timespec="microseconds")
            return {"eventId": str(event.id), "eventType": event.type, "createdAt": when, **task}
        board = {"boardId": str(event.board_id)}
        if event.type is EventType.TASK_COMMENT and task:
            return {**board, **task, "commentId": str(event.id)}
        if event.type.startswith("approval."):
            return board
        if event.type.startswith("board."):
            return {**board, "panel": "chat"}
        return {**board, **task}


def told() -> Select[*tuple[Any, ...]]:
    """Select events, each with what `from_row` makes an Entry of."""
    said = (Comment.id == Event.id) & (Event.type == EventType.TASK_COMMENT)
    name = func.coalesce(Agent.name, of_gone(Event.agent_id))
    return (
        select(Event, Comment.message, Board.name, name, User)
        .outerjoin(Comment, said)
        .outerjoin(Board, Board.id == Event.board_id)
        .outerjoin(Agent, Agent.id == Event.agent_id)
        .outerjoin(User, User.id == Event.user_id)
    )


def from_row(row: Sequence[Any]) -> Entry:
    """Make an Entry of a row of `told`."""
    event, comment, board_name, agent_name, user = row
    return Entry(
        event=event,
        message=sentence(event, comment),
        board_name=board_name,
        agent_name=agent_name or _name_then(event),
        user_name=user.called if user else None,
    )


async def entries(session: AsyncSession, events: Sequence[Event]) -> list[Entry]:
    """Return events with their sentences and names, in the same order."""
    if not events:
        return []
    query = told().where(Event.id.in_([event.id for event in events])).order_by(Event.seq)
    found = {row[0].id: from_row(row) for row in await session.execute(query)}
    return [found[event.id] for event in events if event.id in found]


def _name_then(event: Event) -> str | None:
    """Return the name of an agent that is gone, if the event kept it."""
    return event.data.get("name") if event.type.startswith("agent.") else None
