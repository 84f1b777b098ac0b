"""Pause and resume the agents of a board."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import bindparam, select
from sqlalchemy.ext.asyncio import AsyncSession

from core.clock import now
from core.db.reads import Query, Source
from core.errors import Conflict, Forbidden
from models import Actor, Agent, Board, Event, EventType, Organization, User
from services import desired_state, events, memory, messages, organizations
from services.boards.events import board_event


async def pause_board(
    session: AsyncSession,
    actor: Actor,
    board: Board,
    *,
    chat_event: events.NewEvent | None = None,
) -> None:
    """Pause the agents of a locked board, and send the command to all of them but the actor.

    `chat_event` is the event of the chat message that contains the command. Without it the
    command is also posted in the chat, and nothing happens if the board is paused already.
    """
    await _run_command(session, actor, board, messages.templates.PAUSE_COMMAND, chat_event)


async def resume_board(
    session: AsyncSession,
    actor: Actor,
    board: Board,
    *,
    chat_event: events.NewEvent | None = None,
) -> None:
    """Resume the agents of a locked board. The arguments are those of `pause_board`.

    Raises Forbidden if the actor is an agent and a person has paused the board.
    """
    await _run_command(session, actor, board, messages.templates.RESUME_COMMAND, chat_event)


PAUSER: Query[tuple[Agent | None, User | None]] = Query(
    select(Agent, User)
    .select_from(Event)
    .outerjoin(Agent, Agent.id == Event.agent_id)
    .outerjoin(User, User.id == Event.user_id)
    .where(Event.board_id == bindparam("board_id"), Event.type == EventType.BOARD_PAUSED)
    .order_by(Event.created_at.desc(), Event.seq.desc())
    .limit(1)
)


async def find_pauser(source: Source, board: Board) -> Actor | None:
    """Return who paused a board; None if it is not paused or the actor no longer exists."""
    if board.paused_at is None:
        return None
    row = await PAUSER.first(source, board_id=board.id)
    return (row[0] or row[1]) if row else None


async def check_agent_may_work(session: AsyncSession, board: Board, agent: Agent) -> None:
    """Raise Conflict if an agent is paused, alone or with its locked board, or stopped.

    It applies to agents that take, move or assign tasks. No stop can begin before the commit, and
    no pause of an agent of this board.
    """
    [(organization, held_at, hold)] = await AGENT_AT_WORK.fetch(session, agent_id=agent.id)
    stop = organizations.AgentStop.find_in(organization)
    if stop is not None:
        raise stop.error
    if messages.is_pause(hold):
        raise _agent_paused(held_at, hold)
    if board.paused_at is None:
        return
    pauser = await find_pauser(session, board)
    name = memory.get_author_name(pauser) if pauser else "a former member"
    raise Conflict(
        "board_paused",
        f"The agents of this board are paused by {name} since {board.paused_at:%Y-%m-%d %H:%M}"
        " UTC. Wait for /resume. Until then you may read, comment, chat and request approval.",
        paused_by=name,
        paused_at=board.paused_at,
    )


AGENT_AT_WORK: Query[tuple[Organization, Any, Any]] = Query(
    select(Organization, Agent.held_at, Agent.hold)
    .join(Agent, Agent.organization_id == Organization.id)
    .where(Agent.id == bindparam("agent_id"))
    .with_for_update(read=True, of=Organization)
    .execution_options(populate_existing=True)
)


def _agent_paused(since: datetime, hold: Mapping[str, Any]) -> Conflict:
    name = hold["values"].get("name") or "a former member"
    return Conflict(
        "agent_paused",
        f"You are paused by {name} since {since:%Y-%m-%d %H:%M} UTC. Wait until a person resumes"
        " you. Until then you may read, comment, chat and request approval.",
        paused_by=name,
        paused_at=since,
    )


async def _run_command(
    session: AsyncSession,
    actor: Actor,
    board: Board,
    command: str,
    chat_event: events.NewEvent | None,
) -> None:
    is_paused = command == messages.templates.PAUSE_COMMAND
    is_changed = is_paused != (board.paused_at is not None)
    if chat_event is None:
        if not is_changed:
            return
        chat_event = memory.post_command(session, actor, board, command)
    if is_changed and not is_paused and isinstance(actor, Agent):
        await _check_agent_may_resume(session, board)
    outgoing = await _command_messages(session, actor, board, command)
    new_events = [chat_event]
    if is_changed:
        new_events.append(await _set_paused(session, actor, board, is_paused=is_paused))
    await messages.enqueue_messages(session, outgoing, new_events=new_events)


async def _check_agent_may_resume(session: AsyncSession, board: Board) -> None:
    """Raise Forbidden if a person has paused the board: an agent cannot end that."""
    if not isinstance(await find_pauser(session, board), Agent):
        raise Forbidden(
            "pause_of_person", "A person paused this board, so only a person can resume it."
        )


async def _set_paused(
    session: AsyncSession, actor: Actor, board: Board, *, is_paused: bool
) -> events.NewEvent:
    board.paused_at = now() if is_paused else None
    board.updated_at = now()
    board.version += 1
    await session.flush()
    await desired_state.request_board_sync(session, board)
    type = EventType.BOARD_PAUSED if is_paused else EventType.BOARD_RESUMED
    return board_event(type, actor, board)


async def _command_messages(
    session: AsyncSession, actor: Actor, board: Board, command: str
) -> list[messages.OutgoingMessage]:
    """Build a message with the command for each agent of the board but the actor."""
    agents = select(Agent).where(Agent.board_id == board.id, Agent.id != actor.id)
    return [
        messages.OutgoingMessage(to=agent, content=command, board=board, sender=actor, deliver=True)
        for agent in await session.scalars(agents.order_by(Agent.created_at, Agent.id))
    ]
