"""Load the facts for agents' files, or take those of a lead that does not exist yet.

There is a fixed number of queries for any number of agents.
"""

from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, field, fields, replace
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import Uuid, bindparam, func, select
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.orm import aliased

from core.db.reads import Query, Source
from models import Agent, Board, Event, EventType, Gateway, Member, User
from models import Role as MemberRole
from services import agents, boards, gateways
from services.gateways.files.facts import (
    AgentFacts,
    AgentRole,
    BoardFacts,
    PersonFacts,
    ServedBoard,
    session_key_of,
    workspace_path,
)
from services.gateways.files.renderer import render_files, render_first_message

TOKEN_LABEL = "(comes with the agent, and is never shown)"  # noqa: S105 - in place of a token

Lead = aliased(Agent)
BOARD_IDS = func.any(bindparam("board_ids", type_=ARRAY(Uuid())))
GATEWAY_IDS = func.any(bindparam("gateway_ids", type_=ARRAY(Uuid())))
ORGANIZATION_IDS = func.any(bindparam("organization_ids", type_=ARRAY(Uuid())))
SERVED_BOARDS: Query[tuple[Board, Agent | None]] = Query(
    select(Board, Lead)
    .outerjoin(Lead, (Lead.board_id == Board.id) & Lead.is_board_lead)
    .where((Board.id == BOARD_IDS) | (Board.gateway_id == GATEWAY_IDS))
    .order_by(Board.name, Board.id)
)
CONFIRMERS: Query[tuple[UUID, User]] = Query(
    select(Event.board_id, User)
    .join(User, User.id == Event.user_id)
    .join(Member, (Member.user_id == User.id) & (Member.organization_id == Event.organization_id))
    .where(Event.type == EventType.ONBOARDING_CONFIRMED, Event.board_id == BOARD_IDS)
    .order_by(Event.seq)
)
OWNERS: Query[tuple[UUID, User]] = Query(
    select(Member.organization_id, User)
    .join(User, User.id == Member.user_id)
    .where(Member.organization_id == ORGANIZATION_IDS, Member.role == MemberRole.OWNER)
    .order_by(Member.created_at.desc(), Member.id.desc())
)


async def load_agent_facts(
    source: Source, agent: Agent, *, base_url: str, token: str = ""
) -> AgentFacts:
    """Return the facts for one agent."""
    tokens = {agent.id: token}
    found = await load_facts(source, [agent], base_url=base_url, tokens=tokens)
    return found[agent.id]


async def load_facts(
    source: Source,
    agents: Sequence[Agent],
    *,
    base_url: str,
    tokens: Mapping[UUID, str],
) -> dict[UUID, AgentFacts]:
    """Return the facts for each of these agents, by id.

    `tokens` are their own tokens, decrypted. Without one the file has no token.
    """
    agent_gateways = await gateways.load_agent_gateways(source, agents)
    board_ids = list({agent.board_id for agent in agents if agent.board_id})
    managed_ids = list({agent.gateway_id for agent in agents if agent.board_id is None})
    served = await SERVED_BOARDS.fetch(source, board_ids=board_ids, gateway_ids=managed_ids)
    organization_ids = list({agent.organization_id for agent in agents})
    owners = await OWNERS.fetch(source, organization_ids=organization_ids)
    confirmers = await CONFIRMERS.fetch(source, board_ids=board_ids)
    # On a board, agents work for the user who confirmed its goal last; otherwise for the first
    # owner of the organization.
    people = dict([*owners, *confirmers])
    return {
        agent.id: _make_facts(
            agent, agent_gateways, served, people, base_url, tokens.get(agent.id, "")
        )
        for agent in agents
    }


def board_facts(board: Board, lead: Agent | None) -> BoardFacts:
    """Return the facts of a board."""
    return BoardFacts(
        id=board.id,
        name=board.name,
        board_type=board.board_type,
        description=board.description,
        objective=board.objective,
        success_metrics=board.success_metrics,
        target_date=board.target_date,
        goal_confirmed=board.goal_confirmed,
        rules=frozenset(name for name in boards.TASK_RULES if getattr(board, name)),
        max_agents=board.max_agents,
        is_paused=board.paused_at is not None,
        lead_name=lead.name if lead else None,
        lead_profile=text_values(lead.identity_profile) if lead else {},
    )


def person_facts(user: User) -> PersonFacts:
    """Return the facts of a user."""
    return PersonFacts(**{one.name: getattr(user, one.name) for one in fields(PersonFacts)})


def text_values(profile: Mapping[str, object] | None) -> dict[str, str]:
    """Return the values of a profile as text; imported rows may have other types."""
    return {name: str(value) for name, value in (profile or {}).items() if value is not None}


def _make_facts(
    agent: Agent,
    agent_gateways: Mapping[UUID, Gateway],
    served: Sequence[tuple[Board, Agent | None]],
    people: Mapping[UUID, User],
    base_url: str,
    token: str,
) -> AgentFacts:
    gateway = agent_gateways.get(agent.gateway_id) if agent.gateway_id else None
    interval = agents.heartbeat_interval(agent)
    person = people.get(agent.board_id or agent.id) or people.get(agent.organization_id)
    role = AgentRole.LEAD if agent.is_board_lead else AgentRole.WORKER
    return AgentFacts(
        role=AgentRole.MAIN if agent.board_id is None else role,
        agent_id=agent.id,
        name=agent.name,
        base_url=base_url,
        token=token,
        profile=text_values(agent.identity_profile),
        identity=agent.identity_template,
        soul=agent.soul_template,
        heartbeat_interval=_format_interval(interval) if interval else "",
        gets_heartbeats=bool(interval) and not agent.calls_only_for_messages,
        session_key=session_key_of(agent),
        workspace=(
            workspace_path(gateway.workspace_root, session_key_of(agent))
            if gateway and not agent.is_linked
            else ""  # of linked agents it is unknown
        ),
        board=next((board_facts(*one) for one in served if one[0].id == agent.board_id), None),
        person=person_facts(person) if person else None,
        gateway_name=gateway.name if gateway else "",
        boards=[
            ServedBoard(id=board.id, name=board.name, lead_name=lead.name if lead else None)
            for board, lead in served
            if agent.board_id is None
            and board.gateway_id == agent.gateway_id
            and board.organization_id == agent.organization_id
        ],
        is_imported=agent.provisioning_state.is_imported,
    )


def _format_interval(interval: timedelta) -> str:
    """Return an interval in its largest unit without a remainder, as the API writes it."""
    seconds = max(1, round(interval.total_seconds()))
    units = {"h": 3600, "m": 60, "s": 1}
    return next(f"{seconds // size}{unit}" for unit, size in units.items() if not seconds % size)


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
    present, approval = board_facts(board, None), {"require_approval_for_done"}
    would_be = replace(
        present,
        board_type=draft.board_type,
        objective=draft.objective,
        success_metrics=draft.success_metrics,
        target_date=draft.target_date,
        goal_confirmed=True,
        rules=(
            present.rules | approval
            if draft.require_approval_for_done
            else present.rules - approval
        ),
        lead_name=draft.name,
        lead_profile=draft.profile,
    )
    known = {one.name for one in fields(PersonFacts)}
    new = {name: value for name, value in person.items() if name in known and value is not None}
    facts = AgentFacts(
        role=AgentRole.LEAD,
        agent_id=None,
        name=draft.name,
        base_url=base_url,
        token=TOKEN_LABEL,
        profile=draft.profile,
        soul=draft.soul,
        gateway_name=draft.gateway,
        session_key=draft.session_key,
        workspace=draft.workspace,
        board=would_be,
        person=replace(person_facts(user), **new),
    )
    return LeadPreview(
        files=render_files(facts),
        first_message=render_first_message(facts),
        rules=would_be.rules,
        max_agents=would_be.max_agents,
    )
