"""Load activity feeds: the events that the actor can read, with the names for them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any
from uuid import UUID

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from core.clock import format_naive_utc
from core.db.reads import AnySelect, Source, choose_columns
from core.paging import Page, Paging
from models import (
    USER_NAME_COLUMNS,
    Agent,
    Board,
    Comment,
    Event,
    EventType,
    Member,
    User,
)
from services import boards
from services.activity.queries import (
    FEED_EVENTS,
    HOLD_EVENTS,
    MAX_MERGED_TYPES,
    STOP_EVENTS,
    FeedShape,
    build_feed_query,
    build_type_counts_query,
    list_types,
)
from services.board_pages import BoardPageQuery
from services.events import describe_event, select_deleted_agent_name


@dataclass(frozen=True)
class ActivityFilters:
    """Filters of a feed. An event has to match all that are given."""

    kinds: Sequence[str] = ()  # event types or their prefixes: `task`, `approval`, `agent`
    board_id: UUID | None = None
    agent_id: UUID | None = None
    group_id: UUID | None = None  # only on the boards of this group
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
    comment: str | None = None  # the text of a comment that still exists

    @property
    def task_title(self) -> str | None:
        """The title of its task at the time of the event."""
        return self.event.data.get("title")

    @property
    def actor_name(self) -> str | None:
        """The name of the actor; None if there is none or it no longer exists."""
        name = self.user_name or self.agent_name
        data = self.event.data
        return (
            name
            or data.get("webhook")
            or (data.get("by") if self.event.type in STOP_EVENTS else None)
        )

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


def entries_query() -> AnySelect:
    """Select the columns for `entry_from_row`."""
    is_comment = (Comment.id == Event.id) & (Event.type == EventType.TASK_COMMENT)
    name = func.coalesce(Agent.name, select_deleted_agent_name(Event.agent_id))
    query = (
        select(Event, Comment.message, Board.name, name, User)
        .outerjoin(Comment, is_comment)
        .outerjoin(Board, Board.id == Event.board_id)
        .outerjoin(Agent, Agent.id == Event.agent_id)
        .outerjoin(User, User.id == Event.user_id)
    )
    return choose_columns(query, {User: USER_NAME_COLUMNS})


def entry_from_row(row: Sequence[Any]) -> ActivityEntry:
    """Build an entry from a row of `entries_query`."""
    event, comment, board_name, agent_name, user = row
    return ActivityEntry(
        event=event,
        message=comment or describe_event(event),
        board_name=board_name,
        agent_name=agent_name or _recorded_agent_name(event),
        user_name=user.display_name if user else None,
        comment=comment,
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
    source: Source,
    member: Member,
    paging: Paging,
    filters: ActivityFilters | None = None,
) -> Page[ActivityEntry]:
    """Return the events on the boards that a member may read, and the stops, newest first.

    Raises NotFound or Forbidden for a board or a group that the member may not read.
    """
    filters = filters or ActivityFilters()
    await _check_access(source, member, filters)
    types = list_types(filters.kinds)
    shape = _build_shape(filters)._replace(
        before=filters.before is not None,
        after=filters.after is not None,
        is_merged=len(types) <= MAX_MERGED_TYPES and not (filters.agent_id or filters.group_id),
    )
    parameters = _build_parameters(member, filters, types)
    return await _build_page_query(shape).fetch_page(source, paging, **parameters)


async def count_member_activity(
    source: Source, member: Member, filters: ActivityFilters
) -> Mapping[EventType, int]:
    """Return the number of all events that `list_member_activity` lists, by type.

    Raises NotFound or Forbidden for a board or a group that the member may not read.
    """
    await _check_access(source, member, filters)
    parameters = _build_parameters(member, filters, list_types(filters.kinds))
    return dict(await build_type_counts_query(_build_shape(filters)).fetch(source, **parameters))


def _build_shape(filters: ActivityFilters) -> FeedShape:
    return FeedShape(
        by_agent=filters.agent_id is not None,
        by_board=filters.board_id is not None,
        by_group=filters.group_id is not None,
    )


async def _check_access(source: Source, member: Member, filters: ActivityFilters) -> None:
    if filters.board_id is not None:
        await boards.get_board(source, member, filters.board_id)
    if filters.group_id is not None:
        await boards.get_group(source, member.user, filters.group_id)


def _build_parameters(
    member: Member, filters: ActivityFilters, types: Sequence[EventType]
) -> dict[str, Any]:
    return {
        "user_id": member.user_id,
        "organization_id": member.organization_id,
        "types": types,
        "types_without_board": [*STOP_EVENTS, *(HOLD_EVENTS if member.is_admin else ())],
        "board_id": filters.board_id,
        "agent_id": filters.agent_id,
        "group_id": filters.group_id,
        "before": filters.before,
        "after": filters.after,
    }


async def list_agent_activity(source: Source, agent: Agent, paging: Paging) -> Page[ActivityEntry]:
    """Return the events that an agent caused or that affected it, newest first."""
    parameters = {
        "organization_id": agent.organization_id,
        "agent_id": agent.id,
        "types": FEED_EVENTS,
    }
    query = _build_page_query(FeedShape(is_of_agent=True))
    return await query.fetch_page(source, paging, **parameters)


@cache
def _build_page_query(shape: FeedShape) -> BoardPageQuery[ActivityEntry]:
    ids, total = build_feed_query(shape)
    details = entries_query().order_by(Event.seq.desc())
    return BoardPageQuery(ids, details, Event.id, total, entry_from_row)
