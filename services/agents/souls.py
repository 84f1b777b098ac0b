"""Souls: what an agent is like, in its own words or its lead's."""

from uuid import UUID

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from kit.clock import now
from kit.errors import Forbidden, Invalid
from kit.values import optional, text
from models import Agent, Board, EventType
from services import events, provisioning
from services.agents.fields import template
from services.agents.finding import not_found

LONGEST_REASON = 2_000  # characters

SOUL_FILE = "SOUL.md"
"""The file that has an agent's soul. Who gives it another one wants it there."""

_note = optional(text(LONGEST_REASON))


async def on_board(session: AsyncSession, board: Board, agent_id: UUID) -> Agent:
    """Return an agent of a board. Raises NotFound, also for agents that look after a gateway."""
    query = select(Agent).where(Agent.id == agent_id, Agent.board_id == board.id)
    agent = await session.scalar(query.execution_options(populate_existing=True))
    if agent is None:
        raise not_found()
    return agent


async def soul(session: AsyncSession, reader: Agent, board: Board, agent_id: UUID) -> str:
    """Return the soul of an agent of this board, "" if it has none, to its lead or to itself.

    Raises NotFound and Forbidden.
    """
    agent = await on_board(session, board, agent_id)
    if agent.id != reader.id and not reader.is_board_lead:
        raise Forbidden("soul_read_forbidden", "A soul is read by its agent and the board's lead.")
    return agent.soul_template or ""


async def write_soul(
    session: AsyncSession,
    lead: Agent,
    board: Board,
    agent_id: UUID,
    content: str,
    *,
    source_url: str | None = None,
    reason: str | None = None,
) -> Agent:
    """Give an agent of a board that is held another soul. It is plain text, never a program.

    It comes to the agent's gateway in place of what the agent has made of the one before.
    Raises NotFound, and Invalid about the content.
    """
    written = template(content, "content")
    if written is None:
        raise Invalid("blank", "A soul says something.", field="content")
    told = {"source_url": _note(source_url, "source_url"), "reason": _note(reason, "reason")}
    agent = await on_board(session, board, agent_id)
    agent.soul_template = written
    agent.updated_at = now()
    await session.flush()
    if agent.gateway_id is not None:
        await provisioning.ask(session, Agent.id == agent.id, overwrite=[SOUL_FILE])
    await events.record(
        session,
        EventType.AGENT_SOUL_UPDATED,
        lead,
        organization_id=board.organization_id,
        board=board,
        about=agent,
        data={"name": agent.name, "by": lead.name} | {k: v for k, v in told.items() if v},
    )
    return agent
