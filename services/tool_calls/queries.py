"""Read tool calls: of an agent or a session, and what is shown of the approvals of calls."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import Uuid, bindparam, case, func, select
from sqlalchemy.dialects.postgresql import ARRAY, distinct_on

from core.clock import now
from core.db.reads import Query, Source
from core.paging import Page, PagedQuery, Paging
from models import (
    USER_NAME,
    Agent,
    Approval,
    ApprovalStatus,
    CodingClient,
    CodingSession,
    PolicyEffect,
    Status,
    Task,
    ToolCall,
    User,
)
from services.approvals import EDITED_INPUT
from services.tool_calls.gate import IS_HELD
from services.tool_calls.grants import GrantScope
from services.tool_facts import build_excerpt

EDITING_CLIENTS = frozenset({CodingClient.CLAUDE})
"""The clients that take an edited input with the answer."""


@dataclass(frozen=True)
class CallDetail:
    """A tool call with its session, and who decided it if people were asked."""

    call: ToolCall
    client: CodingClient
    session_key: str
    approval_status: ApprovalStatus | None
    decided_by: str | None  # a person, by name
    is_decided_by_policy: bool


async def list_calls(
    source: Source, agent: Agent, paging: Paging, *, session_id: UUID | None = None
) -> Page[CallDetail]:
    """Return the tool calls of an agent on its board, or of one session, newest first."""
    query = AGENT_CALLS if session_id is None else SESSION_CALLS
    return await query.fetch_page(
        source, paging, agent_id=agent.id, board_id=agent.board_id, session_id=session_id
    )


_CALLS = (
    select(
        ToolCall,
        CodingSession.client,
        CodingSession.session_key,
        Approval.status,
        case((User.id.is_not(None), USER_NAME)),
        func.coalesce(Approval.is_decided_by_policy, False),
    )
    .join(CodingSession, CodingSession.id == ToolCall.session_id)
    .outerjoin(Approval, Approval.id == ToolCall.approval_id)
    .outerjoin(User, User.id == Approval.decided_by_user_id)
    .where(
        ToolCall.agent_id == bindparam("agent_id", type_=Uuid()),
        ToolCall.board_id.is_not_distinct_from(bindparam("board_id", type_=Uuid())),
    )
    .order_by(ToolCall.asked_at.desc(), ToolCall.id.desc())
)
AGENT_CALLS: PagedQuery[CallDetail] = PagedQuery(_CALLS, lambda row: CallDetail(*row))
SESSION_CALLS: PagedQuery[CallDetail] = PagedQuery(
    _CALLS.where(ToolCall.session_id == bindparam("session_id", type_=Uuid())),
    lambda row: CallDetail(*row),
)


@dataclass(frozen=True)
class RequestedCall:
    """The newest call of an approval, with its session and the session's task."""

    call: ToolCall
    session: CodingSession
    task_title: str | None
    is_task_in_progress: bool  # by the agent, so that a permission can count until it is done
    approval: Approval

    @property
    def scopes(self) -> list[GrantScope]:
        """For how long identical calls can be allowed with the decision."""
        is_one = self.approval.policy_verdict.effect is PolicyEffect.ASK_ONE
        if not is_one or self.call.reason == "client_config":
            return []
        return [GrantScope.SESSION, *([GrantScope.TASK] if self.is_task_in_progress else ())]

    @property
    def may_be_edited(self) -> bool:
        """Whether it can be allowed with another input."""
        is_one = self.approval.policy_verdict.effect is PolicyEffect.ASK_ONE
        return is_one and self.session.client in EDITING_CLIENTS


async def find_call_of_approval(source: Source, approval_id: UUID) -> RequestedCall | None:
    """Return the newest call for which people were asked with this approval."""
    return await CALL_OF_APPROVAL.first(source, approval_id=approval_id)


IS_IN_PROGRESS = (Task.status == Status.IN_PROGRESS) & (
    Task.assigned_agent_id == CodingSession.agent_id
)
CALL_OF_APPROVAL: Query[RequestedCall] = Query(
    select(ToolCall, CodingSession, Task.title, func.coalesce(IS_IN_PROGRESS, False), Approval)
    .join(CodingSession, CodingSession.id == ToolCall.session_id)
    .join(Approval, Approval.id == ToolCall.approval_id)
    .outerjoin(Task, Task.id == CodingSession.task_id)
    .where(ToolCall.approval_id == bindparam("approval_id", type_=Uuid()))
    .order_by(ToolCall.asked_at.desc(), ToolCall.id.desc())
    .limit(1),
    lambda row: RequestedCall(*row),
)


@dataclass(frozen=True)
class CallExcerpt:
    """The beginning of the input of a call, with secrets masked; of an edited one, if it was."""

    approval_id: UUID
    client: CodingClient
    tool: str
    text: str  # JSON, if the input is short


async def list_excerpts(source: Source, approval_ids: Collection[UUID]) -> Sequence[CallExcerpt]:
    """Return the beginnings of the inputs about which people were asked, one for each approval."""
    return await EXCERPTS.fetch(source, approval_ids=list(approval_ids)) if approval_ids else ()


_IS_OF_APPROVALS = ToolCall.approval_id == func.any(bindparam("approval_ids", type_=ARRAY(Uuid())))
EXCERPTS: Query[CallExcerpt] = Query(
    select(
        ToolCall.approval_id,
        CodingSession.client,
        ToolCall.tool,
        ToolCall.input_excerpt,
        Approval.payload[EDITED_INPUT],
    )
    .join(CodingSession, CodingSession.id == ToolCall.session_id)
    .join(Approval, Approval.id == ToolCall.approval_id)
    .where(_IS_OF_APPROVALS)
    .ext(distinct_on(ToolCall.approval_id))
    .order_by(ToolCall.approval_id),
    lambda row: CallExcerpt(*row[:3], build_excerpt(row[4]) if row[4] else row[3]),
)


@dataclass(frozen=True)
class WaitState:
    """How many calls wait for an approval, and since when; or since when none does.

    A deferred call waits without a connection.
    """

    waiting: int = 0
    waiting_since: datetime | None = None
    deferred: int = 0
    abandoned_at: datetime | None = None


async def list_waiting(source: Source, approval_ids: Collection[UUID]) -> Mapping[UUID, WaitState]:
    """Return who waits for approvals of tool calls, by approval id."""
    if not approval_ids:
        return {}
    rows = await WAITING.fetch(source, approval_ids=list(approval_ids), at=now())
    return {row[0]: WaitState(*row[1:]) for row in rows}


_IS_WAITING = IS_HELD & (ToolCall.waits_until > bindparam("at"))
WAITING: Query[tuple[UUID, int, datetime | None, int, datetime | None]] = Query(
    select(
        ToolCall.approval_id,
        func.count().filter(_IS_WAITING),
        func.min(ToolCall.asked_at).filter(_IS_WAITING),
        func.count().filter(ToolCall.answer == "defer"),
        func.max(func.coalesce(ToolCall.abandoned_at, ToolCall.waits_until)).filter(
            ~_IS_WAITING, ToolCall.answer.is_(None)
        ),
    )
    .where(_IS_OF_APPROVALS)
    .group_by(ToolCall.approval_id)
)
