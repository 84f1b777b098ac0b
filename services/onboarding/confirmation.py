"""Confirm or preview a draft: the goal, the user's profile and the lead, in one transaction."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import Any
from uuid import UUID

from sqlalchemy import bindparam, exists, func, select
from sqlalchemy.ext.asyncio import AsyncSession

from core.clock import now
from core.db.reads import Query, Source
from core.errors import Conflict, Forbidden, NotFound
from core.text import N_
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
from services import agents, boards, desired_state, identity, messages
from services.gateways import files, sync
from services.onboarding.commands import onboarding_event
from services.onboarding.queries import LAST_SESSION_ID, OPEN_STATUSES, load_interviewer
from services.onboarding.rules import (
    build_lead_profile,
    build_session,
    choose_lead_name,
    is_autonomous,
)

GOAL_SOURCE = "lead_agent_onboarding"
GOAL_FIELDS = ("board_type", "objective", "success_metrics", "target_date")


@dataclass(frozen=True, kw_only=True)
class OnboardingGoal:
    """The goal that a user confirms. A missing lead or profile is taken from the draft."""

    board_type: str
    objective: str | None = None
    success_metrics: dict[str, Any] | None = None
    target_date: datetime | None = None
    lead_agent: Mapping[str, Any] | None = None
    user_profile: Mapping[str, Any] | None = None


@dataclass(frozen=True)
class ExpectedState:
    """The last conversation of a board as the user has seen it: its id, and whether it was open."""

    id: UUID | None = None
    is_open: bool = False

    @classmethod
    def from_session(cls, conversation: OnboardingSession | None) -> "ExpectedState":
        """Return the state of a conversation, or of none."""
        if conversation is None:
            return cls()
        return cls(conversation.id, conversation.status in OPEN_STATUSES)


@dataclass(frozen=True)
class ConfirmedBoard:
    """A board with its goal, and its lead if it was created now.

    The token is only set for a lead without a gateway. It is shown once.
    """

    board: Board
    lead: Agent | None
    token: str | None = None


@dataclass(frozen=True)
class ConfirmationContext:
    """The last conversation of a board, if any, and the facts that determine its lead."""

    conversation: OnboardingSession | None
    by_admin: bool  # whether the user is an admin
    has_lead: bool
    agent_names: frozenset[str]  # of the board's agents


@dataclass(frozen=True)
class OnboardingPreview:
    """The files and the rights that the lead of a board would get.

    Without a gateway no files are written: the user who runs the lead instructs it. For a new lead
    `config_change` is what its gateway adds to its configuration.
    """

    name: str
    agent_files: files.LeadPreview
    requires_approval: bool
    has_gateway: bool
    config_change: sync.AgentConfigChange | None = None


async def confirm_goal(
    session: AsyncSession, user: User, board: Board, goal: OnboardingGoal
) -> ConfirmedBoard:
    """Set the goal of a locked board, and create its lead.

    An existing lead is not changed, but receives a message. Tasks may be done without approval only
    if the lead is autonomous and an admin confirms; otherwise the board requires approvals from now
    on. Raises NotFound without a conversation, Conflict if it is closed, Invalid for an incomplete
    goal, and Forbidden for a user who is not an admin on a board without a lead.
    """
    context = await load_confirmation_context(session, user, board)
    if context.conversation is None:
        raise NotFound("onboarding_not_found", N_("No onboarding was started on this board."))
    if context.conversation.status not in OPEN_STATUSES:
        reason = N_("This onboarding is over. Start another to change the goal.")
        raise Conflict("onboarding_over", reason, status=context.conversation.status.value)
    return await _confirm(session, user, board, goal, context, context.conversation)


async def confirm_without_agent(
    session: AsyncSession,
    user: User,
    board: Board,
    goal: OnboardingGoal,
    *,
    expected: ExpectedState,
) -> ConfirmedBoard:
    """Do the same without an interviewing agent. No conversation has to be open.

    Raises Conflict if the last conversation is not in the expected state, and Invalid and Forbidden
    like `confirm_goal`.
    """
    context = await load_confirmation_context(session, user, board)
    last = context.conversation
    if ExpectedState.from_session(last) != expected:
        reason = N_("Somebody else went on with this onboarding meanwhile. Look at it again.")
        raise Conflict("onboarding_moved_on", reason)
    if last is None or not expected.is_open:
        last = build_session(board, now())
        session.add(last)
    return await _confirm(session, user, board, goal, context, last)


async def _confirm(
    session: AsyncSession,
    user: User,
    board: Board,
    goal: OnboardingGoal,
    context: ConfirmationContext,
    conversation: OnboardingSession,
) -> ConfirmedBoard:
    if not (context.has_lead or context.by_admin):
        reason = N_(
            "This board has no lead, and only an admin creates one. Ask an admin to confirm."
        )
        raise Forbidden("admin_required", reason)
    boards.require_complete_goal(vars(goal))
    draft = conversation.draft_goal or {}
    lead = goal.lead_agent if goal.lead_agent is not None else draft.get("lead_agent") or {}
    profile = identity.UserUpdate.parse(get_user_profile(goal, draft))
    await identity.overwrite_profile(session, user, profile)
    new_lead = None if context.has_lead else build_lead(board, lead, context)
    token = None
    if new_lead:
        session.add(new_lead)
        if board.gateway_id is None:  # the user runs the agent
            token = await agents.create_token(session, new_lead)
    conversation.status = OnboardingStatus.CONFIRMED
    conversation.updated_at = now()
    fields = boards.BoardUpdate.of(
        **{name: getattr(goal, name) for name in GOAL_FIELDS},
        goal_confirmed=True,
        goal_source=GOAL_SOURCE,
        require_approval_for_done=requires_approval(lead, context),
    )
    changed = boards.set_goal(user, board, fields)
    await session.flush()
    await desired_state.request_board_sync(session, board)
    created = [agents.agent_created_event(user, board, new_lead)] if new_lead else []
    confirmed = onboarding_event(EventType.ONBOARDING_CONFIRMED, user, board)
    outgoing = [] if new_lead else changed.lead_messages
    new_events = [*created, *changed.events, confirmed]
    await messages.enqueue_messages(session, outgoing, new_events=new_events)
    return ConfirmedBoard(board, new_lead, token)


async def load_confirmation_context(
    source: Source, user: User, board: Board
) -> ConfirmationContext:
    """Load what is needed to confirm a goal as this user."""
    [context] = await _build_context_query().fetch(source, user_id=user.id, board_id=board.id)
    return context


@cache
def _build_context_query() -> Query[ConfirmationContext]:
    is_on_board = Agent.board_id == Board.id
    query = (
        select(
            OnboardingSession,
            exists().where(
                Member.user_id == bindparam("user_id"),
                Member.organization_id == Board.organization_id,
                Member.role.in_((Role.OWNER, Role.ADMIN)),
            ),
            exists().where(is_on_board, Agent.is_board_lead),
            func.array(select(Agent.name).where(is_on_board).scalar_subquery()),
        )
        .select_from(Board)
        .outerjoin(OnboardingSession, OnboardingSession.id == LAST_SESSION_ID)
        .where(Board.id == bindparam("board_id"))
        .execution_options(populate_existing=True)
    )
    return Query(query, lambda row: ConfirmationContext(*row[:3], frozenset(row[3])))


def requires_approval(lead: Mapping[str, Any], context: ConfirmationContext) -> bool:
    """Return whether tasks need an approval before they are done, with this lead."""
    return not (context.by_admin and is_autonomous(lead))


def get_user_profile(goal: OnboardingGoal, draft: Mapping[str, Any]) -> dict[str, Any]:
    """Return the profile that the user has confirmed, or else that of the draft."""
    profile = goal.user_profile if goal.user_profile is not None else draft.get("user_profile")
    return {name: text for name, text in (profile or {}).items() if text is not None}


def build_lead(board: Board, proposed: Mapping[str, Any], context: ConfirmationContext) -> Agent:
    """Build the lead, with a name that no other agent of the board has."""
    name = agents.choose_free_name(choose_lead_name(proposed), context.agent_names)
    profile = build_lead_profile(proposed)
    values = {"name": name, "identity_profile": profile, "is_board_lead": True}
    return agents.build_agent(board, agents.AgentCreate.parse(values))


async def preview_goal(
    source: Source, user: User, board: Board, goal: OnboardingGoal, *, base_url: str
) -> OnboardingPreview:
    """Preview what `confirm_goal` would create. Nothing is saved. Raises Invalid."""
    context = await load_confirmation_context(source, user, board)
    proposed = goal.lead_agent or {}
    present = await agents.find_board_lead(source, board)
    lead = present or build_lead(board, proposed, context)
    approval = requires_approval(proposed, context)
    gateway = (await load_interviewer(source, board)).gateway
    key = files.session_key_of(lead)
    draft = files.LeadDraft(
        name=lead.name,
        profile=lead.identity_profile or {},
        soul=lead.soul_template,
        board_type=goal.board_type,
        objective=goal.objective,
        success_metrics=goal.success_metrics,
        target_date=goal.target_date,
        require_approval_for_done=approval,
        gateway=gateway.name if gateway else "",
        session_key=key,
        workspace=files.workspace_path(gateway.workspace_root, key) if gateway else "",
    )
    preview = files.preview_lead(
        board, user, draft, base_url=base_url, person=get_user_profile(goal, {})
    )
    added = None
    if gateway is not None and present is None:
        added = sync.build_config_change(gateway, sync.AgentChange(None, lead))
    return OnboardingPreview(lead.name, preview, approval, gateway is not None, added)
