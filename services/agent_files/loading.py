"""Finding what agents are told: for all agents of a gateway with as many questions as for one."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import fields
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import aliased

from models import Agent, Board, Event, EventType, Gateway, Member, User
from models import Role as MemberRole
from services import boards, provisioning
from services.agent_files import places
from services.agent_files.facts import BoardFacts, Facts, Neighbour, Person, Role

NEVER = "0m"
Served = Sequence[tuple[Board, Agent | None]]
"""Boards, each with its lead."""


async def facts_of(session: AsyncSession, agent: Agent, *, base_url: str, token: str = "") -> Facts:
    """Return what one agent is told."""
    tokens = {agent.id: token}
    found = await facts_for(session, [agent], base_url=base_url, tokens=tokens)
    return found[agent.id]


async def facts_for(
    session: AsyncSession,
    agents: Sequence[Agent],
    *,
    base_url: str,
    tokens: Mapping[UUID, str],
) -> dict[UUID, Facts]:
    """Return what each of these agents is told, by its id.

    `tokens` are their own tokens, opened; whoever is not in it gets a file without one.
    """
    gateways = await _gateways(session, {one.gateway_id for one in agents if one.gateway_id})
    served = await _boards(session, agents)
    people = await _people(session, agents)
    return {
        agent.id: _facts(agent, gateways, served, people, base_url, tokens.get(agent.id, ""))
        for agent in agents
    }


def role_of(agent: Agent) -> Role:
    """Return what an agent is for."""
    if agent.board_id is None:
        return Role.MAIN
    return Role.LEAD if agent.is_board_lead else Role.WORKER


def board_facts(board: Board, lead: Agent | None) -> BoardFacts:
    """Return what the agents of a board are told of it."""
    return BoardFacts(
        id=board.id,
        name=board.name,
        board_type=board.board_type,
        description=board.description,
        objective=board.objective,
        success_metrics=board.success_metrics,
        target_date=board.target_date,
        goal_confirmed=board.goal_confirmed,
        rules=frozenset(name for name in boards.RULES if getattr(board, name)),
        max_agents=board.max_agents,
        is_paused=board.paused_at is not None,
        lead=lead.name if lead else None,
        lead_profile=texts(lead.identity_profile) if lead else {},
    )


def person_facts(user: User) -> Person:
    """Return what agents are told of a person."""
    return Person(**{name: getattr(user, name) for name in [one.name for one in fields(Person)]})


def texts(profile: Mapping[str, object] | None) -> dict[str, str]:
    """Return who an agent is, as text: rows that were imported may hold more than that."""
    return {name: str(said) for name, said in (profile or {}).items() if said is not None}


def _facts(
    agent: Agent,
    gateways: Mapping[UUID, Gateway],
    served: Served,
    people: Mapping[UUID, User],
    base_url: str,
    token: str,
) -> Facts:
    gateway = gateways.get(agent.gateway_id) if agent.gateway_id else None
    key = places.session_key(agent)
    every = provisioning.every(agent)
    person = people.get(agent.board_id or agent.id) or people.get(agent.organization_id)
    is_main = agent.board_id is None
    return Facts(
        role=role_of(agent),
        agent_id=agent.id,
        name=agent.name,
        base_url=base_url,
        token=token,
        profile=texts(agent.identity_profile),
        identity=agent.identity_template,
        soul=agent.soul_template,
        every=every,
        is_quiet=every == NEVER or provisioning.is_quiet(agent, is_paused=False),
        session_key=key,
        workspace=_workspace(agent, gateway),
        board=next((board_facts(*one) for one in served if one[0].id == agent.board_id), None),
        person=person_facts(person) if person else None,
        gateway=gateway.name if gateway else "",
        boards=_neighbours(agent, served) if is_main else (),
    )


def _workspace(agent: Agent, gateway: Gateway | None) -> str:
    """Return the folder of an agent that we have made; of others, nobody here knows it."""
    if gateway is None or agent.is_linked:
        return ""
    return places.workspace(gateway.workspace_root, places.session_key(agent))


def _neighbours(main: Agent, served: Served) -> Sequence[Neighbour]:
    return [
        Neighbour(id=board.id, name=board.name, lead=lead.name if lead else None)
        for board, lead in served
        if board.gateway_id == main.gateway_id and board.organization_id == main.organization_id
    ]


async def _gateways(session: AsyncSession, ids: Collection[UUID]) -> dict[UUID, Gateway]:
    if not ids:
        return {}
    found = await session.scalars(select(Gateway).where(Gateway.id.in_(ids)))
    return {gateway.id: gateway for gateway in found}


async def _boards(session: AsyncSession, agents: Sequence[Agent]) -> Served:
    """Return the boards of these agents, and those that the gateways serve they look after."""
    lead = aliased(Agent)
    own = {agent.board_id for agent in agents if agent.board_id}
    looked_after = {agent.gateway_id for agent in agents if agent.board_id is None}
    query = (
        select(Board, lead)
        .outerjoin(lead, (lead.board_id == Board.id) & lead.is_board_lead)
        .where(Board.id.in_(own) | Board.gateway_id.in_(looked_after))
        .order_by(Board.name, Board.id)
    )
    return [(board, lead) for board, lead in await session.execute(query)]


async def _people(session: AsyncSession, agents: Sequence[Agent]) -> dict[UUID, User]:
    """Return for whom agents work, by board and by organization.

    On a board that is who confirmed its goal last; else it is the organization's first owner.
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
    return {place_id: user for place_id, user in found if place_id}
