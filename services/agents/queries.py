"""Queries for agents: one, several or pages of them, and locking an agent with its board."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta
from functools import cache
from operator import itemgetter
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import DateTime, Interval, ScalarSelect, Select, Uuid, bindparam, func, or_, select
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.ext.asyncio import AsyncSession

from core.clock import now
from core.db.reads import Query, Source, set_loaded_values
from core.errors import Conflict, Forbidden, NotFound
from core.paging import Page, PagedQuery, Paging
from core.text import N_
from models import Agent, Board, Gateway, Member, Organization, User
from services import boards, desired_state, organizations
from services.agents.rules import OFFLINE_AFTER, online_condition
from services.messages import IS_HELD_BY_BREAKER, LEAD_MENTION, extract_mentions

CHECK_DELAY = timedelta(seconds=5)  # the result of a check is stored later than it is obtained
NEWEST_FIRST = (Agent.created_at.desc(), Agent.id.desc())


async def get_agent(source: Source, member: Member, agent_id: UUID) -> Agent:
    """Return an agent of the organization, for its admins.

    Raises NotFound, and Forbidden if the member is not an admin or may not read the agent's board.
    """
    organizations.require_admin(member)
    found = await READABLE_AGENT.first(
        source, agent_id=agent_id, **boards.access_parameters(member)
    )
    if found is None:
        raise agent_not_found()
    agent, reads = found
    if agent.board_id is not None and not reads:
        raise Forbidden("board_read_forbidden", N_("You may not read this agent's board."))
    return agent


_ACCESS = boards.USER_BOARDS.subquery()
READABLE_AGENT: Query[tuple[Agent, bool | None]] = Query(
    select(Agent, _ACCESS.c.reads)
    .outerjoin(_ACCESS, _ACCESS.c.id == Agent.board_id)
    .where(
        Agent.id == bindparam("agent_id"),
        Agent.organization_id == bindparam("organization_id"),
    )
    .execution_options(populate_existing=True)
)


async def get_visible_agent(source: Source, user: User, agent_id: UUID) -> Agent:
    """Return an agent of the user's organizations, with gateway, board and organization loaded.

    The user must be able to read its board; agents without a board are for admins. Raises NotFound
    and Forbidden.
    """
    found = await VISIBLE_AGENT.first(source, agent_id=agent_id, user_id=user.id)
    if found is None:
        raise agent_not_found()
    agent, member, reads, gateway, board, organization = found
    if agent.board_id is None:
        organizations.require_admin(member)
    elif not reads:
        raise Forbidden("board_read_forbidden", N_("You may not read this agent's board."))
    set_loaded_values(agent, gateway=gateway, board=board, organization=organization)
    return agent


VISIBLE_AGENT: Query[tuple[Any, ...]] = Query(
    select(Agent, Member, _ACCESS.c.reads, Gateway, Board, Organization)
    .outerjoin(_ACCESS, _ACCESS.c.id == Agent.board_id)
    .join(
        Member,
        (Member.organization_id == Agent.organization_id)
        & (Member.user_id == bindparam("user_id")),
    )
    .join(Organization, Organization.id == Agent.organization_id)
    .outerjoin(Gateway, Gateway.id == Agent.gateway_id)
    .outerjoin(Board, Board.id == Agent.board_id)
    .where(Agent.id == bindparam("agent_id"))
    .execution_options(populate_existing=True)
)


async def lock_agent(
    session: AsyncSession, member: Member, agent_id: UUID, *, other_board_id: UUID | None = None
) -> tuple[Agent, dict[UUID, Board]]:
    """Lock the board of an agent, and return the agent and the locked boards by id.

    `other_board_id` is another board to lock. Raises NotFound and Forbidden like `get_agent`, and
    Conflict if the agent was moved while waiting for the lock. An agent that is already loaded in
    the session is not queried before the lock.
    """
    organizations.require_admin(member)
    agent = await session.get(Agent, agent_id)
    if agent is None or agent.organization_id != member.organization_id:
        raise agent_not_found()
    boards_by_id = await lock_boards(session, member, {agent.board_id, other_board_id} - {None})
    agent = await ORGANIZATION_AGENT.first(
        session, organization_id=member.organization_id, agent_id=agent_id
    )
    if agent is None:
        raise agent_not_found()
    if agent.board_id is not None and agent.board_id not in boards_by_id:
        raise agent_moved()
    return agent, boards_by_id


async def lock_boards(
    session: AsyncSession, member: Member, board_ids: Collection[UUID | None]
) -> dict[UUID, Board]:
    """Lock boards for an admin, in order of id. Raises NotFound or Forbidden."""
    ids = sorted(id for id in board_ids if id is not None)
    return {id: await boards.lock_board_as_admin(session, member, id) for id in ids}


IN_ORGANIZATION = select(Agent).where(Agent.organization_id == bindparam("organization_id"))
ORGANIZATION_AGENT: Query[Agent] = Query(
    IN_ORGANIZATION.where(Agent.id == bindparam("agent_id")).execution_options(
        populate_existing=True
    ),
    itemgetter(0),
)
AGENTS_BY_ID: Query[Agent] = Query(
    IN_ORGANIZATION.where(Agent.id == func.any(bindparam("agent_ids", type_=ARRAY(Uuid())))),
    itemgetter(0),
)


async def load_agents(
    source: Source, organization_id: UUID, agent_ids: Collection[UUID]
) -> dict[UUID, Agent]:
    """Return those of the given agents that belong to the organization, by id."""
    if not agent_ids:
        return {}
    found = await AGENTS_BY_ID.fetch(
        source, organization_id=organization_id, agent_ids=list(agent_ids)
    )
    return {agent.id: agent for agent in found}


async def list_changed_presences(
    source: Source,
    organization_id: UUID,
    since: datetime,
    at: datetime,
    *,
    offline_after: timedelta,
) -> Sequence[tuple[Agent, Gateway | None]]:
    """Return the agents, with their gateways, whose presence may have changed between two times.

    They have called, or their gateway was checked, or they were online and are not by now.
    """
    times = {"since": since, "at": at, "offline_after": offline_after}
    return await _build_presence_query().fetch(source, organization_id=organization_id, **times)


@cache
def _build_presence_query() -> Query[tuple[Agent, Gateway | None]]:
    since, at = (bindparam(name, type_=DateTime(timezone=True)) for name in ("since", "at"))
    offline_after = bindparam("offline_after", type_=Interval())
    has_ended = online_condition(since, offline_after) & ~online_condition(at, offline_after)
    was_checked = Gateway.checked_at > since - CHECK_DELAY
    is_changed = or_(Agent.last_seen_at > since, was_checked, has_ended)
    query = select(Agent, Gateway).outerjoin(Gateway, Gateway.id == Agent.gateway_id)
    in_organization = Agent.organization_id == bindparam("organization_id")
    return Query(query.where(in_organization, is_changed).order_by(Agent.id))


def agent_not_found() -> NotFound:
    """Build the error for an agent that does not exist or that the caller may not see."""
    return NotFound("agent_not_found", N_("There is no such agent."))


def agent_moved() -> Conflict:
    """Build the error for an agent that was moved while waiting for the lock of its board."""
    return Conflict("agent_moved", N_("The agent was moved meanwhile. Try again."))


async def list_agents(
    source: Source,
    member: Member,
    paging: Paging,
    *,
    board_id: UUID | None = None,
    gateway: Gateway | None = None,
) -> Page[Agent]:
    """Return the agents of the boards that an admin may read, and of gateways, newest first.

    `board_id` and `gateway` limit the result. Their gateways are loaded. Raises Forbidden, and
    NotFound for a board of another organization.
    """
    organizations.require_admin(member)
    if board_id is not None:
        await boards.get_board(source, member, board_id)
    query = _build_list_query(on_board=board_id is not None, on_gateway=gateway is not None)
    return await query.fetch_page(
        source,
        paging,
        board_id=board_id,
        gateway_id=gateway.id if gateway else None,
        **boards.access_parameters(member),
    )


@cache
def _build_list_query(*, on_board: bool, on_gateway: bool) -> PagedQuery[Agent]:
    query = _select_visible(on_board=on_board)
    if on_gateway:
        query = query.where(Agent.gateway_id == bindparam("gateway_id"))
    return PagedQuery(_join_gateway(query).order_by(*NEWEST_FIRST), _set_gateway)


async def list_agents_for_agent(
    source: Source, agent: Agent, paging: Paging, *, board_id: UUID | None = None
) -> Page[Agent]:
    """Return the agents on the same board as an agent, with their gateways, newest first.

    Raises Forbidden for another board.
    """
    parameters = boards.access_parameters(agent)
    if board_id is not None:
        parameters["board_id"] = (await boards.get_board(source, agent, board_id)).id
    query = _build_colleagues_query(on_board=board_id is not None)
    return await query.fetch_page(source, paging, **parameters)


@cache
def _build_colleagues_query(*, on_board: bool) -> PagedQuery[Agent]:
    if on_board:
        query = IN_ORGANIZATION.where(Agent.board_id == bindparam("board_id"))
    else:
        query = IN_ORGANIZATION.where(Agent.board_id.in_(boards.AGENT_BOARD_IDS))
    return PagedQuery(_join_gateway(query).order_by(*NEWEST_FIRST), _set_gateway)


async def find_agent_by_name(
    source: Source, member: Member, name: str, *, board_id: UUID | None = None
) -> Agent | None:
    """Return the oldest agent with exactly this name on a board that an admin may read, or None.

    One that its gateway still has to remove is not found: another one may have its name. Raises
    Forbidden.
    """
    organizations.require_admin(member)
    query = _build_name_query(on_board=board_id is not None)
    parameters = boards.access_parameters(member) | {"board_id": board_id}
    return await query.first(source, name=name, **parameters)


@cache
def _build_name_query(*, on_board: bool) -> Query[Agent]:
    query = _select_visible(on_board=on_board)
    query = query.where(Agent.name == bindparam("name"), desired_state.IS_NOT_BEING_REMOVED)
    return Query(query.order_by(Agent.created_at, Agent.id).limit(1), itemgetter(0))


def _select_visible(*, on_board: bool) -> Select[Agent]:
    """Select the agents of readable boards and those of gateways, or those of one board."""
    readable = Agent.board_id.in_(boards.READABLE_BOARD_IDS)
    if on_board:
        return select(Agent).where(readable, Agent.board_id == bindparam("board_id"))
    return IN_ORGANIZATION.where(or_(readable, Agent.board_id.is_(None)))


def _join_gateway(query: Select[Agent]) -> Select[Agent, Gateway | None]:
    return query.outerjoin(Gateway, Gateway.id == Agent.gateway_id).add_columns(Gateway)


def _set_gateway(row: tuple[Agent, Gateway | None]) -> Agent:
    agent, gateway = row
    set_loaded_values(agent, gateway=gateway)
    return agent


ON_BOARD = select(Agent).where(Agent.board_id == bindparam("board_id"))
BOARD_AGENTS: Query[Agent] = Query(
    ON_BOARD.order_by(Agent.is_board_lead.desc(), Agent.name, Agent.id), itemgetter(0)
)
NEWEST_BOARD_AGENTS: Query[Agent] = Query(
    _join_gateway(ON_BOARD).order_by(*NEWEST_FIRST), _set_gateway
)
"""The agents of a board with their gateways."""

BOARD_AGENT: Query[Agent] = Query(
    ON_BOARD.where(Agent.id == bindparam("agent_id")).execution_options(populate_existing=True),
    itemgetter(0),
)
AGENTS_OF_BOARDS: Query[Agent] = Query(
    select(Agent)
    .where(Agent.board_id == func.any(bindparam("board_ids", type_=ARRAY(Uuid()))))
    .order_by(Agent.board_id, Agent.is_board_lead.desc(), Agent.name, Agent.id),
    itemgetter(0),
)
BOARD_LEAD: Query[Agent] = Query(ON_BOARD.where(Agent.is_board_lead), itemgetter(0))


async def list_board_agents(source: Source, board: Board) -> Sequence[Agent]:
    """Return the agents of a board: the lead first, the others by name."""
    return await BOARD_AGENTS.fetch(source, board_id=board.id)


async def list_agents_of_boards(source: Source, found: Collection[Board]) -> Sequence[Agent]:
    """Return the agents of several boards: of each board the lead first, the others by name."""
    return await AGENTS_OF_BOARDS.fetch(source, board_ids=[board.id for board in found])


def build_online_count() -> ScalarSelect[int]:
    """Count the online agents of a board in a statement about boards.

    Its parameters are `agents_at` and `offline_after`.
    """
    is_online = online_condition(
        bindparam("agents_at", type_=DateTime(timezone=True)),
        bindparam("offline_after", type_=Interval()),
    )
    count = select(func.count()).select_from(Agent).where(Agent.board_id == Board.id, is_online)
    return count.correlate(Board).scalar_subquery()


async def count_online_agents(
    source: Source, found: Collection[Board], *, offline_after: timedelta = OFFLINE_AFTER
) -> Mapping[UUID, int]:
    """Return the number of online agents of boards that the caller may read, by board."""
    parameters = {"agents_at": now(), "offline_after": offline_after}
    ids = [board.id for board in found]
    return dict(await ONLINE_COUNTS.fetch(source, board_ids=ids, **parameters))


ONLINE_COUNTS: Query[tuple[UUID, int]] = Query(
    select(Board.id, build_online_count()).where(
        Board.id == func.any(bindparam("board_ids", type_=ARRAY(Uuid())))
    )
)


async def get_board_agent(source: Source, board: Board, agent_id: UUID) -> Agent:
    """Return an agent of a board. Raises NotFound, also for agents of gateways."""
    agent = await BOARD_AGENT.first(source, board_id=board.id, agent_id=agent_id)
    if agent is None:
        raise agent_not_found()
    return agent


async def is_lead_missing(source: Source, board: Board, text: str) -> bool:
    """Return whether a text mentions the lead of a board that has none."""
    if LEAD_MENTION not in extract_mentions(text):
        return False
    return await find_board_lead(source, board) is None


async def find_board_lead(source: Source, board: Board) -> Agent | None:
    """Return the lead of a board, if there is one."""
    return await BOARD_LEAD.first(source, board_id=board.id)


async def find_first_agent(source: Source, member: Member) -> Agent | None:
    """Return an agent that has called, or else the oldest one, of the member's readable boards."""
    parameters = boards.access_parameters(member)
    called = await CALLED_AGENT.first(source, **parameters)
    return called or await OLDEST_AGENT.first(source, **parameters)


ON_READABLE_BOARDS = IN_ORGANIZATION.where(Agent.board_id.in_(boards.READABLE_BOARD_IDS))
CALLED_AGENT: Query[Agent] = Query(
    ON_READABLE_BOARDS.where(Agent.last_seen_at.is_not(None)).limit(1), itemgetter(0)
)
OLDEST_AGENT: Query[Agent] = Query(
    ON_READABLE_BOARDS.order_by(Agent.created_at, Agent.id).limit(1), itemgetter(0)
)


async def find_first_worker(source: Source, board: Board) -> Agent | None:
    """Return the first agent of a board by name that is not its lead, if there is one."""
    return await FIRST_WORKER.first(source, board_id=board.id)


FIRST_WORKER: Query[Agent] = Query(
    ON_BOARD.where(Agent.is_board_lead.is_(False)).order_by(Agent.name, Agent.id).limit(1),
    itemgetter(0),
)
MAX_HELD_SHOWN = 8  # of the agents of a board that are held


class HeldAgents(NamedTuple):
    """The first agents of a board that are held or paused, the longest held first, of `count`."""

    agents: Sequence[Agent] = ()
    count: int = 0


def build_held_agents(board_agents: Sequence[Agent]) -> HeldAgents:
    """Return those of all agents of a board that are held or paused."""
    held = [(agent.held_at, agent.id, agent) for agent in board_agents if agent.held_at]
    return HeldAgents([one[-1] for one in sorted(held)[:MAX_HELD_SHOWN]], len(held))


async def load_held_agents(source: Source, board: Board) -> HeldAgents:
    """Load the agents of a board that are held or paused."""
    rows = await HELD_AGENTS.fetch(source, board_id=board.id)
    return HeldAgents([agent for agent, _ in rows], rows[0][1]) if rows else HeldAgents()


HELD_AGENTS: Query[tuple[Agent, int]] = Query(
    select(Agent, func.count().over())
    .where(Agent.board_id == bindparam("board_id"), Agent.held_at.is_not(None))
    .order_by(Agent.held_at, Agent.id)
    .limit(MAX_HELD_SHOWN)
)


HELD_IDS: Query[UUID] = Query(
    select(Agent.id)
    .where(Agent.organization_id == bindparam("organization_id"), IS_HELD_BY_BREAKER)
    .order_by(Agent.held_at, Agent.id),
    itemgetter(0),
)
"""The ids of the agents of an organization that circuit breakers hold, the longest held first."""
