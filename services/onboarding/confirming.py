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
RULE = "require_approval_for_done"


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
class Seen:
    """A board's last conversation, as somebody has seen it: which one, and whether it was open."""

    id: UUID | None = None
    is_open: bool = False

    @classmethod
    def of(cls, conversation: OnboardingSession | None) -> "Seen":
        """Return what there is to see of a conversation, or of none."""
        if conversation is None:
            return cls()
        return cls(conversation.id, conversation.status in OPEN)


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
class Facts:
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
    facts = await facts_of(session, user, board)
    if facts.session is None:
        raise NotFound("onboarding_not_found", "No onboarding was started on this board.")
    if facts.session.status not in OPEN:
        raise _over(facts.session)
    return await _settle(session, user, board, goal, facts, facts.session)


async def confirm_alone(
    session: AsyncSession, user: User, board: Board, goal: Goal, *, seen: Seen
) -> Confirmed:
    """Do the same without an agent that asks: no conversation has to be open.

    `seen` is what the person knows of the board's last conversation. Raises Conflict if that is
    another one by now, or over, and Invalid as `confirm` does.
    """
    facts = await facts_of(session, user, board)
    last = facts.session
    if Seen.of(last) != seen:
        reason = "Somebody else went on with this onboarding meanwhile. Look at it again."
        raise Conflict("onboarding_moved_on", reason)
    if last is None or not seen.is_open:
        last = _opened(board)
        session.add(last)
    return await _settle(session, user, board, goal, facts, last)


async def _settle(
    session: AsyncSession,
    user: User,
    board: Board,
    goal: Goal,
    facts: Facts,
    conversation: OnboardingSession,
) -> Confirmed:
    check_goal(vars(goal))
    draft = conversation.draft_goal or {}
    lead = goal.lead_agent if goal.lead_agent is not None else draft.get("lead_agent") or {}
    await users.set_profile(session, user, known_of(goal, draft))
    made = None if facts.has_lead else new_lead(board, lead, facts)
    token = await _add(session, made, board, by_admin=facts.by_admin) if made else None
    conversation.status = OnboardingStatus.CONFIRMED
    conversation.updated_at = now()
    wanted = {name: getattr(goal, name) for name in GOAL} | {"goal_confirmed": True}
    changes = wanted | {"goal_source": SOURCE, RULE: asks_for_approval(lead, facts)}
    changed = boards.set_goal(user, board, changes)
    await session.flush()
    await provisioning.ask_crew(session, board)
    happened = [agents.created(user, board, made)] if made else []
    news = [*happened, *changed.happened, _confirmed(user, board)]
    await messages.queue(session, [] if made else changed.to_lead, happened=news)
    return Confirmed(board, made, token)


GOAL = ("board_type", "objective", "success_metrics", "target_date")


async def facts_of(session: AsyncSession, user: User, board: Board) -> Facts:
    """Load what decides about a goal that this person confirms."""
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
    return Facts(found, by_admin, has_lead, frozenset(names))


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


def asks_for_approval(lead: Mapping[str, Any], facts: Facts) -> bool:
    """Say whether tasks need an approval before they are done, with a lead like this."""
    return not (facts.by_admin and is_autonomous(lead))


def known_of(goal: Goal, draft: Mapping[str, Any]) -> dict[str, Any]:
    """Return what is said of the person: by themselves, or else by the draft."""
    said = goal.user_profile if goal.user_profile is not None else draft.get("user_profile")
    return {name: text for name, text in (said or {}).items() if text is not None}


def new_lead(board: Board, wanted: Mapping[str, Any], facts: Facts) -> Agent:
    """Make the lead, under a name that no other agent of the board has."""
    name = agents.free_name(lead_name(wanted), facts.names)
    draft = agents.AgentDraft(name=name, identity_profile=lead_profile(wanted))
    return agents.new_lead(board, draft)


def _confirmed(user: User, board: Board) -> events.Happened:
    return events.Happened(
        EventType.ONBOARDING_CONFIRMED,
        user,
        organization_id=board.organization_id,
        board=board,
        data={"name": board.name},
    )
