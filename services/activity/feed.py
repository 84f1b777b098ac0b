"""Load activity feeds: events, and comments on tasks, that the actor can read."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import Select, func, select
from sqlalchemy.ext.asyncio import AsyncSession

from core.clock import format_naive_utc
from core.paging import Page, Paging, fetch_page_by_id, fetch_page_of_rows
from models import Agent, Board, Comment, Event, EventType, Member, Task, User
from services import boards, messages
from services.activity.event_texts import describe_event
from services.events import deleted_agent_name
from services.gateways import requests, runs

UNDOABLE_DECISION_EVENTS = (EventType.APPROVAL_DECIDED, EventType.APPROVAL_UNDONE)
"""Not in any feed: a decision that can still be undone leaves no entry if it is undone."""
NEWEST_FIRST = (Event.seq.desc(),)

HIDDEN_EVENTS = (
    *UNDOABLE_DECISION_EVENTS,
    *messages.MESSAGE_EVENTS,
    *requests.REQUEST_EVENTS,
    *runs.RUN_EVENTS,
    EventType.AGENT_SYNCED,
)
"""Not in any feed. The delivery steps of messages are hidden, because each notification has its own
event. Successful gateway updates and answers are hidden; only failures are shown. The steps of a
run are shown with the run.
"""

MEMORY_EVENTS = (
    EventType.BOARD_MEMORY_CREATED,
    EventType.BOARD_MEMORY_UPDATED,
    EventType.BOARD_MEMORY_DELETED,
    EventType.GROUP_MEMORY_CREATED,
    EventType.GROUP_MEMORY_UPDATED,
    EventType.GROUP_MEMORY_DELETED,
)
"""Only in the memory and its streams, not in a feed (contract 3.8)."""


STOP_EVENTS = (EventType.ORGANIZATION_STOPPED, EventType.ORGANIZATION_RESUMED)
"""Events of the organization that all members see: they concern the agents of every board."""

HOLD_EVENTS = (EventType.AGENT_HELD, EventType.AGENT_RELEASED)
"""Events that admins see for the agents of gateways, too."""


@dataclass(frozen=True)
class ActivityFilters:
    """Filters of a feed. An event has to match all that are given."""

    kinds: Sequence[str] = ()  # event types or their prefixes: `task`, `approval`, `agent`
    board_id: UUID | None = None
    agent_id: UUID | None = None
    before: int | None = None  # only events with a lower number
    after: int | None = None  # only events with a higher number


@dataclass(frozen=True)
class ActivityEntry:
    """An event with its sentence, the names for it, and the page that it links to."""

    event: Event
    message: str
    board_name: str | None
    agent_name: str | None  # the acting or the affected agent
    user_name: str | None  # the acting user

    @property
    def task_title(self) -> str | None:
        """The title of its task at the time of the event."""
        return self.event.data.get("title")

    @property
    def actor_name(self) -> str | None:
        """The name of the actor; None if there is none or it no longer exists."""
        name = self.user_name or self.agent_name
        return name or (self.event.data.get("by") if self.event.type in STOP_EVENTS else None)

    @property
    def route_name(self) -> str:
        """The page that shows the details (contract people-and-boards 3.12)."""
        if self.event.board_id is None:
            return "activity"
        of_approval = self.event.type.startswith("approval.")
        return "board.approvals" if of_approval else "board"

    @property
    def route_params(self) -> Mapping[str, str]:
        """The parameters of that page."""
        event = self.event
        task = {"taskId": str(event.task_id)} if event.task_id else {}
        if event.board_id is None:
            created_at = format_naive_utc(event.created_at)
            return {
                "eventId": str(event.id),
                "eventType": event.type,
                "createdAt": created_at,
                **task,
            }
        board = {"boardId": str(event.board_id)}
        if event.type is EventType.TASK_COMMENT and task:
            return {**board, **task, "commentId": str(event.id)}
        if event.type.startswith("approval."):
            return board
        if event.type.startswith("board."):
            return {**board, "panel": "chat"}
        return {**board, **task}


def entries_query() -> Select[*tuple[Any, ...]]:
    """Select the columns for `entry_from_row`."""
    is_comment = (Comment.id == Event.id) & (Event.type == EventType.TASK_COMMENT)
    name = func.coalesce(Agent.name, deleted_agent_name(Event.agent_id))
    return (
        select(Event, Comment.message, Board.name, name, User)
        .outerjoin(Comment, is_comment)
        .outerjoin(Board, Board.id == Event.board_id)
        .outerjoin(Agent, Agent.id == Event.agent_id)
        .outerjoin(User, User.id == Event.user_id)
    )


def entry_from_row(row: Sequence[Any]) -> ActivityEntry:
    """Build an entry from a row of `entries_query`."""
    event, comment, board_name, agent_name, user = row
    return ActivityEntry(
        event=event,
        message=describe_event(event, comment),
        board_name=board_name,
        agent_name=agent_name or _recorded_agent_name(event),
        user_name=user.display_name if user else None,
    )


async def load_entries(session: AsyncSession, events: Sequence[Event]) -> list[ActivityEntry]:
    """Load the entries of events, in the same order."""
    if not events:
        return []
    query = entries_query().where(Event.id.in_([event.id for event in events])).order_by(Event.seq)
    found = {row[0].id: entry_from_row(row) for row in await session.execute(query)}
    return [found[event.id] for event in events if event.id in found]


def _recorded_agent_name(event: Event) -> str | None:
    """Return the agent name that an agent event recorded, if any."""
    return event.data.get("name") if event.type.startswith("agent.") else None


async def list_member_activity(
    session: AsyncSession,
    member: Member,
    paging: Paging,
    filters: ActivityFilters | None = None,
) -> Page[ActivityEntry]:
    """Return the events on the boards that a member may read, and the stops, newest first.

    Raises NotFound or Forbidden for a board that the member may not read.
    """
    filters = filters or ActivityFilters()
    if filters.board_id is not None:
        await boards.get_board(session, member.user, filters.board_id)
    readable = boards.readable_board_ids_query(member.user, member.organization_id)
    without_board = (*STOP_EVENTS, *HOLD_EVENTS) if member.is_admin else STOP_EVENTS
    is_visible = Event.board_id.in_(readable) | (
        Event.board_id.is_(None) & Event.type.in_(without_board)
    )
    query = select(Event.id).where(Event.organization_id == member.organization_id, is_visible)
    return await _page(session, _filtered(query, filters), paging)


async def list_agent_activity(
    session: AsyncSession, agent: Agent, paging: Paging
) -> Page[ActivityEntry]:
    """Return the events that an agent caused or that affected it, newest first."""
    own = select(Event.id).where(
        Event.organization_id == agent.organization_id, Event.agent_id == agent.id
    )
    return await _page(session, own, paging)


def _filtered(query: Select[UUID], filters: ActivityFilters) -> Select[UUID]:
    if filters.kinds:
        prefixes = tuple(f"{kind}." for kind in filters.kinds)
        types = [type for type in EventType if type in filters.kinds or type.startswith(prefixes)]
        query = query.where(Event.type.in_(types))
    if filters.board_id is not None:
        query = query.where(Event.board_id == filters.board_id)
    if filters.agent_id is not None:
        query = query.where(Event.agent_id == filters.agent_id)
    if filters.before is not None:
        query = query.where(Event.seq < filters.before)
    if filters.after is not None:
        query = query.where(Event.seq > filters.after)
    return query


async def _page(session: AsyncSession, query: Select[UUID], paging: Paging) -> Page[ActivityEntry]:
    ids = query.where(Event.type.not_in([*HIDDEN_EVENTS, *MEMORY_EVENTS])).order_by(*NEWEST_FIRST)
    rows = entries_query().order_by(*NEWEST_FIRST)
    return (await fetch_page_by_id(session, ids, rows, Event.id, paging)).map(entry_from_row)


@dataclass(frozen=True)
class CommentEntry:
    """A comment with its author, task and board."""

    comment: Comment
    task: Task
    board: Board
    agent: Agent | None
    user: User | None

    @property
    def agent_role(self) -> str | None:
        """The role in the agent's profile, if any."""
        role = (self.agent.identity_profile or {}).get("role") if self.agent else None
        return role.strip() or None if isinstance(role, str) else None

    @property
    def author_name(self) -> str | None:
        """The name of the author, if it still exists."""
        if self.agent is not None:
            return self.agent.name
        return self.user.display_name if self.user is not None else None


async def list_comment_entries(
    session: AsyncSession, member: Member, paging: Paging, *, board_id: UUID | None = None
) -> Page[CommentEntry]:
    """Return the comments on the boards that a member may read, or on one of them, newest first.

    Raises NotFound or Forbidden for a board that the member may not read.
    """
    query = _comments_query()
    if board_id is not None:
        board = await boards.get_board(session, member.user, board_id)
        query = query.where(Comment.board_id == board.id)
    else:
        readable = boards.readable_board_ids_query(member.user, member.organization_id)
        query = query.where(Comment.board_id.in_(readable))
    newest = query.order_by(Comment.created_at.desc(), Comment.id.desc())
    return (await fetch_page_of_rows(session, newest, paging)).map(lambda row: CommentEntry(*row))


async def load_comment_entries(
    session: AsyncSession, organization_id: UUID, comment_ids: Collection[UUID]
) -> dict[UUID, CommentEntry]:
    """Return those of these comments that belong to the organization, by id."""
    if not comment_ids:
        return {}
    query = _comments_query().where(
        Board.organization_id == organization_id, Comment.id.in_(comment_ids)
    )
    return {row[0].id: CommentEntry(*row) for row in await session.execute(query)}


def _comments_query() -> Select[*tuple[Any, ...]]:
    return (
        select(Comment, Task, Board, Agent, User)
        .join(Task, Task.id == Comment.task_id)
        .join(Board, Board.id == Comment.board_id)
        .outerjoin(Agent, Agent.id == Comment.agent_id)
        .outerjoin(User, User.id == Comment.user_id)
    )
