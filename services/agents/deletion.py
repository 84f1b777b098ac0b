"""Deletion of agents: immediate, or after the gateway has removed them."""

from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import ColumnElement, select
from sqlalchemy.ext.asyncio import AsyncSession

from core.clock import now
from core.errors import Forbidden, NotFound
from core.text import N_
from models import Actor, Agent, AgentStatus, Board, EventType, Member, User
from services import boards, desired_state, events
from services.agents import rules
from services.agents.events import agent_event
from services.agents.queries import agent_moved
from services.hooks import Hook


@dataclass(frozen=True)
class AgentDeparture:
    """An agent that leaves a locked board: it is deleted, or moves to another board."""

    actor: Actor
    board: Board
    agent: Agent


AGENT_DEPARTURE: Hook[AgentDeparture, events.NewEvent] = Hook("AGENT_DEPARTURE")
"""An agent is about to leave its board; the returned events are recorded before its own."""


async def delete_agent(
    session: AsyncSession, user: User, agent_id: UUID, *, force: bool = False
) -> bool:
    """Delete an agent, and return its tasks to the inbox. A missing agent is no error.

    An agent on a gateway is first removed there, and has the status `deleting` until then. `force`
    deletes it at once and leaves its data on the gateway. Return whether the removal from the
    gateway is still pending. Raises Forbidden unless the user is an admin, and Conflict if the
    agent was moved while waiting for the lock of its board.
    """
    board = await boards.lock_board_of_agent(session, user, agent_id)
    own_organizations = select(Member.organization_id).where(Member.user_id == user.id)
    agent = await _find_agent(session, agent_id, Agent.organization_id.in_(own_organizations))
    if agent is None:
        return False
    if agent.board_id != (board.id if board else None):
        raise agent_moved()
    if board is None:
        await _require_admin_of(session, user.id, agent.organization_id)
    return await _delete(session, user, board, agent, force=force)


async def delete_worker(session: AsyncSession, lead: Agent, board: Board, agent_id: UUID) -> None:
    """Delete a worker on behalf of the lead of its locked board; otherwise like `delete_agent`.

    Raises Forbidden, and NotFound if the agent works on another board.
    """
    in_organization = Agent.organization_id == lead.organization_id
    agent = await _find_agent(session, agent_id, in_organization)
    if agent is None:
        return
    _check_lead_may_delete(lead, board, agent)
    await boards.check_agent_may_work(session, board, lead)
    await _delete(session, lead, board, agent)


async def remove_board_agents(
    session: AsyncSession, deletion: "boards.BoardDeletion"
) -> list[events.NewEvent]:
    """Request the removal of a board's agents from their gateways; their rows go with the board."""
    actor, board = deletion.actor, deletion.board
    await desired_state.orphan_agents(session, Agent.board_id == board.id)
    query = select(Agent).where(Agent.board_id == board.id).order_by(Agent.created_at, Agent.id)
    return [
        agent_event(EventType.AGENT_DELETED, actor, board, agent)
        for agent in await session.scalars(query)
    ]


async def _delete(
    session: AsyncSession,
    actor: Actor,
    board: Board | None,
    agent: Agent,
    *,
    force: bool = False,
) -> bool:
    new_events: list[events.NewEvent] = []
    if board is not None:
        new_events += await AGENT_DEPARTURE.run(session, AgentDeparture(actor, board, agent))
    led_board = board if agent.is_board_lead else None
    status_before = rules.compute_status(agent, None, now())
    is_removal_pending = await desired_state.request_removal(session, agent, force=force)
    if led_board is not None:
        await desired_state.request_board_sync(session, led_board)
    if not is_removal_pending:
        new_events.append(agent_event(EventType.AGENT_DELETED, actor, board, agent))
    elif status_before != AgentStatus.DELETING:
        status_change = {"from": status_before, "to": AgentStatus.DELETING}
        new_events.append(
            agent_event(EventType.AGENT_STATUS_CHANGED, actor, board, agent, **status_change)
        )
    await events.record_events(session, new_events)
    return is_removal_pending


async def _find_agent(
    session: AsyncSession, agent_id: UUID, condition: ColumnElement[bool]
) -> Agent | None:
    """Return the current row of an agent that meets the condition, or None."""
    query = select(Agent).where(Agent.id == agent_id, condition)
    return await session.scalar(query.execution_options(populate_existing=True))


def _check_lead_may_delete(lead: Agent, board: Board, agent: Agent) -> None:
    """Raise Forbidden or NotFound unless the agent is a worker on the lead's board."""
    if not lead.is_board_lead or lead.board_id != board.id:
        raise Forbidden("lead_required", "Only the board's lead lets agents go.")
    if agent.board_id is None:
        raise Forbidden("gateway_main_stays", "The gateway's own agent is not a lead's to let go.")
    if agent.board_id != board.id:
        raise NotFound("agent_not_found", N_("There is no such agent on this board."))
    if agent.is_board_lead:
        raise Forbidden("lead_stays", "Only an admin lets the board's lead go.")


async def _require_admin_of(session: AsyncSession, user_id: UUID, organization_id: UUID) -> None:
    query = select(Member).where(
        Member.user_id == user_id, Member.organization_id == organization_id
    )
    member = await session.scalar(query)
    if member is None or not member.is_admin:
        raise Forbidden("admin_required", N_("Only an admin of the organization can do that."))
