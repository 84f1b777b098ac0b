"""The feed of what happened: for people what they may read, for agents their own."""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import Select, select
from sqlalchemy.ext.asyncio import AsyncSession

from kit.paging import Page, Paging, paged
from models import Agent, Event, EventType, Member
from services import boards
from services.activity.entries import Entry, entries

NOT_YET = (EventType.APPROVAL_DECIDED, EventType.APPROVAL_UNDONE)
"""What no feed tells: an answer that can still be taken back leaves no trace if it is."""


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
    query = select(Event).where(
        Event.organization_id == member.organization_id, Event.board_id.in_(readable)
    )
    return await _page(session, _filtered(query, filters), paging)


async def for_agent(session: AsyncSession, agent: Agent, paging: Paging) -> Page[Entry]:
    """Return what an agent did, and what happened to it, newest first."""
    own = select(Event).where(
        Event.organization_id == agent.organization_id, Event.agent_id == agent.id
    )
    return await _page(session, own, paging)


def _filtered(query: Select[Event], filters: ActivityFilters) -> Select[Event]:
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


async def _page(session: AsyncSession, query: Select[Event], paging: Paging) -> Page[Entry]:
    told = query.where(Event.type.not_in(NOT_YET))
    found = await paged(session, told.order_by(Event.seq.desc()), paging)
    return Page(await entries(session, found.items), found.total, found.limit, found.offset)
