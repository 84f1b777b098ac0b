"""Pause and resume the agents of a board."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import bindparam, select
from sqlalchemy.ext.asyncio import AsyncSession

from core.clock import now
from core.db.reads import Query, Source
from core.errors import Conflict, Forbidden, Unauthorized
from core.text import N_
from models import Actor, Agent, Board, Event, EventType, Organization, User
from services import desired_state, events, messages, organizations
from services.boards.events import board_event

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
    no pause of an agent of this board. Raises Unauthorized if the agent of a gateway was deleted
    since the board was locked.
    """
    row = await AGENT_AT_WORK.first(session, agent_id=agent.id)
    if row is None:
        raise Unauthorized
    organization, held_at, hold = row
    await _require_at_work(session, board, organization, held_at, hold)


async def find_board_and_hold(source: Source, agent: Agent) -> tuple[Board | None, Conflict | None]:
    """Return the board of an agent, and the error of `check_agent_may_work` if it may not work.

    Nothing is locked: a stop or a pause can begin at the next moment.
    """
    row = await BOARD_AT_WORK.first(source, agent_id=agent.id)
    if row is None:
        return None, None
    board, organization, held_at, hold = row
    try:
        await _require_at_work(source, board, organization, held_at, hold)
    except Conflict as error:
        return board, error
    return board, None


async def _require_at_work(
    source: Source,
    board: Board,
    organization: Organization,
    held_at: datetime | None,
    hold: Mapping[str, Any] | None,
) -> None:
    stop = organizations.AgentStop.find_in(organization)
    if stop is not None:
        raise stop.error
    if hold and messages.is_pause(hold):
        name = hold["values"].get("name") or "a former member"
        raise Conflict(
            "agent_paused",
            f"You are paused by {name} since {held_at:%Y-%m-%d %H:%M} UTC. Wait until a person"
            " resumes you. Until then you may read, comment, chat and request approval.",
            paused_by=name,
            paused_at=held_at,
            sent_as="object",
        )
    if board.paused_at is None:
        return
    pauser = await find_pauser(source, board)
    name = pauser.display_name if pauser else "a former member"
    raise Conflict(
        "board_paused",
        N_(
            "%(paused_by)s has paused the agents of this board. Wait for /resume. Until then you"
            " may read, comment, chat and request approval."
        ),
        paused_by=name,
        paused_at=board.paused_at,
        sent_as="object",
    )


AGENT_AT_WORK: Query[tuple[Organization, Any, Any]] = Query(
    select(Organization, Agent.held_at, Agent.hold)
    .join(Agent, Agent.organization_id == Organization.id)
    .where(Agent.id == bindparam("agent_id"))
    .with_for_update(read=True, of=Organization)
    .execution_options(populate_existing=True)
)

BOARD_AT_WORK: Query[tuple[Board, Organization, Any, Any]] = Query(
    select(Board, Organization, Agent.held_at, Agent.hold)
    .join(Agent, Agent.board_id == Board.id)
    .join(Organization, Organization.id == Board.organization_id)
    .where(Agent.id == bindparam("agent_id"))
)


async def run_command(
    session: AsyncSession, actor: Actor, board: Board, command: str, chat_event: events.NewEvent
) -> None:
    """Pause or resume the agents of a locked board, and send them the command.

    `command` is PAUSE_COMMAND or RESUME_COMMAND of the message templates. All agents but the actor
    get it, also if it changes nothing. `chat_event` is the event of the chat message that contains
    it. Raises Forbidden if the actor is an agent and a person has paused the board.
    """
    is_paused = command == messages.templates.PAUSE_COMMAND
    is_changed = is_paused != (board.paused_at is not None)
    if is_changed and not is_paused and isinstance(actor, Agent):
        pauser = await find_pauser(session, board)
        if not isinstance(pauser, Agent):
            raise Forbidden(
                "paused_by_person", "A person paused this board, so only a person can resume it."
            )
    recipients = select(Agent).where(Agent.board_id == board.id, Agent.id != actor.id)
    outgoing = [
        messages.OutgoingMessage(to=agent, content=command, board=board, sender=actor, deliver=True)
        for agent in await session.scalars(recipients.order_by(Agent.created_at, Agent.id))
    ]
    new_events = [chat_event]
    if is_changed:
        board.paused_at = now() if is_paused else None
        board.updated_at = now()
        board.version += 1
        await session.flush()
        await desired_state.request_board_sync(session, board)
        if not is_paused:  # what waited may wait for the full time again
            await messages.release_messages(session, Agent.board_id == board.id, now())
        type = EventType.BOARD_PAUSED if is_paused else EventType.BOARD_RESUMED
        new_events.append(board_event(type, actor, board))
    await messages.enqueue_messages(session, outgoing, new_events=new_events)
