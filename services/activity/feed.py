"""The feed of what happened: for people what they may read, for agents their own."""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import Select, select
from sqlalchemy.ext.asyncio import AsyncSession

from kit.paging import Page, Paging, paged_by_id
from models import Agent, Event, EventType, Member
from services import boards, gateway_requests, messages, runs
from services.activity.entries import Entry, from_row, told

NOT_YET = (EventType.APPROVAL_DECIDED, EventType.APPROVAL_UNDONE)
"""What no feed tells: an answer that can still be taken back leaves no trace if it is."""
NEWEST_FIRST = (Event.seq.desc(),)

NOT_TOLD = (
    *NOT_YET,
    *messages.EVENTS,
    *gateway_requests.EVENTS,
    *runs.EVENTS,
    EventType.AGENT_BROUGHT_UP_TO_DATE,
)
"""Nor does it tell how messages go from hand to hand: that somebody was told is one event more.

That a gateway has heard of a change, or of an answer, is no news either; that it has not, is. And
the steps of a run are told where it is shown.
"""


REMEMBERED = (
    EventType.BOARD_MEMORY_CREATED,
    EventType.BOARD_MEMORY_UPDATED,
    EventType.BOARD_MEMORY_DELETED,
    EventType.GROUP_MEMORY_CREATED,
    EventType.GROUP_MEMORY_UPDATED,
    EventType.GROUP_MEMORY_DELETED,
)
"""What only the memory itself tells, and its streams (contract, 3.8)."""


@dataclass(frozen=True)
class ActivityFilters:
    """What of the feed is asked for; all that is given has to fit."""

    kinds: Sequence[str] = ()  # types, or what they begin with: `task`, `approval`, `agent`
    board_id: UUID | None = None
    agent_id: UUID | None = None
    before: int | None = None  # older than the event of this number
    after: int | None = None  # newer than the event of this number


async def for_member(
    session: AsyncSession,
    member: Member,
    paging: Paging,
    filters: ActivityFilters | None = None,
) -> Page[Entry]:
    """Return what happened on the boards that a member reads, newest first.

    Raises NotFound or Forbidden for a board that the member may not read.
    """
    filters = filters or ActivityFilters()
    if filters.board_id is not None:
        await boards.get(session, member.user, filters.board_id)
    readable = boards.readable(member.user, member.organization_id)
    query = select(Event.id).where(
        Event.organization_id == member.organization_id, Event.board_id.in_(readable)
    )
    return await _page(session, _filtered(query, filters), paging)


async def for_agent(session: AsyncSession, agent: Agent, paging: Paging) -> Page[Entry]:
    """Return what an agent did, and what happened to it, newest first."""
    own = select(Event.id).where(
        Event.organization_id == agent.organization_id, Event.agent_id == agent.id
    )
    return await _page(session, own, paging)


def _filtered(query: Select[UUID], filters: ActivityFilters) -> Select[UUID]:
    if filters.kinds:
        begins = tuple(f"{kind}." for kind in filters.kinds)
        known = [one for one in EventType if one in filters.kinds or one.startswith(begins)]
        query = query.where(Event.type.in_(known))
    if filters.board_id is not None:
        query = query.where(Event.board_id == filters.board_id)
    if filters.agent_id is not None:
        query = query.where(Event.agent_id == filters.agent_id)
    if filters.before is not None:
        query = query.where(Event.seq < filters.before)
    if filters.after is not None:
        query = query.where(Event.seq > filters.after)
    return query


async def _page(session: AsyncSession, query: Select[UUID], paging: Paging) -> Page[Entry]:
    ids = query.where(Event.type.not_in([*NOT_TOLD, *REMEMBERED])).order_by(*NEWEST_FIRST)
    rows = told().order_by(*NEWEST_FIRST)
    return (await paged_by_id(session, ids, rows, Event.id, paging)).map(from_row)
