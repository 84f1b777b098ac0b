"""Handing messages over to gateways, as the database sees it: which goes next, and what came of it.

Everything here is one short transaction; between them a gateway is asked. So it may be cut off
anywhere, and whoever comes next finds what is to be done.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import ColumnElement, Select, and_, or_, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from models import Agent, Board, DesiredState, Message, MessageState, Step
from services import events
from services.messages.fates import happened_to
from services.messages.reading import of_its_board
from services.messages.texts import PAUSE, RESUME, WAKE_UP
from services.messages.turns import UNKNOWN, Fate, Turn

LOOKED_AT = 20  # messages at a time of which it is looked what became: each costs a call
IN_HAND = timedelta(seconds=10)  # for which an attempt keeps others from making one
LONGEST_REST = timedelta(seconds=60)  # between two attempts
MOST_ATTEMPTS = 30  # some 25 minutes of a gateway that is there and takes nothing
MOST_REFUSALS = 3  # attempts, of which a gateway refuses the last: some refusals pass
MOST_LOSSES = 5  # of one message that a gateway has taken and knows nothing of
LOOK_AGAIN = timedelta(minutes=10)  # after which one looks what became of a message, unasked
LOOK_SOON = timedelta(seconds=5)  # the same, at the least

TAKEN = (Fate.RUNNING, Fate.ENDED)

COMMANDS = (PAUSE, RESUME)
"""What agents of a paused board get."""

FIRST = (WAKE_UP, *COMMANDS)
"""What goes before anything that was written earlier."""

NOT_THERE = (Step.CREATE, Step.LISTED, Step.WAKE)
"""At these steps an agent is not there yet, or has not had its first words."""


@dataclass(frozen=True)
class Letter:
    """A message, and the session in which its agent hears it."""

    message: Message
    session_key: str


async def agents_with_mail(session: AsyncSession, gateway_id: UUID, at: datetime) -> Sequence[UUID]:
    """Return the agents of a gateway for which there is something to do now.

    That is something to be sent, or a message of which one has to look what became.
    """
    waits = and_(Message.state == MessageState.QUEUED, of_its_board(), _may_go())
    is_out = Message.state == MessageState.SENT
    query = select(Agent.id).join(Message, Message.agent_id == Agent.id)
    query = query.outerjoin(Board, Board.id == Agent.board_id)
    query = query.where(_is_there(gateway_id), or_(waits, is_out), _is_due(at))
    return (await session.scalars(query.distinct())).all()


async def doubt(
    session: AsyncSession,
    gateway_id: UUID,
    at: datetime,
    only: tuple[Collection[UUID], Collection[str]] | None,
) -> None:
    """Have it looked now what became of messages that are out: of all, or `only` of some.

    Those are some messages, and those that were said in some sessions.
    """
    here = (Agent.id == Message.agent_id) & (Agent.gateway_id == gateway_id)
    out = update(Message).where(Message.state == MessageState.SENT, here)
    if only is not None:
        ids, sessions = only
        out = out.where(or_(Message.id.in_(ids), Agent.openclaw_session_id.in_(sessions)))
    await session.execute(out.values(due_at=at).execution_options(synchronize_session=False))


async def handed_over(
    session: AsyncSession, gateway_id: UUID, agent_id: UUID, at: datetime
) -> Sequence[Letter]:
    """Return those messages to an agent of which one has to look what became, oldest first.

    At most LOOKED_AT of them, each of which costs a call: those that were looked at the longest
    ago, so that all have their turn.
    """
    query = _letters(gateway_id, agent_id).where(Message.state == MessageState.SENT, _is_due(at))
    longest_ago = query.order_by(Message.due_at.nulls_first(), Message.seq).limit(LOOKED_AT)
    found = [(message, key or "") for message, key in await session.execute(longest_ago)]
    return [Letter(*row) for row in sorted(found, key=lambda row: row[0].seq)]


async def take_out(
    session: AsyncSession, gateway_id: UUID, agent_id: UUID, at: datetime
) -> Letter | None:
    """Take the next message for an agent in hand, and count the attempt; None if none may go now.

    The oldest goes first, but for what begins or steers; none overtakes another that rests.
    Whether the board is paused is asked here, at the last moment.
    """
    query = _letters(gateway_id, agent_id).where(
        Message.state == MessageState.QUEUED, of_its_board(), _may_go()
    )
    first = query.order_by(Message.kind.in_(FIRST).desc(), Message.seq).limit(1)
    locked = first.with_for_update(of=Message).execution_options(populate_existing=True)
    found = (await session.execute(locked)).one_or_none()
    if found is None or (found[0].due_at is not None and found[0].due_at > at):
        return None
    message, session_key = found
    message.attempt(at + IN_HAND)
    return Letter(message, session_key or "")


async def take_again(session: AsyncSession, letter: Letter, at: datetime) -> bool:
    """Take a message in hand once more that a gateway has taken, and count the attempt.

    Says whether it may be sent: its gateway may have lost it, so that it would begin a turn.
    """
    mine = letter.message
    query = select(Message).join(Agent, Agent.id == Message.agent_id)
    query = query.outerjoin(Board, Board.id == Agent.board_id)
    query = query.where(Message.id == mine.id, Message.state == MessageState.SENT, _may_go())
    locked = query.with_for_update(of=Message).execution_options(populate_existing=True)
    message = await session.scalar(locked)
    if message is None or message.run != mine.run:
        return False
    message.attempt(at + IN_HAND)
    mine.attempts = message.attempts
    return True


async def note_attempt(session: AsyncSession, letter: Letter, turn: Turn, at: datetime) -> Message:
    """Write down what came of an attempt, and return the message as it is then.

    It comes to nothing where somebody else has made another meanwhile, unless it went well.
    """
    mine = letter.message
    message = await session.scalar(_held(Message.id == mine.id))
    if message is None:
        return mine
    is_last = message.attempts == mine.attempts or turn.fate in TAKEN
    if message.run == mine.run and is_last:
        await events.record_all(session, _attempted(message, turn, at))
    return message


async def note_ends(
    session: AsyncSession, gateway_id: UUID, ends: Mapping[UUID, tuple[str, Turn]], at: datetime
) -> set[UUID]:
    """Write down how the turns of messages have ended, each told by its key.

    Of another turn than the one that counts, or of a message that the agent has acknowledged,
    nothing changes. Returns those of which it is not yet written down that they were taken.
    """
    here = select(Agent.id).where(Agent.gateway_id == gateway_id)
    query = _held(Message.id.in_(ends) & Message.agent_id.in_(here)).order_by(Message.id)
    happened: list[events.Happened] = []
    early = set()
    for message in await session.scalars(query):
        run_id, turn = ends[message.id]
        if message.run_id != run_id:
            continue
        if message.state is MessageState.SENT:
            happened += _looked_at(message, turn, at)
        elif message.state is MessageState.QUEUED:
            early.add(message.id)
    await events.record_all(session, happened)
    return early


def _attempted(message: Message, turn: Turn, at: datetime) -> list[events.Happened]:
    """Note what came of an attempt to hand a message over."""
    if message.state is MessageState.SENT:
        return _asked_again(message, turn, at)
    if message.state is not MessageState.QUEUED:
        return []
    if turn.fate in TAKEN:
        is_news = message.sent_at is None
        message.hand_over(at, at + LOOK_AGAIN)
        told = happened_to(message, is_news=is_news)
        return [*told, *_looked_at(message, turn, at)] if turn.fate is Fate.ENDED else told
    if turn.fate is Fate.LOST:
        return _lost(message, turn, at)
    if turn.fate is Fate.FAILED:
        return _failed(message, turn)
    message.rest(at + _rest(message.attempts), turn.reason)
    return _failed(message, turn) if _is_enough(message, turn) else []


def _asked_again(message: Message, turn: Turn, at: datetime) -> list[events.Happened]:
    """Note what a gateway says that was asked again for a message which it had taken.

    If it has taken it anew, it had lost it: that must not go on for ever.
    """
    if turn.fate is not Fate.UNKNOWN:
        message.losses = message.losses + 1 if turn.is_new else 0
    if message.losses >= MOST_LOSSES:
        return _failed(message, UNKNOWN)
    if turn.fate is Fate.REFUSED and _is_enough(message, turn):
        return _failed(message, turn)
    return _looked_at(message, turn, at)


def _looked_at(message: Message, turn: Turn, at: datetime) -> list[events.Happened]:
    """Note what was seen of a message that a gateway has taken."""
    if turn.fate in (Fate.RUNNING, Fate.UNKNOWN, Fate.REFUSED):
        message.due_at = at + _patience(message, at)
        return []
    if turn.fate is Fate.ENDED:
        message.acknowledge(at)
        return happened_to(message)
    return _failed(message, turn) if turn.fate is Fate.FAILED else _lost(message, turn, at)


def _lost(message: Message, turn: Turn, at: datetime) -> list[events.Happened]:
    """Let a message that no agent will read have another turn, but not for ever."""
    message.lose(at, turn.reason)
    return _failed(message, turn) if message.losses >= MOST_LOSSES else happened_to(message)


def _failed(message: Message, turn: Turn) -> list[events.Happened]:
    """Let a message fail. A turn that has failed is never begun again."""
    if turn.fate in (Fate.FAILED, Fate.REFUSED):
        message.run += 1
    message.fail(turn.reason)
    return happened_to(message)


def _is_enough(message: Message, turn: Turn) -> bool:
    most = MOST_REFUSALS if turn.fate is Fate.REFUSED else MOST_ATTEMPTS
    return message.attempts >= most


def _patience(message: Message, at: datetime) -> timedelta:
    """Return when to look again: the longer it is out, the later."""
    out = at - (message.next_try_at or at)
    return max(LOOK_SOON, min(out / 4, LOOK_AGAIN))


def _rest(attempts: int) -> timedelta:
    return min(timedelta(seconds=2 ** min(attempts - 1, 10)), LONGEST_REST)


def _held(where: ColumnElement[bool]) -> Select[Message]:
    query = select(Message).where(where).with_for_update()
    return query.execution_options(populate_existing=True)


def _letters(gateway_id: UUID, agent_id: UUID) -> Select[Message, str | None]:
    """Select the messages to an agent that is on a gateway, each with its session and its board."""
    query = select(Message, Agent.openclaw_session_id).join(Agent, Agent.id == Message.agent_id)
    with_board = query.outerjoin(Board, Board.id == Agent.board_id)
    return with_board.where(Agent.id == agent_id, _is_there(gateway_id))


def can_hear(agent: Agent) -> bool:
    """Say whether an agent that is on a gateway is there, and had its first words."""
    if agent.openclaw_session_id is None:
        return False
    if agent.is_linked:
        return agent.listed_at is not None
    is_there = agent.observed_generation > 0 and agent.step not in NOT_THERE
    return agent.desired_state is DesiredState.RUNNING and is_there


def _is_there(gateway_id: UUID) -> ColumnElement[bool]:
    """Select the agents on a gateway that can hear."""
    is_running = and_(
        Agent.desired_state == DesiredState.RUNNING,
        Agent.observed_generation > 0,
        or_(Agent.step.is_(None), Agent.step.not_in(NOT_THERE)),
    )
    is_linked = and_(Agent.is_linked, Agent.listed_at.is_not(None))
    is_here = (Agent.gateway_id == gateway_id) & Agent.openclaw_session_id.is_not(None)
    return is_here & or_(is_running, is_linked)


def _is_due(at: datetime) -> ColumnElement[bool]:
    return or_(Message.due_at.is_(None), Message.due_at <= at)


def _may_go() -> ColumnElement[bool]:
    """Select what may be sent now: of a paused board, that it is paused or goes on."""
    return or_(Board.paused_at.is_(None), Message.kind.in_(COMMANDS))
