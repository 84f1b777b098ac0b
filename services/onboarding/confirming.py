"""Confirming a draft: the goal, the person's profile and the lead, all or nothing."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import exists, func, select
from sqlalchemy.ext.asyncio import AsyncSession

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
)
from services import agents, boards, events, users
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
class _Facts:
    """The conversation that is open, and what decides about the lead."""

    session: OnboardingSession
    by_admin: bool
    has_lead: bool
    names: frozenset[str]  # of the board's agents


async def confirm(session: AsyncSession, user: User, board: Board, goal: Goal) -> Board:
    """Make a goal the board's own, on a board that is held, and give the board its lead.

    A lead that is there stays as it is. Tasks may be done without approval only if the lead is to
    be autonomous and an admin confirms; else the board asks for approvals from now on. Raises
    NotFound without a conversation, Conflict when it is over, and Invalid for a goal that says
    too little.
    """
    facts = await _facts(session, user, board)
    check_goal(vars(goal))
    draft = facts.session.draft_goal or {}
    lead = goal.lead_agent if goal.lead_agent is not None else draft.get("lead_agent") or {}
    profile = goal.user_profile if goal.user_profile is not None else draft.get("user_profile")
    known = {name: said for name, said in (profile or {}).items() if said is not None}
    await users.set_profile(session, user, known)
    happened = []
    if not facts.has_lead:
        made = _lead(board, lead, facts.names)
        session.add(made)
        happened.append(agents.created(user, board, made))
    facts.session.status = OnboardingStatus.CONFIRMED
    facts.session.updated_at = now()
    wanted = {name: getattr(goal, name) for name in GOAL} | {"goal_confirmed": True}
    needs_approval = not (facts.by_admin and is_autonomous(lead))
    changes = wanted | {"goal_source": SOURCE, "require_approval_for_done": needs_approval}
    changed = boards.set_goal(user, board, changes)
    confirmed = events.Happened(
        EventType.ONBOARDING_CONFIRMED,
        user,
        organization_id=board.organization_id,
        board=board,
        data={"name": board.name},
    )
    await session.flush()
    await events.record_all(session, [*happened, *changed, confirmed])
    return board


GOAL = ("board_type", "objective", "success_metrics", "target_date")


async def _facts(session: AsyncSession, user: User, board: Board) -> _Facts:
    of_board = Agent.board_id == board.id
    query = (
        select(
            OnboardingSession,
            exists().where(
                Member.user_id == user.id,
                Member.organization_id == board.organization_id,
                Member.role.in_((Role.OWNER, Role.ADMIN)),
            ),
            exists().where(of_board, Agent.is_board_lead),
            func.array(select(Agent.name).where(of_board).scalar_subquery()),
        )
        .where(OnboardingSession.board_id == board.id)
        .order_by(OnboardingSession.created_at.desc(), OnboardingSession.id.desc())
        .limit(1)
    )
    row = (await session.execute(query)).one_or_none()
    if row is None:
        raise NotFound("onboarding_not_found", "No onboarding was started on this board.")
    conversation, by_admin, has_lead, names = row
    if conversation.status not in OPEN:
        reason = "This onboarding is over. Start another to change the goal."
        raise Conflict("onboarding_over", reason, status=conversation.status.value)
    return _Facts(conversation, by_admin, has_lead, frozenset(names))


def _lead(board: Board, wanted: Mapping[str, Any], taken: frozenset[str]) -> Agent:
    """Make the lead, under a name that no other agent of the board has."""
    name = agents.free_name(lead_name(wanted), taken)
    return agents.new_lead(
        board, agents.AgentDraft(name=name, identity_profile=lead_profile(wanted))
    )
