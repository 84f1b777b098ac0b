"""Read the sessions of an agent, and what they say about its gate."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property
from operator import itemgetter
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, DateTime, Row, Uuid, and_, bindparam, cast, func, select, true
from sqlalchemy.dialects.postgresql import ARRAY

from core.clock import now
from core.db.reads import Query, Source
from core.errors import NotFound
from core.paging import Page, PagedQuery, Paging
from core.text import N_
from models import Agent, ClientConnection, CodingSession, Task, ToolCall, UsageFact
from services.coding_sessions.rules import GateState, ReportedState, find_gate_state, find_state

WARNING_PERIOD = timedelta(days=7)  # in which calls that ran without asking are a warning


@dataclass(frozen=True)
class TokenCounts:
    """The tokens that a client has reported, and the number of calls of models."""

    input: int  # without those of the cache
    output: int
    cache_read: int
    cache_write: int
    calls: int

    @property
    def total(self) -> int:
        """Return the sum of all kinds."""
        return self.input + self.output + self.cache_read + self.cache_write


@dataclass(frozen=True)
class SessionSummary:
    """A session with its task, its calls and its tokens. `at` is when it was read."""

    session: CodingSession
    task_title: str | None
    call_count: int
    held_count: int  # calls that wait for people now
    ungated_count: int
    tokens: TokenCounts
    at: datetime

    @property
    def state(self) -> ReportedState:
        """Return what the session does, as far as that is known."""
        return find_state(self.session, self.at, is_held=self.held_count > 0)


_AT = bindparam("at", type_=DateTime(timezone=True))
_AGENT_ID = bindparam("agent_id", type_=Uuid())
_ON_BOARD = CodingSession.board_id.is_not_distinct_from(bindparam("board_id", type_=Uuid()))
"""An agent that was moved has left its sessions to the readers of the earlier board."""
_CALLS = (
    select(
        func.count().label("count"),
        func.count()
        .filter(
            ToolCall.answer.is_(None),
            ToolCall.abandoned_at.is_(None),
            # a killed server has not recorded the end of a wait
            ToolCall.waits_until > _AT,
        )
        .label("held"),
        func.count().filter(ToolCall.is_ungated).label("ungated"),
    )
    .where(ToolCall.session_id == CodingSession.id)
    .lateral()
)


def _sum(tokens: Any) -> Any:
    return cast(func.coalesce(func.sum(tokens), 0), BigInteger)


_TOKENS = (
    select(
        _sum(UsageFact.input_tokens).label("input"),
        _sum(UsageFact.output_tokens).label("output"),
        _sum(UsageFact.cache_read_tokens).label("cache_read"),
        _sum(UsageFact.cache_write_tokens).label("cache_write"),
        func.count().label("calls"),
    )
    .where(UsageFact.session_id == CodingSession.id)
    .lateral()
)
_LATEST_FIRST = (CodingSession.last_signal_at.desc(), CodingSession.id.desc())
_SUMMARIES = (
    select(
        CodingSession,
        Task.title,
        *_CALLS.c,
        *_TOKENS.c,
        _AT,
    )
    .select_from(CodingSession)
    .outerjoin(
        Task, and_(Task.id == CodingSession.task_id, Task.board_id == CodingSession.board_id)
    )
    .join(_CALLS, true())
    .join(_TOKENS, true())
    .where(CodingSession.agent_id == _AGENT_ID, _ON_BOARD)
    .order_by(*_LATEST_FIRST)
)


def _build_summary(row: Row) -> SessionSummary:
    session, title, calls, held, ungated, *tokens, at = row
    counts = TokenCounts(*tokens)
    return SessionSummary(session, title, calls, held, ungated, counts, at)


# without the calls and tokens, which PostgreSQL would sum for all sessions
SESSION_IDS: PagedQuery[UUID] = PagedQuery(
    select(CodingSession.id)
    .where(CodingSession.agent_id == _AGENT_ID, _ON_BOARD)
    .order_by(*_LATEST_FIRST),
    itemgetter(0),
)
SESSIONS: Query[SessionSummary] = Query(
    _SUMMARIES.where(CodingSession.id == func.any(bindparam("ids", type_=ARRAY(Uuid())))),
    _build_summary,
)
SESSION: Query[SessionSummary] = Query(
    _SUMMARIES.where(CodingSession.id == bindparam("session_id", type_=Uuid())), _build_summary
)


async def list_sessions(source: Source, agent: Agent, paging: Paging) -> Page[SessionSummary]:
    """Return the sessions of an agent on its board, those with the latest signs of life first."""
    place = {"agent_id": agent.id, "board_id": agent.board_id}
    page = await SESSION_IDS.fetch_page(source, paging, **place)
    parameters = {"ids": list(page.items), "at": now(), **place}
    found = await SESSIONS.fetch(source, **parameters) if page.items else []
    return Page(found, page.total, page.limit, page.offset, page.next_cursor)


async def get_session(source: Source, agent: Agent, session_id: UUID) -> SessionSummary:
    """Return a session of an agent on its board. Raises NotFound."""
    found = await SESSION.first(
        source, agent_id=agent.id, board_id=agent.board_id, session_id=session_id, at=now()
    )
    if found is None:
        raise NotFound("coding_session_not_found", N_("There is no such session."))
    return found


@dataclass(frozen=True)
class GateReport:
    """What is known of one client of an agent, and of its latest session."""

    connection: ClientConnection
    session: CodingSession | None
    ungated_count: int  # of the latest session
    at: datetime

    @cached_property
    def state(self) -> GateState:
        """Return whether the gate is on, judged by the latest session."""
        return find_gate_state(self.connection, self.session, self.ungated_count, self.at)


_LATEST_SESSION = (
    select(CodingSession.id)
    .where(
        CodingSession.agent_id == ClientConnection.agent_id,
        CodingSession.client == ClientConnection.client,
    )
    .order_by(CodingSession.last_signal_at.desc(), CodingSession.id.desc())
    .limit(1)
    .correlate(ClientConnection)
    .scalar_subquery()
)
GATES: Query[GateReport] = Query(
    select(
        ClientConnection,
        CodingSession,
        select(func.count())
        .where(ToolCall.session_id == CodingSession.id, ToolCall.is_ungated)
        .correlate(CodingSession)
        .scalar_subquery(),
        _AT,
    )
    .outerjoin(CodingSession, CodingSession.id == _LATEST_SESSION)
    .where(ClientConnection.agent_id == _AGENT_ID)
    .order_by(ClientConnection.created_at, ClientConnection.id),
    lambda row: GateReport(*row),
)


async def list_gates(source: Source, agent: Agent) -> Sequence[GateReport]:
    """Return what is known of the clients of an agent, in the order in which they were added."""
    return await GATES.fetch(source, agent_id=agent.id, at=now())


@dataclass(frozen=True)
class UngatedCalls:
    """Calls of an agent in WARNING_PERIOD that ran without asking, or without permission."""

    count: int
    latest_at: datetime
    tool: str  # of the latest one
    session_id: UUID


UNGATED: Query[UngatedCalls] = Query(
    select(func.count().over(), ToolCall.executed_at, ToolCall.tool, ToolCall.session_id)
    .join(CodingSession, CodingSession.id == ToolCall.session_id)
    .where(
        ToolCall.agent_id == _AGENT_ID,
        _ON_BOARD,
        ToolCall.asked_at > bindparam("since", type_=DateTime(timezone=True)),
        ToolCall.is_ungated,
    )
    .order_by(ToolCall.executed_at.desc(), ToolCall.id.desc())
    .limit(1),
    lambda row: UngatedCalls(*row),
)


async def find_ungated_calls(source: Source, agent: Agent) -> UngatedCalls | None:
    """Return the calls of an agent of the last days that ran without asking, if any."""
    return await UNGATED.first(
        source, agent_id=agent.id, board_id=agent.board_id, since=now() - WARNING_PERIOD
    )
