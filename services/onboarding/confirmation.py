"""Confirm or preview a draft: the goal, the user's profile and the lead, in one transaction."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import BeforeValidator
from sqlalchemy import bindparam, exists, func, select
from sqlalchemy.ext.asyncio import AsyncSession

from core.clock import now
from core.db.reads import Query, Source
from core.errors import Conflict, Forbidden, NotFound
from core.fields import Description, Fields, Label, Moment, ShortText, Text
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
from services.onboarding.commands import build_session, onboarding_event
from services.onboarding.queries import LAST_SESSION_ID, OPEN_STATUSES, load_interviewer

GOAL_FIELDS = ("board_type", "objective", "success_metrics", "target_date")


BLANK_AS_NONE = BeforeValidator(
    lambda value: None if isinstance(value, str) and not value.strip() else value
)
OptionalLine = Annotated[ShortText | None, BLANK_AS_NONE]
OptionalText = Annotated[Description | None, BLANK_AS_NONE]


class OnboardingProfile(Fields):
    """What the agent knows about the user."""

    component = "BoardOnboardingUserProfile"

    preferred_name: Annotated[OptionalLine, Label(N_("Preferred name"))] = None
    pronouns: Annotated[OptionalLine, Label(N_("Pronouns"))] = None
    timezone: Annotated[OptionalLine, Label(N_("Time zone"))] = None
    notes: Annotated[OptionalText, Label(N_("Notes"))] = None
    context: Annotated[OptionalText, Label(N_("Context"))] = None


class OnboardingLead(Fields):
    """The desired lead of the board, and its way of working."""

    component = "BoardOnboardingLeadAgentDraft"

    name: Annotated[Annotated[agents.AgentName | None, BLANK_AS_NONE], Label(N_("Name"))] = None
    identity_profile: dict[str, Text] | None = None
    autonomy_level: Annotated[
        Literal["ask_first", "balanced", "autonomous"] | None, Label(N_("What it decides"))
    ] = None
    verbosity: Annotated[
        Literal["concise", "balanced", "detailed"] | None, Label(N_("How much it writes"))
    ] = None
    output_format: Annotated[
        Literal["bullets", "mixed", "narrative"] | None, Label(N_("How it writes"))
    ] = None
    update_cadence: Annotated[
        Literal["asap", "hourly", "daily", "weekly"] | None, Label(N_("When it reports"))
    ] = None
    custom_instructions: Annotated[OptionalText, Label(N_("Additional instructions"))] = None


class OnboardingGoal(Fields):
    """The goal as confirmed by the user. Omitted lead and profile are taken from the draft."""

    component = "BoardOnboardingConfirm"
    example = {
        "board_type": "goal",
        "objective": "Launch the new site before summer.",
        "success_metrics": {"visitors": "1,000 in the first week"},
        "target_date": "2027-06-01T00:00:00Z",
    }

    board_type: Annotated[boards.BoardType, Label(N_("Kind of board"))]
    objective: Annotated[Description | None, Label(N_("Objective"))] = None
    success_metrics: Annotated[boards.SuccessMetrics | None, Label(N_("Measures"))] = None
    target_date: Annotated[Moment | None, Label(N_("Target date"))] = None
    lead_agent: OnboardingLead | None = None
    user_profile: OnboardingProfile | None = None


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
    context = await _load_context(session, user, board)
    if context.conversation is None:
        raise NotFound("onboarding_not_found", N_("No setup was started on this board."))
    if context.conversation.status not in OPEN_STATUSES:
        reason = N_("This setup has ended. Start another to change the objective.")
        raise Conflict("onboarding_ended", reason, status=context.conversation.status.value)
    return await _confirm(session, user, board, goal, context, context.conversation)


async def confirm_without_agent(
    session: AsyncSession,
    user: User,
    board: Board,
    goal: OnboardingGoal,
    *,
    expected: ExpectedState,
) -> ConfirmedBoard:
    """Set the goal of a board and create its lead, without an interview by an agent.

    No conversation has to be open.

    Raises Conflict if the last conversation is not in the expected state, and Invalid and Forbidden
    like `confirm_goal`.
    """
    context = await _load_context(session, user, board)
    last = context.conversation
    if ExpectedState.from_session(last) != expected:
        reason = N_("Somebody else continued this setup meanwhile. Look at it again.")
        raise Conflict("onboarding_changed", reason)
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
    boards.require_complete_goal(dict(goal))
    draft = conversation.draft_goal or {}
    lead = _list_given(goal.lead_agent) if goal.lead_agent else draft.get("lead_agent") or {}
    profile = identity.UserUpdate.parse(_get_user_profile(goal, draft))
    await identity.overwrite_profile(session, user, profile)
    new_lead = None if context.has_lead else _build_lead(board, lead, context)
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
        goal_source="lead_agent_onboarding",
        require_approval_for_done=_requires_approval(lead, context),
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


async def _load_context(source: Source, user: User, board: Board) -> ConfirmationContext:
    """Load what is needed to confirm a goal as this user."""
    [context] = await CONTEXT.fetch(source, user_id=user.id, board_id=board.id)
    return context


_IS_ON_BOARD = Agent.board_id == Board.id
CONTEXT: Query[ConfirmationContext] = Query(
    select(
        OnboardingSession,
        exists().where(
            Member.user_id == bindparam("user_id"),
            Member.organization_id == Board.organization_id,
            Member.role.in_((Role.OWNER, Role.ADMIN)),
        ),
        exists().where(_IS_ON_BOARD, Agent.is_board_lead),
        func.array(select(Agent.name).where(_IS_ON_BOARD).scalar_subquery()),
    )
    .select_from(Board)
    .outerjoin(OnboardingSession, OnboardingSession.id == LAST_SESSION_ID)
    .where(Board.id == bindparam("board_id"))
    .execution_options(populate_existing=True),
    lambda row: ConfirmationContext(*row[:3], frozenset(row[3])),
)


def _requires_approval(lead: Mapping[str, Any], context: ConfirmationContext) -> bool:
    """Return whether tasks need an approval before they are done, with this lead."""
    return not (context.by_admin and is_autonomous(lead))


def _get_user_profile(goal: OnboardingGoal, draft: Mapping[str, Any]) -> dict[str, Any]:
    """Return the profile that the user has confirmed, or else that of the draft."""
    if goal.user_profile is not None:
        return _list_given(goal.user_profile)
    profile = draft.get("user_profile") or {}
    return {name: text for name, text in profile.items() if text is not None}


def _list_given(part: Fields) -> dict[str, Any]:
    return {name: value for name, value in part if value is not None}


DEFAULT_LEAD_NAME = "Lead Agent"
DEFAULT_LEAD_PROFILE = {
    "role": "Board Lead",
    "communication_style": "direct, concise, practical",
    "emoji": ":gear:",
}
PREFERENCE_FIELDS = (
    "autonomy_level",
    "verbosity",
    "output_format",
    "update_cadence",
    "custom_instructions",
)
AUTONOMOUS_LEVELS = {"autonomous", "fully-autonomous", "full-autonomy"}


def _build_lead(board: Board, proposed: Mapping[str, Any], context: ConfirmationContext) -> Agent:
    """Build the lead, with a name that no other agent of the board has."""
    name = (proposed.get("name") or "").strip() or DEFAULT_LEAD_NAME
    values = {
        "name": agents.choose_free_name(name, context.agent_names),
        "identity_profile": build_lead_profile(proposed),
        "is_board_lead": True,
    }
    return agents.build_agent(board, agents.AgentCreate.parse(values))


def build_lead_profile(lead: Mapping[str, Any]) -> dict[str, str]:
    """Return the profile of the lead: the defaults, the proposed profile, and the preferences."""
    preferences = {name: lead.get(name) for name in PREFERENCE_FIELDS}
    values = DEFAULT_LEAD_PROFILE | (lead.get("identity_profile") or {}) | preferences
    texts = {
        name.strip(): str(value).strip() for name, value in values.items() if value is not None
    }
    return {name: text for name, text in texts.items() if name and text}


def is_autonomous(lead: Mapping[str, Any]) -> bool:
    """Return whether the lead may finish tasks without approval."""
    profile = lead.get("identity_profile") or {}
    words = [lead.get("autonomy_level"), *map(profile.get, ("autonomy_level", "autonomy", "mode"))]
    levels = [str(word).strip().lower().replace("_", "-") for word in words if word]
    return any(
        level in AUTONOMOUS_LEVELS or ("fully" in level and "autonom" in level) for level in levels
    )


async def preview_goal(
    source: Source, user: User, board: Board, goal: OnboardingGoal, *, base_url: str
) -> OnboardingPreview:
    """Preview what `confirm_goal` would create. Nothing is saved. Raises Invalid."""
    context = await _load_context(source, user, board)
    proposed = _list_given(goal.lead_agent) if goal.lead_agent else {}
    present = await agents.find_board_lead(source, board)
    lead = present or _build_lead(board, proposed, context)
    approval = _requires_approval(proposed, context)
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
        board, user, draft, base_url=base_url, person=_get_user_profile(goal, {})
    )
    added = None
    if gateway is not None and present is None:
        added = sync.build_config_change(gateway, None, lead)
    return OnboardingPreview(lead.name, preview, approval, gateway is not None, added)
