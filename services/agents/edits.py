"""Agents come, change and go."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, func, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession

from kit.clock import now
from kit.errors import Conflict, Forbidden, Invalid, NotFound
from kit.values import checked
from models import Actor, Agent, AgentStatus, Board, EventType, Member, User, new_id
from services import boards, events, tasks
from services.agents.fields import CHECKS, AgentDraft
from services.agents.finding import hold, moved
from services.agents.presence import arrived
from services.agents.rules import OFFLINE_AFTER
from services.agents.tokens import add_token


@dataclass(frozen=True)
class Home:
    """Where an agent lives that others made: on which gateway, and in which session there."""

    gateway_id: UUID
    session_key: str


async def create(
    session: AsyncSession,
    actor: Actor,
    board: Board,
    draft: AgentDraft,
    *,
    is_board_lead: bool = False,
) -> tuple[Agent, str]:
    """Make an agent for a board that is held, and return it with its token, which is shown once.

    An admin, who holds the board as one, may; and the board's lead as long as there are fewer
    workers than `max_agents`. Only an admin makes a lead. Raises Forbidden, Invalid and Conflict.
    """
    if isinstance(actor, Agent):
        await _lead_may_create(session, actor, board, is_board_lead=is_board_lead)
    agent = await _new(session, board, draft, is_board_lead=is_board_lead)
    token = await add_token(session, agent)
    created = _happened(EventType.AGENT_CREATED, actor, board, agent, lead=is_board_lead)
    await events.record_all(session, [created])
    return agent, token


async def link(
    session: AsyncSession,
    user: User,
    board: Board,
    draft: AgentDraft,
    home: Home,
    *,
    is_board_lead: bool = False,
) -> tuple[Agent, str]:
    """Write down an agent that others made on a gateway; else as `create` does for an admin.

    Raises Conflict as well where it is written down already.
    """
    agent = await _new(session, board, draft, is_board_lead=is_board_lead, home=home)
    await _write_linked(session)
    token = await add_token(session, agent)
    linked = _happened(
        EventType.AGENT_CREATED, user, board, agent, lead=is_board_lead, is_linked=True
    )
    await events.record_all(session, [linked])
    return agent, token


async def arrive(
    session: AsyncSession,
    user: User,
    board: Board,
    name: str,
    *,
    status: str | None = None,
    offline_after: timedelta = OFFLINE_AFTER,
) -> tuple[Agent, str]:
    """Make an agent that checks in before anybody made it; else as `create` does for an admin."""
    agent = await _new(session, board, AgentDraft(name=name))
    seen = arrived(agent, board, status=status, offline_after=offline_after)
    token = await add_token(session, agent)
    created = _happened(EventType.AGENT_CREATED, user, board, agent, lead=False)
    await events.record_all(session, [created, *seen])
    return agent, token


async def change(
    session: AsyncSession, member: Member, agent_id: UUID, changes: Mapping[str, Any]
) -> Agent:
    """Change an agent, or move it to another board. Only the keys that are there count.

    Who moves leaves its tasks behind, and leads no more. A change of nothing is not recorded.
    Raises NotFound, Forbidden, Invalid and Conflict.
    """
    goal = _board_wanted(changes)
    agent, held = await hold(session, member, agent_id, besides=goal)
    new = checked(CHECKS, changes)
    left = held[agent.board_id] if agent.board_id else None
    board = held[goal] if goal else left
    if board is not None and ("name" in new or board is not left):
        await _name_is_free(session, board, new.get("name", agent.name), besides=agent.id)
    news: Sequence[tasks.News] = ()
    if board is not None and board is not left:
        new |= {"board_id": board.id, "is_board_lead": False}
        if not agent.is_linked:  # it stays where others made it
            new["gateway_id"] = board.gateway_id
        news = await tasks.release(session, left, agent) if left else ()
    new = {name: value for name, value in new.items() if getattr(agent, name) != value}
    if not new:
        return agent
    for name, value in new.items():
        setattr(agent, name, value)
    agent.updated_at = now()
    told = tasks.happened(member.user, left, news) if left else []
    changed = _happened(EventType.AGENT_UPDATED, member.user, board, agent, changed=sorted(new))
    await events.record_all(session, [*told, changed])
    return agent


async def delete(session: AsyncSession, user: User, agent_id: UUID) -> None:
    """Delete an agent, and put its work back into the inbox. One that is not there is no trouble.

    An admin may. Raises Forbidden, and Conflict if the agent was moved while its board was waited
    for.
    """
    board = await boards.hold_of_agent(session, user, agent_id)
    mine = select(Member.organization_id).where(Member.user_id == user.id)
    agent = await _found(session, agent_id, Agent.organization_id.in_(mine))
    if agent is None:
        return
    if agent.board_id != (board.id if board else None):
        raise moved()
    if board is None:
        await _is_admin_where(session, user.id, agent.organization_id)
    await _remove(session, user, board, agent)


async def let_go(session: AsyncSession, lead: Agent, board: Board, agent_id: UUID) -> None:
    """Delete a worker of the board that a lead leads, and holds; else as `delete` does.

    Raises Forbidden, and NotFound if the agent works on another board.
    """
    own = Agent.organization_id == lead.organization_id
    agent = await _found(session, agent_id, own)
    if agent is None:
        return
    _check_lets_go(lead, board, agent)
    await _remove(session, lead, board, agent)


async def _remove(session: AsyncSession, actor: Actor, board: Board | None, agent: Agent) -> None:
    news = await tasks.release(session, board, agent) if board else ()
    await session.delete(agent)
    told = tasks.happened(actor, board, news) if board else []
    gone = _happened(EventType.AGENT_DELETED, actor, board, agent)
    await events.record_all(session, [*told, gone])


async def _new(
    session: AsyncSession,
    board: Board,
    draft: AgentDraft,
    *,
    is_board_lead: bool = False,
    home: Home | None = None,
) -> Agent:
    fields = checked(CHECKS, vars(draft))
    await _name_is_free(session, board, fields["name"])
    if is_board_lead:
        await _no_other_lead(session, board)
    agent = Agent(
        id=new_id(),
        organization_id=board.organization_id,
        board=board,
        board_id=board.id,
        gateway_id=board.gateway_id,
        status=AgentStatus.PROVISIONING,
        is_board_lead=is_board_lead,
        created_at=now(),
        updated_at=now(),
        **fields,
    )
    if home is None:
        agent.openclaw_session_id = agent.session_key
    else:
        agent.gateway_id, agent.openclaw_session_id = home.gateway_id, home.session_key
        agent.is_linked = True
    session.add(agent)
    return agent


async def _write_linked(session: AsyncSession) -> None:
    """Write an agent that others made. Who was quicker with the same one has it."""
    try:
        await session.flush()
    except IntegrityError as error:
        if "uq_agents_linked_once" not in str(error.orig):
            raise
        raise Conflict(
            "agent_already_linked", "This agent is linked already.", field="gateway_agent_id"
        ) from error


async def _lead_may_create(
    session: AsyncSession, actor: Agent, board: Board, *, is_board_lead: bool
) -> None:
    if not actor.is_board_lead or is_board_lead:
        raise Forbidden("lead_required", "Only the board's lead adds agents, and only workers.")
    workers = select(func.count()).where(Agent.board_id == board.id, Agent.is_board_lead.is_(False))
    if (await session.scalar(workers) or 0) >= board.max_agents:
        raise Conflict(
            "max_agents_reached",
            f"This board takes at most {board.max_agents} workers from its lead.",
            max_agents=board.max_agents,
        )


async def _name_is_free(
    session: AsyncSession, board: Board, name: str, *, besides: UUID | None = None
) -> None:
    same = select(Agent.id).where(
        Agent.board_id == board.id, func.lower(Agent.name) == func.lower(name)
    )
    if any(id != besides for id in await session.scalars(same)):
        raise Conflict(
            "agent_name_taken", "Another agent of this board has that name.", field="name"
        )


async def _no_other_lead(session: AsyncSession, board: Board) -> None:
    lead = select(Agent.name).where(Agent.board_id == board.id, Agent.is_board_lead)
    name = await session.scalar(lead)
    if name is not None:
        raise Conflict(
            "board_lead_exists", f"{name} leads this board already.", field="is_board_lead"
        )


def _board_wanted(changes: Mapping[str, Any]) -> UUID | None:
    """Return the board that an agent shall move to, if it shall."""
    if "status" in changes:
        raise Forbidden("agent_status_forbidden", "An agent's status is what it reports.")
    if changes.get("is_gateway_main"):
        raise Invalid(
            "gateway_required", "There is no gateway to look after.", field="is_gateway_main"
        )
    if "board_id" in changes and changes["board_id"] is None:
        raise Invalid("board_required", "An agent works on a board.", field="board_id")
    return changes.get("board_id")


async def _found(session: AsyncSession, agent_id: UUID, among: ColumnElement[bool]) -> Agent | None:
    """Return an agent as it is in the database now, if there is one among these."""
    query = select(Agent).where(Agent.id == agent_id, among)
    return await session.scalar(query.execution_options(populate_existing=True))


def _check_lets_go(lead: Agent, board: Board, agent: Agent) -> None:
    """Raise a refusal unless an agent leads the board on which the other one works."""
    if not lead.is_board_lead or lead.board_id != board.id:
        raise Forbidden("lead_required", "Only the board's lead lets agents go.")
    if agent.board_id is None:
        raise Forbidden("gateway_main_stays", "The gateway's own agent is not a lead's to let go.")
    if agent.board_id != board.id:
        raise NotFound("agent_not_found", "There is no such agent on this board.")
    if agent.is_board_lead:
        raise Forbidden("lead_stays", "Only an admin lets the board's lead go.")


async def _is_admin_where(session: AsyncSession, user_id: UUID, organization_id: UUID) -> None:
    query = select(Member).where(
        Member.user_id == user_id, Member.organization_id == organization_id
    )
    member = await session.scalar(query)
    if member is None or not member.is_admin:
        raise Forbidden("admin_required", "Only an admin of the organization can do that.")


def _happened(
    type: EventType, actor: Actor, board: Board | None, agent: Agent, **more: object
) -> events.Happened:
    return events.Happened(
        type,
        actor,
        organization_id=agent.organization_id,
        board=board,
        about=agent,
        data={"name": agent.name, **more},
    )
