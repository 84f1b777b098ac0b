"""Agents come and change."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import func, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession

from kit.clock import now
from kit.errors import Conflict, Forbidden, Invalid
from kit.values import checked
from models import Actor, Agent, AgentStatus, Board, EventType, Member, User, new_id
from services import events, provisioning, tasks
from services.agents.fields import CHECKS, AgentDraft
from services.agents.finding import hold
from services.agents.presence import arrived
from services.agents.rules import OFFLINE_AFTER
from services.agents.souls import SOUL_FILE
from services.agents.telling import happened
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
) -> tuple[Agent, str | None]:
    """Make an agent for a board that is held, and return it with its token, which is shown once.

    An agent on a gateway is brought there, and its token is shown to nobody but itself.
    An admin, who holds the board as one, may; and the board's lead as long as there are fewer
    workers than `max_agents`. Only an admin makes a lead. Raises Forbidden, Invalid and Conflict.
    """
    if isinstance(actor, Agent):
        await _lead_may_create(session, actor, board, is_board_lead=is_board_lead)
    agent = await _new(session, board, draft, is_board_lead=is_board_lead)
    token = await _first_token(session, agent)
    if is_board_lead:
        await provisioning.ask_crew(session, board)
    created = happened(EventType.AGENT_CREATED, actor, board, agent, lead=is_board_lead)
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
    linked = happened(
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
) -> tuple[Agent, str | None]:
    """Make an agent that checks in before anybody made it; else as `create` does for an admin."""
    agent = await _new(session, board, AgentDraft(name=name))
    seen = arrived(agent, board, status=status, offline_after=offline_after)
    token = await _first_token(session, agent)
    created = happened(EventType.AGENT_CREATED, user, board, agent, lead=False)
    await events.record_all(session, [created, *seen])
    return agent, token


async def change(
    session: AsyncSession, member: Member, agent_id: UUID, changes: Mapping[str, Any]
) -> Agent:
    """Change an agent, or move it to another board. Only the keys that are there count.

    Who moves leaves its tasks behind, and leads no more. Another soul comes in place of what the
    agent has made of the one before. A change of nothing is not recorded.
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
        news = await tasks.release(session, left, agent) if left else ()
    led = agent.is_board_lead
    new = {name: value for name, value in new.items() if getattr(agent, name) != value}
    if not new:
        return agent
    for name, value in new.items():
        setattr(agent, name, value)
    agent.updated_at = now()
    await session.flush()
    over = [SOUL_FILE] if "soul_template" in new else []
    await _tell_gateways(session, agent, left, board, led=led, overwrite=over)
    told = tasks.happened(member.user, left, news) if left else []
    changed = happened(EventType.AGENT_UPDATED, member.user, board, agent, changed=sorted(new))
    await events.record_all(session, [*told, changed])
    return agent


async def _first_token(session: AsyncSession, agent: Agent) -> str | None:
    """Give a new agent a token, if somebody has to bring it there."""
    return None if agent.desired_state else await add_token(session, agent)


async def _tell_gateways(
    session: AsyncSession,
    agent: Agent,
    left: Board | None,
    board: Board | None,
    *,
    led: bool,
    overwrite: Collection[str],
) -> None:
    """Have an agent that was changed, or moved to a board, be on its gateway as it is now.

    Whom it leads, or has led, is told of it as well.
    """
    moved: Sequence[Agent] = ()
    if board is not None and board is not left and (agent.gateway_id or board.gateway_id):
        moved = await provisioning.move(session, Agent.id == agent.id, board.gateway_id)
    is_told = led and left is not None and not overwrite  # with the others
    if agent.gateway_id is not None and not moved and not is_told:
        await provisioning.ask(session, Agent.id == agent.id, overwrite=overwrite)
    if led and left is not None:
        await provisioning.ask_crew(session, left)


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
        provisioning.begin(agent)
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
    workers = select(func.count()).where(
        Agent.board_id == board.id, Agent.is_board_lead.is_(False), provisioning.STAYS
    )
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
        Agent.board_id == board.id, func.lower(Agent.name) == func.lower(name), provisioning.STAYS
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
