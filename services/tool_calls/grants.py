"""Permissions for identical tool calls, for the rest of a session or until a task is done.

A permission is given with the decision of an approval, and counts while that decision does. It
never counts where the policy denies a call or asks two people, nor for the settings of clients.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from operator import itemgetter
from uuid import UUID

from sqlalchemy import Uuid, and_, bindparam, func, or_, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from core.clock import now
from core.db.reads import Query, Source
from core.errors import NotFound
from core.paging import PAGE_LIMIT, Page, PagedQuery, Paging
from core.text import N_
from models import (
    USER_NAME,
    Agent,
    Approval,
    ApprovalStatus,
    CodingSession,
    EventType,
    PolicyVerdict,
    SessionState,
    Status,
    Task,
    ToolGrant,
    User,
)
from services import agents, boards, events


class GrantScope(StrEnum):
    """For how long a permission counts."""

    SESSION = "session"
    TASK = "task"


IS_GIVEN = and_(
    ToolGrant.ended_at.is_(None),
    Approval.status == ApprovalStatus.APPROVED,
    Approval.decided_at == ToolGrant.created_at,  # by the decision with which it was given
)
IS_IN_SCOPE = or_(
    and_(ToolGrant.session_id.is_not(None), CodingSession.state != SessionState.ENDED),
    # a task that was done, and is worked on again, is other work
    and_(
        Task.status == Status.IN_PROGRESS,
        Task.assigned_agent_id == ToolGrant.agent_id,
        Task.in_progress_at <= ToolGrant.created_at,
    ),
)
"""Whether a permission counts, with `JOINED_GRANTS`."""

JOINED_GRANTS = (
    select(ToolGrant)
    .join(Approval, Approval.id == ToolGrant.approval_id)
    .outerjoin(CodingSession, CodingSession.id == ToolGrant.session_id)
    .outerjoin(Task, Task.id == ToolGrant.task_id)
)


async def find_grant(
    source: Source, coding_session: CodingSession, request_hash: str, verdict: PolicyVerdict
) -> ToolGrant | None:
    """Return a permission that covers a call of a session, about which this is the verdict.

    One from before the policy limited who decides does not count: its person might not decide now.
    """
    found = await COVERING_GRANTS.fetch(
        source,
        agent_id=coding_session.agent_id,
        board_id=coding_session.board_id,
        request_hash=request_hash,
        session_id=coding_session.id,
        task_id=coding_session.task_id,
    )
    limits = list_limits(verdict)
    return next((grant for grant, earlier in found if list_limits(earlier) == limits), None)


def list_limits(verdict: PolicyVerdict) -> tuple[object, ...]:
    """Return what a verdict asks of the people who decide."""
    return verdict.decider_role, frozenset(verdict.decider_ids), verdict.requires_recent_sign_in


COVERING_GRANTS: Query[tuple[ToolGrant, PolicyVerdict]] = Query(
    JOINED_GRANTS.add_columns(Approval.policy_verdict)
    .where(
        ToolGrant.agent_id == bindparam("agent_id", type_=Uuid()),
        # people of another board, from which the agent was moved, do not decide here
        ToolGrant.board_id == bindparam("board_id", type_=Uuid()),
        ToolGrant.request_hash == bindparam("request_hash"),
        or_(
            ToolGrant.session_id == bindparam("session_id", type_=Uuid()),
            ToolGrant.task_id == bindparam("task_id", type_=Uuid()),
        ),
        IS_GIVEN,
        IS_IN_SCOPE,
    )
    .with_for_update(read=True, of=ToolGrant)
)
"""Locked, so that a permission is not revoked before the call that it covers is recorded."""


@dataclass(frozen=True)
class GrantDetail:
    """A permission, who gave it, and whether it counts now."""

    grant: ToolGrant
    granted_by: str | None
    is_active: bool
    task_title: str | None

    @property
    def scope(self) -> GrantScope:
        """For how long it counts."""
        return GrantScope.TASK if self.grant.task_id else GrantScope.SESSION


async def list_grants(source: Source, agent: Agent, paging: Paging) -> Page[GrantDetail]:
    """Return the permissions of an agent on its board, newest first; also those that have ended."""
    return await AGENT_GRANTS.fetch_page(source, paging, agent_id=agent.id, board_id=agent.board_id)


async def list_newest_grants(source: Source, agent: Agent, limit: int) -> Sequence[GrantDetail]:
    """Return the first permissions of `list_grants`, without the number of all."""
    return await NEWEST_GRANTS.fetch(
        source, agent_id=agent.id, board_id=agent.board_id, **Paging(limit).parameters
    )


_DETAILS = JOINED_GRANTS.add_columns(
    USER_NAME, func.coalesce(IS_GIVEN & IS_IN_SCOPE, False).label("is_active"), Task.title
).outerjoin(User, User.id == ToolGrant.granted_by_user_id)
_IS_OF_AGENT = and_(
    ToolGrant.agent_id == bindparam("agent_id", type_=Uuid()),
    ToolGrant.board_id == bindparam("board_id", type_=Uuid()),
)
_NEWEST_FIRST = (ToolGrant.created_at.desc(), ToolGrant.id.desc())
# one whose decision was undone was never given
AGENT_GRANTS: PagedQuery[GrantDetail] = PagedQuery(
    _DETAILS.where(_IS_OF_AGENT, Approval.decided_at == ToolGrant.created_at).order_by(
        *_NEWEST_FIRST
    ),
    lambda row: GrantDetail(*row),
)
_DECIDED_AT = select(Approval.decided_at).where(Approval.id == ToolGrant.approval_id)
_NEWEST_IDS = (
    select(ToolGrant.id)
    # not a join, for which PostgreSQL would read the approvals of all grants
    .where(_IS_OF_AGENT, _DECIDED_AT.scalar_subquery() == ToolGrant.created_at)
    .order_by(*_NEWEST_FIRST)
    .limit(PAGE_LIMIT)
    .subquery()
)
NEWEST_GRANTS: Query[GrantDetail] = Query(
    _DETAILS.join(_NEWEST_IDS, _NEWEST_IDS.c.id == ToolGrant.id).order_by(*_NEWEST_FIRST),
    lambda row: GrantDetail(*row),
)


async def end_grant(session: AsyncSession, user: User, agent: Agent, grant_id: UUID) -> None:
    """Revoke a permission of an agent whose board the user may change. It changes nothing twice.

    Raises NotFound and Forbidden.
    """
    grant = await AGENT_GRANT.first(session, agent_id=agent.id, grant_id=grant_id)
    if grant is None:
        raise NotFound("grant_not_found", N_("There is no such permission."))
    board = await boards.lock_board(session, user, grant.board_id)
    [grant] = await LOCKED_GRANT.fetch(session, agent_id=agent.id, grant_id=grant_id)
    if grant.ended_at is not None:
        return
    grant.ended_at, grant.ended_by_user_id = now(), user.id
    await session.flush()
    ended = agents.agent_event(
        EventType.AGENT_GRANT_ENDED, user, board, agent, tool=grant.tool, grant_id=str(grant.id)
    )
    await events.record_events(session, [ended])


_ONE_GRANT = select(ToolGrant).where(
    ToolGrant.id == bindparam("grant_id", type_=Uuid()),
    ToolGrant.agent_id == bindparam("agent_id", type_=Uuid()),
)
AGENT_GRANT: Query[ToolGrant] = Query(_ONE_GRANT, itemgetter(0))
LOCKED_GRANT: Query[ToolGrant] = Query(
    _ONE_GRANT.with_for_update(key_share=True).execution_options(populate_existing=True),
    itemgetter(0),
)


async def end_session_grants(session: AsyncSession, coding_session: CodingSession) -> None:
    """End the permissions of a session that has ended; a session that is resumed asks again."""
    await session.execute(
        update(ToolGrant)
        .where(ToolGrant.session_id == coding_session.id, ToolGrant.ended_at.is_(None))
        .values(ended_at=now())
        .execution_options(synchronize_session=False)
    )
