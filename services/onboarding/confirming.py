"""Confirming a draft: the goal, the person's profile and the lead, all or nothing."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import exists, func, select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import aliased

from kit.clock import now
from kit.errors import Conflict, NotFound
from models import (
    Agent,
    Board,
    EventType,
    Member,
    OnboardingSession,
    OnboardingStatus,
    Role,
    User,
    new_id,
)
from services import agents, boards, events, messages, provisioning, users
from services.onboarding.drafts import check_goal, is_autonomous, lead_name, lead_profile
from services.onboarding.finding import OPEN

SOURCE = "lead_agent_onboarding"


@dataclass(frozen=True, kw_only=True)
class Goal:
    """What a person confirms. A lead or a profile that is not given is the draft's."""

    board_type: str
    objective: str | None = None
    success_metrics: dict[str, Any] | None = None
    target_date: datetime | None = None
    lead_agent: Mapping[str, Any] | None = None
    user_profile: Mapping[str, Any] | None = None


@dataclass(frozen=True)
class Confirmed:
    """A board with its goal, the lead that was made for it, if it had none, and the lead's token.

    There is a token only for a lead that no gateway runs, and only for an admin, who could make
    one at any time. It is shown once.
    """

    board: Board
    lead: Agent | None
    token: str | None = None


@dataclass(frozen=True)
class _Facts:
    """A conversation, if there ever was one, and what decides about the lead."""

    session: OnboardingSession | None  # the last one
    by_admin: bool
    has_lead: bool
    names: frozenset[str]  # of the board's agents


async def confirm(session: AsyncSession, user: User, board: Board, goal: Goal) -> Confirmed:
    """Make a goal the board's own, on a board that is held, and give the board its lead.

    A lead that is there stays as it is, and is told. Tasks may be done without approval only if
    the lead is to be autonomous and an admin confirms; else the board asks for approvals from now
    on. Raises NotFound without a conversation, Conflict when it is over, and Invalid for a goal
    that says too little.
    """
    facts = await _facts(session, user, board)
    if facts.session is None:
        raise NotFound("onboarding_not_found", "No onboarding was started on this board.")
    if facts.session.status not in OPEN:
        raise _over(facts.session)
    return await _settle(session, user, board, goal, facts, facts.session)


async def confirm_alone(
    session: AsyncSession, user: User, board: Board, goal: Goal, *, last: UUID | None
) -> Confirmed:
    """Do the same without an agent that asks: no conversation has to be open.

    `last` is the board's last conversation as the person has seen it. Raises Conflict if there is
    another by now, or if somebody has ended it, and Invalid as `confirm` does.
    """
    facts = await _facts(session, user, board)
    known = facts.session
    if (known.id if known else None) != last:
        reason = "Somebody else went on with this onboarding meanwhile. Look at it again."
        raise Conflict("onboarding_moved_on", reason)
    if known is None or known.status not in OPEN:
        known = _opened(board)
        session.add(known)
    return await _settle(session, user, board, goal, facts, known)


async def _settle(
    session: AsyncSession,
    user: User,
    board: Board,
    goal: Goal,
    facts: _Facts,
    conversation: OnboardingSession,
) -> Confirmed:
    check_goal(vars(goal))
    draft = conversation.draft_goal or {}
    lead = goal.lead_agent if goal.lead_agent is not None else draft.get("lead_agent") or {}
    profile = goal.user_profile if goal.user_profile is not None else draft.get("user_profile")
    known = {name: said for name, said in (profile or {}).items() if said is not None}
    await users.set_profile(session, user, known)
    made = None if facts.has_lead else _lead(board, lead, facts.names)
    token = await _add(session, made, board, by_admin=facts.by_admin) if made else None
    conversation.status = OnboardingStatus.CONFIRMED
    conversation.updated_at = now()
    wanted = {name: getattr(goal, name) for name in GOAL} | {"goal_confirmed": True}
    needs_approval = not (facts.by_admin and is_autonomous(lead))
    changes = wanted | {"goal_source": SOURCE, "require_approval_for_done": needs_approval}
    changed = boards.set_goal(user, board, changes)
    await session.flush()
    await provisioning.ask_crew(session, board)
    happened = [agents.created(user, board, made)] if made else []
    news = [*happened, *changed.happened, _confirmed(user, board)]
    await messages.queue(session, [] if made else changed.to_lead, happened=news)
    return Confirmed(board, made, token)


GOAL = ("board_type", "objective", "success_metrics", "target_date")


async def _facts(session: AsyncSession, user: User, board: Board) -> _Facts:
    of_board = Agent.board_id == board.id
    last = select(OnboardingSession).where(OnboardingSession.board_id == board.id)
    last = last.order_by(OnboardingSession.created_at.desc(), OnboardingSession.id.desc()).limit(1)
    conversation = aliased(OnboardingSession, last.subquery())
    query = (
        select(
            conversation,
            exists().where(
                Member.user_id == user.id,
                Member.organization_id == board.organization_id,
                Member.role.in_((Role.OWNER, Role.ADMIN)),
            ),
            exists().where(of_board, Agent.is_board_lead),
            func.array(select(Agent.name).where(of_board).scalar_subquery()),
        )
        .select_from(Board)
        .outerjoin(conversation, conversation.board_id == Board.id)
        .where(Board.id == board.id)
        .execution_options(populate_existing=True)
    )
    found, by_admin, has_lead, names = (await session.execute(query)).one()
    return _Facts(found, by_admin, has_lead, frozenset(names))


def _over(conversation: OnboardingSession) -> Conflict:
    reason = "This onboarding is over. Start another to change the goal."
    return Conflict("onboarding_over", reason, status=conversation.status.value)


def _opened(board: Board) -> OnboardingSession:
    """Make a conversation in which nobody asks: a person says all of it."""
    at = now()
    return OnboardingSession(
        id=new_id(),
        board_id=board.id,
        status=OnboardingStatus.ACTIVE,
        created_at=at,
        updated_at=at,
    )


async def _add(session: AsyncSession, lead: Agent, board: Board, *, by_admin: bool) -> str | None:
    """Add a lead, and return its token where the person is to bring it there themselves."""
    session.add(lead)
    if board.gateway_id is not None or not by_admin:
        return None
    return await agents.add_token(session, lead)


def _lead(board: Board, wanted: Mapping[str, Any], taken: frozenset[str]) -> Agent:
    """Make the lead, under a name that no other agent of the board has."""
    name = agents.free_name(lead_name(wanted), taken)
    return agents.new_lead(
        board, agents.AgentDraft(name=name, identity_profile=lead_profile(wanted))
    )


def _confirmed(user: User, board: Board) -> events.Happened:
    return events.Happened(
        EventType.ONBOARDING_CONFIRMED,
        user,
        organization_id=board.organization_id,
        board=board,
        data={"name": board.name},
    )
