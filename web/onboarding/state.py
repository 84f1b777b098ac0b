"""State of a board's onboarding for the viewer."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any
from uuid import UUID

from core.clock import now
from core.config.settings import Settings
from core.db.reads import Source
from models import Agent, Board, Member, OnboardingStatus
from services import agents, boards, gateway_status, onboarding
from services.boards import BoardPermissions
from services.onboarding import (
    Conversation,
    Interviewer,
    Transcript,
)
from web.agents import setup
from web.agents.provisioning import build_lead_launch
from web.gateways.presenter import describe_outage
from web.onboarding.presenter import AgentWait, BriefSections, build_brief, build_wait
from web.ui import time_format

EMPTY_TRANSCRIPT = Transcript([], [], None, "person", None)


@dataclass(frozen=True)
class OnboardingState:
    """A board, its last onboarding conversation, the interviewing agent, and the lead."""

    access: BoardPermissions
    conversation: Conversation | None
    interviewer: Interviewer
    lead: Agent | None  # lead of the board
    wait: AgentWait | None
    brief: BriefSections

    @property
    def board(self) -> Board:
        """Return the board."""
        return self.access.board

    @property
    def is_open(self) -> bool:
        """Return whether the conversation is open."""
        return self.conversation is not None and self.conversation.is_open

    @property
    def is_confirmed(self) -> bool:
        """Return whether the last conversation ended with a confirmed goal."""
        return (
            self.conversation is not None
            and self.conversation.session.status is OnboardingStatus.CONFIRMED
        )

    @property
    def can_launch(self) -> bool:
        """Return whether the user may confirm the goal: only an admin creates a lead."""
        return self.access.can_write and (self.access.is_admin or self.lead is not None)

    @property
    def agent_name(self) -> str:
        """Return the name of the interviewing agent."""
        return self.interviewer.agent.name if self.interviewer.agent else ""

    @property
    def outage(self) -> str:
        """Describe why the gateway is not usable now, or return ""."""
        return describe_outage(self.interviewer.gateway, now()) if self.interviewer.gateway else ""

    @property
    def is_unreachable(self) -> bool:
        """Return whether the gateway is known to be unreachable."""
        gateway = self.interviewer.gateway
        return gateway is not None and bool(gateway_status.find_connection_failure(gateway.checks))

    @cached_property
    def transcript(self) -> Transcript:
        """Return the questions and answers."""
        return self.conversation.transcript if self.conversation else EMPTY_TRANSCRIPT

    @property
    def draft(self) -> Mapping[str, Any]:
        """Return the draft of the agent; empty while there is none."""
        return conversation_draft(self.conversation) if self.is_open else {}

    @property
    def stage(self) -> str:
        """Return what happens next.

        `alone` if no agent asks, `begin` if an agent could ask, `waiting` for the agent, or
        `question` or `draft` if the user has to answer or to review.
        """
        if self.interviewer.agent is None:
            return "alone"
        return conversation_stage(self.conversation) or "begin"

    @property
    def conversation_id(self) -> str:
        """Return the id of the last conversation, or ""."""
        return str(self.conversation.session.id) if self.conversation else ""

    @property
    def version(self) -> str:
        """Return a value that changes with every message of the agent and with the outcome."""
        if self.conversation is None:
            return ""
        messages = self.conversation.messages
        last_seq = max((one.seq for one in messages if one.role == "assistant"), default=0)
        return f"{self.conversation_id}.{self.conversation.session.status}.{last_seq}"


async def load_onboarding_state(source: Source, member: Member, board_id: UUID) -> OnboardingState:
    """Load the state of a board's onboarding. Raises NotFound or Forbidden."""
    access = await boards.get_board_permissions(source, member, board_id)
    board, zone = access.board, time_format.get_time_zone(member.user.timezone)
    conversation = await onboarding.find_conversation(source, board)
    interviewer = await onboarding.load_interviewer(source, board)
    message = None
    if conversation is not None:
        message = await onboarding.find_last_message(source, board, conversation)
    name = interviewer.agent.name if interviewer.agent else ""
    is_open = conversation is not None and conversation.is_open
    return OnboardingState(
        access=access,
        conversation=conversation,
        interviewer=interviewer,
        lead=await agents.find_board_lead(source, board),
        wait=build_wait(conversation, message, name, now(), zone) if conversation else None,
        brief=build_brief(
            conversation.transcript if conversation else EMPTY_TRANSCRIPT,
            conversation_draft(conversation) if is_open else {},
            zone,
        ),
    )


def conversation_stage(conversation: Conversation | None) -> str | None:
    """Return what happens next in an open conversation, or None."""
    if conversation is None or not conversation.is_open:
        return None
    if conversation.interviewer_id is None:
        return "alone"
    if conversation.waiting_for == "agent":
        return "waiting"
    return {"answer": "question", "review": "draft", None: None}[conversation.pending_action]


def conversation_draft(conversation: Conversation | None) -> Mapping[str, Any]:
    """Return the draft of a conversation, or an empty one."""
    return conversation.draft if conversation else {}


async def load_launch_context(
    source: Source,
    member: Member,
    settings: Settings,
    state: OnboardingState,
    token: str | None,
) -> dict[str, Any]:
    """Load the progress of the board's lead, as a template context."""
    context: dict[str, Any] = {
        "state": state,
        "board": state.board,
        "card": None,
        "examples": None,
        "launch": None,
        "path": f"/boards/{state.board.id}/onboarding/launch",
    }
    if state.lead is None:
        return context
    if state.interviewer.gateway is not None and state.lead.desired_state is not None:
        confirmed_at = state.conversation.session.updated_at if state.conversation else None
        steps = build_lead_launch(
            state.lead, state.interviewer.gateway, now(), confirmed_at=confirmed_at
        )
        card = await setup.load_agent_card(source, member, state.lead.id, settings)
        return context | setup.time_functions() | {"launch": steps, "card": card}
    if member.is_admin:
        agent_setup = await setup.load_agent_setup(
            source, member, state.lead.id, settings, token=token
        )
        return context | setup.setup_context(agent_setup, context["path"])
    card = await setup.load_agent_card(source, member, state.lead.id, settings)
    return context | setup.time_functions() | {"card": card}
