"""Agents go: here at once, or once their gateway is rid of them."""

from uuid import UUID

from sqlalchemy import ColumnElement, select
from sqlalchemy.ext.asyncio import AsyncSession

from kit.clock import now
from kit.errors import Forbidden, NotFound
from models import Actor, Agent, AgentStatus, Board, EventType, Member, User
from services import boards, events, provisioning, tasks
from services.agents import rules
from services.agents.finding import moved
from services.agents.telling import happened


async def delete(session: AsyncSession, user: User, agent_id: UUID, *, force: bool = False) -> None:
    """Delete an agent, and put its work back into the inbox. One that is not there is no trouble.

    An agent on a gateway is removed from there first; until then it is shown as one that goes.
    `force` forgets it at once, and what the gateway has of it stays there.

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
    await _remove(session, user, board, agent, force=force)


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


async def _remove(
    session: AsyncSession,
    actor: Actor,
    board: Board | None,
    agent: Agent,
    *,
    force: bool = False,
) -> None:
    news = await tasks.release(session, board, agent) if board else ()
    led = board if agent.is_board_lead else None
    was = rules.status(agent, now())
    is_to_come = await provisioning.leave(session, agent, force=force)
    if led is not None:
        await provisioning.ask_crew(session, led)
    told = tasks.happened(actor, board, news) if board else []
    if not is_to_come:
        told.append(happened(EventType.AGENT_DELETED, actor, board, agent))
    elif was != AgentStatus.DELETING:
        goes = {"from": was, "to": AgentStatus.DELETING}
        told.append(happened(EventType.AGENT_STATUS_CHANGED, actor, board, agent, **goes))
    await events.record_all(session, told)


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
