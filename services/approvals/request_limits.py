"""Limit the approvals that one agent or user requests, so that people are not flooded."""

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, bindparam, extract, func, or_, select
from sqlalchemy.ext.asyncio import AsyncSession

from core.clock import now
from core.db.reads import Query, Source
from core.errors import TooMany
from models import (
    Actor,
    Agent,
    Approval,
    ApprovalStatus,
    ApprovalTask,
    Board,
    Event,
    EventType,
    Member,
    User,
)
from services import boards, events
from services.approvals.rules import ApprovalDraft

MAX_PENDING = 20  # approvals of one requester that wait for a decision
MAX_RECENT = 60  # approvals of one requester in PERIOD
PERIOD = timedelta(hours=1)
PENDING_RETRY = timedelta(minutes=5)  # people must decide first, which may take any time


@dataclass(frozen=True)
class LimitedAgent:
    """An agent whose further requests are held for a while, with its counts at that time."""

    agent: Agent
    board: Board
    held_at: datetime
    pending: int
    recent: int  # requests in PERIOD


async def find_equal_request(
    session: AsyncSession,
    requester: Actor,
    board: Board,
    draft: ApprovalDraft,
    payload: Mapping[str, Any],
    task_ids: Collection[UUID],
) -> Approval | None:
    """Return the requester's pending approval of the same kind, with the same tasks and payload."""
    links = select(func.array_agg(ApprovalTask.task_id))
    links = links.where(ApprovalTask.approval_id == Approval.id).correlate(Approval)
    query = select(Approval, links.scalar_subquery()).where(
        Approval.board_id == board.id,
        _is_requested_by(requester),
        Approval.status == ApprovalStatus.PENDING,
        Approval.action_type == draft.action_type.strip(),
        Approval.payload == payload,  # in the database, because payloads may be large
    )
    for approval, linked_ids in await session.execute(query.order_by(Approval.id)):
        if set(linked_ids or ()) == set(task_ids):
            return approval
    return None


async def check_request_limits(
    session: AsyncSession, requester: Actor, board: Board, *, is_repeat: bool
) -> None:
    """Raise TooMany if an agent or a user requests too many approvals.

    A repeat adds no pending approval, so only the requests of the last hour limit it. Of an agent,
    the members are informed once in a PERIOD. A user reads the error.
    """
    if isinstance(requester, User):  # who can request on several boards at the same time
        key = func.hashtextextended(f"approval requests of {requester.id}", 0)
        await session.execute(select(func.pg_advisory_xact_lock(key)))
    pending, recent, oldest = await _count_requests(session, requester)
    if (is_repeat or pending < MAX_PENDING) and recent < MAX_RECENT:
        return
    if isinstance(requester, Agent) and not await _is_held(session, requester):
        event = events.NewEvent(
            EventType.APPROVAL_REQUESTS_HELD,
            None,
            organization_id=board.organization_id,
            board=board,
            subject=requester,
            data={"name": requester.name, "pending": pending, "recent": recent},
        )
        await events.record_events(session, [event])
    retry_in = PENDING_RETRY
    if recent >= MAX_RECENT and oldest is not None:
        retry_in = oldest + PERIOD - now()
    informed = "People were informed. " if isinstance(requester, Agent) else ""
    raise TooMany(
        max(1, math.ceil(retry_in.total_seconds())),
        code="approval_requests_held",
        text=f"You have {pending} pending requests and made {recent} in the last hour. At most "
        f"{MAX_PENDING} may wait, and {MAX_RECENT} an hour are accepted. {informed}"
        "Put several steps into one request, and wait for decisions.",
        keeps_changes=True,
    )


async def list_limited_agents(source: Source, member: Member) -> Sequence[LimitedAgent]:
    """Return the agents whose requests were held in the last PERIOD, on boards of the member."""
    parameters = {"user_id": member.user_id, "organization_id": member.organization_id}
    query = build_limited_agents_query()
    return await query.fetch(source, held_since=now() - PERIOD, **parameters)


def _build_limited_agent(row: tuple[Event, Agent, Board]) -> LimitedAgent:
    event, agent, board = row
    return LimitedAgent(agent, board, event.created_at, event.data["pending"], event.data["recent"])


@cache
def build_limited_agents_query() -> Query[LimitedAgent]:
    """Build the query of `list_limited_agents`."""
    query = (
        select(Event, Agent, Board)
        .join(Agent, Agent.id == Event.agent_id)
        .join(Board, Board.id == Event.board_id)
        .where(
            Event.type == EventType.APPROVAL_REQUESTS_HELD,
            Event.created_at > bindparam("held_since"),
            Event.board_id.in_(boards.READABLE_BOARD_IDS),
        )
        .order_by(Event.created_at.desc())
    )
    return Query(query, _build_limited_agent)


async def _count_requests(
    session: AsyncSession, requester: Actor
) -> tuple[int, int, datetime | None]:
    """Return the undecided approvals of an agent or a user, the requests in PERIOD, and the first.

    Requests are counted by their events, because approvals are deleted with their tasks. The times
    of repeats are not stored: of an older approval MAX_RECENT repeats are free for each PERIOD.
    What users decided themselves asked nobody else.
    """
    undecided = Approval.decided_status.is_(None) & (Approval.status == ApprovalStatus.PENDING)
    pending = select(func.count()).select_from(Approval)
    pending = pending.where(_is_requested_by(requester), undecided)
    query = select(pending.scalar_subquery(), func.count(), func.min(Event.created_at)).where(
        Event.created_at > now() - PERIOD, Event.type == EventType.APPROVAL_REQUESTED
    )
    if isinstance(requester, Agent):
        query = query.where(Event.agent_id == requester.id)
    else:
        decided = select(Approval.id).where(
            Approval.id == Event.approval_id, Approval.decided_by_user_id == requester.id
        )
        query = query.where(Event.user_id == requester.id, ~decided.exists())
    undecided_count, recent, oldest = (await session.execute(query)).one()
    age = extract("epoch", now() - Approval.created_at)
    free = MAX_RECENT * func.floor(age / PERIOD.total_seconds())
    repeats = select(func.sum(func.greatest(0, Approval.request_count - 1 - free))).where(
        _is_requested_by(requester),
        Approval.request_count > 1,
        or_(Approval.status == ApprovalStatus.PENDING, Approval.created_at > now() - PERIOD),
    )
    return undecided_count, recent + int(await session.scalar(repeats) or 0), oldest


def _is_requested_by(requester: Actor) -> ColumnElement[bool]:
    if isinstance(requester, Agent):
        return Approval.agent_id == requester.id
    return Approval.requested_by_user_id == requester.id


async def _is_held(session: AsyncSession, agent: Agent) -> bool:
    query = select(Event.id).where(
        Event.agent_id == agent.id,
        Event.created_at > now() - PERIOD,
        Event.type == EventType.APPROVAL_REQUESTS_HELD,
    )
    return await session.scalar(query.limit(1)) is not None
