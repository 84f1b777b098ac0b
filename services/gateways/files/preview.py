"""A preview of the files of a board lead, before the agent exists."""

from collections.abc import Mapping, Set
from dataclasses import dataclass, field, fields, replace
from datetime import datetime
from typing import Any

from models import Board, User
from services.gateways.files.facts import AgentFacts, AgentRole, BoardFacts, PersonFacts
from services.gateways.files.loader import board_facts, person_facts
from services.gateways.files.renderer import render_files, render_first_message

PLACEHOLDER = "(comes with the agent, and is never shown)"


@dataclass(frozen=True, kw_only=True)
class LeadDraft:
    """A lead that may be created: its location, and the goal that its board would have."""

    name: str
    profile: Mapping[str, str] = field(default_factory=dict)
    soul: str | None = None
    board_type: str = "goal"
    objective: str | None = None
    success_metrics: Mapping[str, Any] | None = None
    target_date: datetime | None = None
    require_approval_for_done: bool = True
    gateway: str = ""  # its name
    session_key: str = ""
    workspace: str = ""


@dataclass(frozen=True)
class LeadPreview:
    """The files and texts of a lead, and what its permissions depend on."""

    files: Mapping[str, str]
    first_message: str
    rules: Set[str]  # of the board for its tasks
    max_agents: int


def preview_lead(
    board: Board, user: User, draft: LeadDraft, *, base_url: str, person: Mapping[str, Any]
) -> LeadPreview:
    """Return the files and texts of a lead, for the onboarding page. Nothing is stored.

    `user` confirms the goal, so the lead would work for them; `person` has changes of their
    profile. There is no token yet, so none is shown.
    """
    would_be = _board_facts_of_draft(board, draft)
    facts = AgentFacts(
        role=AgentRole.LEAD,
        agent_id=None,
        name=draft.name,
        base_url=base_url,
        token=PLACEHOLDER,
        profile=draft.profile,
        soul=draft.soul,
        gateway_name=draft.gateway,
        session_key=draft.session_key,
        workspace=draft.workspace,
        board=would_be,
        person=_person_facts_of_draft(user, person),
    )
    return LeadPreview(
        files=render_files(facts),
        first_message=render_first_message(facts),
        rules=would_be.rules,
        max_agents=would_be.max_agents,
    )


def _board_facts_of_draft(board: Board, draft: LeadDraft) -> BoardFacts:
    known = board_facts(board, None)
    approval = {"require_approval_for_done"}
    rules = known.rules | approval if draft.require_approval_for_done else known.rules - approval
    return replace(
        known,
        board_type=draft.board_type,
        objective=draft.objective,
        success_metrics=draft.success_metrics,
        target_date=draft.target_date,
        goal_confirmed=True,
        rules=rules,
        lead_name=draft.name,
        lead_profile=draft.profile,
    )


def _person_facts_of_draft(user: User, changes: Mapping[str, Any]) -> PersonFacts:
    known = {one.name for one in fields(PersonFacts)}
    new = {name: value for name, value in changes.items() if name in known and value is not None}
    return replace(person_facts(user), **new)
