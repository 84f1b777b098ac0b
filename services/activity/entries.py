"""Events with the names of whom and what they are about, in one query for each kind of thing."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import Select, select
from sqlalchemy.ext.asyncio import AsyncSession

from models import Agent, Board, Comment, Event, EventType, User
from services.activity.sentences import sentence


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


async def entries(session: AsyncSession, events: Sequence[Event]) -> list[Entry]:
    """Return events with their sentences and names, in the same order."""
    said = [event.id for event in events if event.type is EventType.TASK_COMMENT]
    comments = await _named(session, select(Comment.id, Comment.message), Comment.id, said)
    boards = await _named(
        session, select(Board.id, Board.name), Board.id, [event.board_id for event in events]
    )
    agents = await _named(
        session, select(Agent.id, Agent.name), Agent.id, [event.agent_id for event in events]
    )
    people = await _people(session, [event.user_id for event in events])
    return [
        Entry(
            event=event,
            message=sentence(event, comments.get(event.id)),
            board_name=boards.get(event.board_id),
            agent_name=agents.get(event.agent_id, _name_then(event)),
            user_name=people.get(event.user_id),
        )
        for event in events
    ]


def _name_then(event: Event) -> str | None:
    """Return the name of an agent that is gone, if the event kept it."""
    return event.data.get("name") if event.type.startswith("agent.") else None


async def _named(
    session: AsyncSession, query: Select[*tuple[Any, ...]], id: Any, ids: Sequence[UUID | None]
) -> dict[UUID | None, str]:
    wanted = {one for one in ids if one is not None}
    if not wanted:
        return {}
    return {row[0]: row[1] for row in await session.execute(query.where(id.in_(wanted)))}


async def _people(session: AsyncSession, ids: Sequence[UUID | None]) -> dict[UUID | None, str]:
    wanted = {one for one in ids if one is not None}
    if not wanted:
        return {}
    query = select(User).where(User.id.in_(wanted))
    return {user.id: user.called for user in await session.scalars(query)}
