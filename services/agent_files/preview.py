"""What a lead would be told, and what it may do, shown before there is one."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from datetime import datetime
from typing import Any

from models import Board, User
from services.agent_files import rights
from services.agent_files.facts import BoardFacts, Facts, Person, Role
from services.agent_files.loading import board_facts, person_facts
from services.agent_files.rendering import first_message, render, scratch

TO_COME = "(comes with the agent, and is never shown)"


@dataclass(frozen=True, kw_only=True)
class LeadDraft:
    """A lead to be, where it would live, and the goal that its board would have."""

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
class Preview:
    """All that a lead would read, by its place, and its rights in words, one sentence each."""

    files: Mapping[str, str]
    scratch: str
    first_message: str
    may: Sequence[str]
    may_not: Sequence[str]
    asked: Sequence[str]  # what the board would ask of its tasks


def preview(
    board: Board, user: User, draft: LeadDraft, *, base_url: str, person: Mapping[str, Any]
) -> Preview:
    """Return what a lead would be told: the onboarding shows it beside the draft. Nothing is kept.

    `user` is who confirms, and so for whom the lead would work; `person` has the fields of a
    profile that would be changed by it. There is no token yet, so none can be seen.
    """
    would_be = _board(board, draft)
    facts = Facts(
        role=Role.LEAD,
        agent_id=None,
        name=draft.name,
        base_url=base_url,
        token=TO_COME,
        profile=draft.profile,
        soul=draft.soul,
        gateway=draft.gateway,
        session_key=draft.session_key,
        workspace=draft.workspace,
        board=would_be,
        person=_person(user, person),
    )
    return Preview(
        files=render(facts),
        scratch=scratch(facts),
        first_message=first_message(facts),
        may=rights.may(Role.LEAD, would_be.rules, max_agents=would_be.max_agents),
        may_not=rights.may_not(Role.LEAD),
        asked=rights.asked(would_be.rules),
    )


def _board(board: Board, draft: LeadDraft) -> BoardFacts:
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
        lead=draft.name,
        lead_profile=draft.profile,
    )


def _person(user: User, changes: Mapping[str, Any]) -> Person:
    known = {one.name for one in fields(Person)}
    new = {name: said for name, said in changes.items() if name in known and said is not None}
    return replace(person_facts(user), **new)
