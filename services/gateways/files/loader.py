"""Load the facts for agents' files: a fixed number of queries for any number of agents."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import fields
from functools import partial
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import aliased

from models import Agent, Board, Event, EventType, Gateway, Member, User
from models import Role as MemberRole
from services import boards
from services.gateways import provisioning
from services.gateways.files.facts import (
    AgentFacts,
    AgentRole,
    BoardFacts,
    PersonFacts,
    ServedBoard,
    session_key_of,
    workspace_path,
)
from services.gateways.files.merge_plan import plan_files
from services.gateways.files.renderer import render_files, render_first_message, render_scratch
from services.gateways.provisioning import AgentFileBundle, BundleBuilder, BundleLoader

BoardsWithLeads = Sequence[tuple[Board, Agent | None]]
"""Boards with their leads."""


async def load_agent_facts(
    session: AsyncSession, agent: Agent, *, base_url: str, token: str = ""
) -> AgentFacts:
    """Return the facts for one agent."""
    tokens = {agent.id: token}
    found = await load_facts(session, [agent], base_url=base_url, tokens=tokens)
    return found[agent.id]


async def load_facts(
    session: AsyncSession,
    agents: Sequence[Agent],
    *,
    base_url: str,
    tokens: Mapping[UUID, str],
) -> dict[UUID, AgentFacts]:
    """Return the facts for each of these agents, by id.

    `tokens` are their own tokens, decrypted. Without one the file has no token.
    """
    gateways = await _load_gateways(session, {one.gateway_id for one in agents if one.gateway_id})
    served = await _load_boards(session, agents)
    people = await _load_people(session, agents)
    return {
        agent.id: _make_facts(agent, gateways, served, people, base_url, tokens.get(agent.id, ""))
        for agent in agents
    }


def role_of(agent: Agent) -> AgentRole:
    """Return the role of an agent."""
    if agent.board_id is None:
        return AgentRole.MAIN
    return AgentRole.LEAD if agent.is_board_lead else AgentRole.WORKER


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
    return PersonFacts(
        **{name: getattr(user, name) for name in [one.name for one in fields(PersonFacts)]}
    )


def text_values(profile: Mapping[str, object] | None) -> dict[str, str]:
    """Return the values of a profile as text; imported rows may have other types."""
    return {name: str(said) for name, said in (profile or {}).items() if said is not None}


def _make_facts(
    agent: Agent,
    gateways: Mapping[UUID, Gateway],
    served: BoardsWithLeads,
    people: Mapping[UUID, User],
    base_url: str,
    token: str,
) -> AgentFacts:
    gateway = gateways.get(agent.gateway_id) if agent.gateway_id else None
    interval = provisioning.heartbeat_interval(agent)
    is_quiet = provisioning.has_quiet_heartbeat(agent, is_paused=False)
    is_quiet = is_quiet or interval == provisioning.NEVER
    person = people.get(agent.board_id or agent.id) or people.get(agent.organization_id)
    return AgentFacts(
        role=role_of(agent),
        agent_id=agent.id,
        name=agent.name,
        base_url=base_url,
        token=token,
        profile=text_values(agent.identity_profile),
        identity=agent.identity_template,
        soul=agent.soul_template,
        heartbeat_interval=interval,
        has_quiet_heartbeat=is_quiet,
        session_key=session_key_of(agent),
        workspace=_workspace_of(agent, gateway),
        board=next((board_facts(*one) for one in served if one[0].id == agent.board_id), None),
        person=person_facts(person) if person else None,
        gateway_name=gateway.name if gateway else "",
        boards=_served_boards(agent, served) if agent.board_id is None else (),
    )


def _workspace_of(agent: Agent, gateway: Gateway | None) -> str:
    """Return the folder of an agent that we created; of linked agents it is unknown."""
    if gateway is None or agent.is_linked:
        return ""
    return workspace_path(gateway.workspace_root, session_key_of(agent))


def _served_boards(main: Agent, served: BoardsWithLeads) -> Sequence[ServedBoard]:
    return [
        ServedBoard(id=board.id, name=board.name, lead_name=lead.name if lead else None)
        for board, lead in served
        if board.gateway_id == main.gateway_id and board.organization_id == main.organization_id
    ]


async def _load_gateways(session: AsyncSession, ids: Collection[UUID]) -> dict[UUID, Gateway]:
    if not ids:
        return {}
    found = await session.scalars(select(Gateway).where(Gateway.id.in_(ids)))
    return {gateway.id: gateway for gateway in found}


async def _load_boards(session: AsyncSession, agents: Sequence[Agent]) -> BoardsWithLeads:
    """Return the boards of these agents, and those of gateways that they manage."""
    lead = aliased(Agent)
    own = {agent.board_id for agent in agents if agent.board_id}
    managed = {agent.gateway_id for agent in agents if agent.board_id is None}
    query = (
        select(Board, lead)
        .outerjoin(lead, (lead.board_id == Board.id) & lead.is_board_lead)
        .where(Board.id.in_(own) | Board.gateway_id.in_(managed))
        .order_by(Board.name, Board.id)
    )
    return [(board, lead) for board, lead in await session.execute(query)]


async def _load_people(session: AsyncSession, agents: Sequence[Agent]) -> dict[UUID, User]:
    """Return the users that agents work for, by id of board or organization.

    On a board it is the user who confirmed its goal last; otherwise the organization's first owner.
    """
    confirmed = (
        select(Event.board_id, User)
        .join(User, User.id == Event.user_id)
        .join(
            Member,
            (Member.user_id == User.id) & (Member.organization_id == Event.organization_id),
        )
        .where(
            Event.type == EventType.ONBOARDING_CONFIRMED,
            Event.board_id.in_({agent.board_id for agent in agents if agent.board_id}),
        )
        .order_by(Event.seq)
    )
    owners = (
        select(Member.organization_id, User)
        .join(User, User.id == Member.user_id)
        .where(
            Member.organization_id.in_({agent.organization_id for agent in agents}),
            Member.role == MemberRole.OWNER,
        )
        .order_by(Member.created_at.desc(), Member.id.desc())
    )
    found = [*await session.execute(owners), *await session.execute(confirmed)]
    return {id: user for id, user in found if id}


def bundle_loader(base_url: str) -> BundleLoader:
    """Return the function that loads agents' bundles. Agents call us at this address."""

    async def load_bundles(
        session: AsyncSession, agents: Sequence[Agent], tokens: Mapping[UUID, str]
    ) -> Mapping[UUID, BundleBuilder]:
        found = await load_facts(session, agents, base_url=base_url, tokens=tokens)
        return {id: partial(render_bundle, facts) for id, facts in found.items()}

    return load_bundles


def render_bundle(facts: AgentFacts) -> AgentFileBundle:
    """Render the files and texts of one agent."""
    ours = render_files(facts)
    return AgentFileBundle(
        workspace=facts.workspace,
        files=tuple(ours),
        plan=partial(plan_files, ours),
        scratch=render_scratch(facts),
        first_message=render_first_message(facts),
    )
