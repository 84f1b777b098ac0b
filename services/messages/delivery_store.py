"""Database operations of message delivery: claim messages, and record the results.

Each function is one short transaction; the gateway is called between them. A delivery can therefore
be interrupted at any point, and the next process finds what remains to be done.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from operator import itemgetter
from typing import Any, TypeVarTuple
from uuid import UUID

from sqlalchemy import CTE, ColumnElement, Select, and_, bindparam, or_, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from core.db.reads import Query, Source
from models import Agent, Board, DesiredState, Gateway, Message, MessageState, Organization
from services import events
from services.messages.gateway_turns import TurnResult
from services.messages.queries import current_board_condition
from services.messages.rules import (
    ACCEPTED,
    BOARD_COMMANDS,
    OUTBOX,
    PRIORITY_KINDS,
    UNREACHABLE_STEPS,
    apply_attempt,
    apply_status,
)
from services.outbox import is_outdated

Ts = TypeVarTuple("Ts")
MAX_STATUS_CHECKS = 20  # messages at a time, because each costs a call


@dataclass(frozen=True)
class PendingDelivery:
    """A message with the key of its agent's session."""

    message: Message
    session_key: str


async def list_agents_with_work(source: Source, gateway_id: UUID, at: datetime) -> Sequence[UUID]:
    """Return the reachable agents of a gateway that have a message to send or to check."""
    return await AGENTS_WITH_WORK.fetch(source, gateway_id=gateway_id, at=at)


def _agents_with_work_query() -> Select[UUID]:
    is_queued = and_(
        Message.state == MessageState.QUEUED,
        current_board_condition(),
        _not_paused_condition(),
        Agent.held_at.is_(None),
        Organization.stopped_at.is_(None),
    )
    is_sent = Message.state == MessageState.SENT
    is_reachable = _reachable_condition(bindparam("gateway_id"))
    query = select(Agent.id).join(Message, Message.agent_id == Agent.id)
    query = query.join(Organization, Organization.id == Agent.organization_id)
    query = query.outerjoin(Board, Board.id == Agent.board_id)
    query = query.where(is_reachable, or_(is_queued, is_sent), _due_condition(bindparam("at")))
    return query.distinct()


async def schedule_status_check(
    session: AsyncSession,
    gateway_id: UUID,
    at: datetime,
    only: tuple[Collection[UUID], Collection[str]] | None,
) -> None:
    """Schedule an immediate status check of sent messages.

    `only` limits it to these message ids and to the messages in these sessions.
    """
    sent = select(Message.id).join(Agent, Agent.id == Message.agent_id)
    sent = sent.where(Message.state == MessageState.SENT, Agent.gateway_id == gateway_id)
    if only is not None:
        ids, sessions = only
        sent = sent.where(or_(Message.id.in_(ids), Agent.openclaw_session_id.in_(sessions)))
    # The same order as in `record_turn_results`, which may run in another worker.
    locked = sent.order_by(Message.id).with_for_update(of=Message)
    checks = update(Message).where(Message.id.in_(locked)).values(next_attempt_at=at)
    await session.execute(checks.execution_options(synchronize_session=False))


async def list_due_checks(
    session: AsyncSession, gateway_id: UUID, agent_id: UUID, at: datetime
) -> Sequence[PendingDelivery]:
    """Return the sent messages of an agent whose status check is due, oldest first.

    It returns at most MAX_STATUS_CHECKS: those whose last check is longest ago.
    """
    query = _deliveries_query(gateway_id, agent_id)
    query = query.where(Message.state == MessageState.SENT, _due_condition(at))
    query = query.order_by(Message.next_attempt_at.nulls_first(), Message.seq)
    rows = await session.execute(query.limit(MAX_STATUS_CHECKS))
    due = [PendingDelivery(message, key or "") for message, key in rows]
    return sorted(due, key=lambda one: one.message.seq)


async def claim_next(
    session: AsyncSession, gateway_id: UUID, agent_id: UUID, at: datetime
) -> PendingDelivery | None:
    """Claim the next message of an agent, and count the attempt.

    The oldest comes first, except for PRIORITY_KINDS. A message that waits for its retry blocks the
    later ones. Whether the board is paused, the agent held or the organization stopped is checked
    here, at the last moment; neither a stop nor a pause of the agent can begin before the commit.
    Returns None if no message may be sent now.
    """
    query = _join_running(_deliveries_query(gateway_id, agent_id), gateway_id, agent_id).where(
        Message.state == MessageState.QUEUED,
        current_board_condition(),
        _not_paused_condition(),
    )
    first = query.order_by(Message.kind.in_(PRIORITY_KINDS).desc(), Message.seq).limit(1)
    locked = first.with_for_update(of=Message).execution_options(populate_existing=True)
    row = (await session.execute(locked)).one_or_none()
    if row is None or (row[0].next_attempt_at is not None and row[0].next_attempt_at > at):
        return None
    message, session_key = row
    OUTBOX.claim(message, at)
    return PendingDelivery(message, session_key or "")


async def reclaim(
    session: AsyncSession, gateway_id: UUID, delivery: PendingDelivery, at: datetime
) -> bool:
    """Claim a sent message again, and count the attempt. Return false if it must not be sent.

    The conditions are those of `claim_next`, because a gateway that has lost the message would
    start a turn.
    """
    known = delivery.message
    query = select(Message).join(Agent, Agent.id == Message.agent_id)
    query = query.outerjoin(Board, Board.id == Agent.board_id)
    query = _join_running(query, gateway_id, known.agent_id).where(
        Message.id == known.id, Message.state == MessageState.SENT, _not_paused_condition()
    )
    locked = query.with_for_update(of=Message).execution_options(populate_existing=True)
    message = await session.scalar(locked)
    if message is None or message.turn_number != known.turn_number:
        return False
    OUTBOX.claim(message, at)
    known.attempts = message.attempts
    return True


async def record_attempt(
    session: AsyncSession, delivery: PendingDelivery, result: TurnResult, at: datetime
) -> Message:
    """Record the result of an attempt, and return the message as it is then.

    If another worker has made a later attempt, only a successful result is recorded.
    """
    known = delivery.message
    locked = await OUTBOX.lock(session, [known.id])
    if not locked:
        return known
    [message] = locked
    is_accepted = result.status in ACCEPTED
    if message.turn_number == known.turn_number and not is_outdated(
        message, known.attempts, is_success=is_accepted
    ):
        await events.record_events(session, apply_attempt(message, result, at))
    return message


async def record_turn_results(
    session: AsyncSession,
    gateway_id: UUID,
    results: Mapping[UUID, tuple[str, TurnResult]],
    at: datetime,
) -> set[UUID]:
    """Record the results of turns, given by message id with their run id.

    Results of an outdated turn, or of an acknowledged message, are ignored. Returns the ids of the
    messages that are still queued, because their sending is not recorded yet.
    """
    is_here = Message.agent_id.in_(select(Agent.id).where(Agent.gateway_id == gateway_id))
    query = select(Message).where(Message.id.in_(results), is_here).order_by(Message.id)
    query = query.with_for_update().execution_options(populate_existing=True)
    new_events: list[events.NewEvent] = []
    early = set()
    for message in await session.scalars(query):
        run_id, result = results[message.id]
        if message.run_id != run_id:
            continue
        if message.state is MessageState.SENT:
            new_events += apply_status(message, result, at)
        elif message.state is MessageState.QUEUED:
            early.add(message.id)
    await events.record_events(session, new_events)
    return early


def _deliveries_query(gateway_id: UUID, agent_id: UUID) -> Select[Message, str | None]:
    """Select the messages of an agent with its session key. The board is joined for conditions."""
    query = select(Message, Agent.openclaw_session_id).join(Agent, Agent.id == Message.agent_id)
    with_board = query.outerjoin(Board, Board.id == Agent.board_id)
    return with_board.where(Agent.id == agent_id, _reachable_condition(gateway_id))


def _reachable_condition(gateway_id: Any) -> ColumnElement[bool]:
    """Match the agents of a gateway for which `is_reachable` is true."""
    is_running = and_(
        Agent.desired_state == DesiredState.RUNNING,
        Agent.observed_generation > 0,
        or_(Agent.step.is_(None), Agent.step.not_in(UNREACHABLE_STEPS)),
    )
    is_linked = and_(Agent.is_linked, Agent.listed_at.is_not(None))
    is_here = (Agent.gateway_id == gateway_id) & Agent.openclaw_session_id.is_not(None)
    return is_here & or_(is_running, is_linked)


def _join_running(query: Select[*Ts], gateway_id: UUID, agent_id: UUID) -> Select[*Ts]:
    """Select nothing if the agent is held or its organization is stopped, and prevent both."""
    running, free = _running_organization(gateway_id), _free_agent(agent_id)
    query = query.join(running, running.c.id == Message.organization_id)
    return query.join(free, free.c.id == Message.agent_id)


def _free_agent(agent_id: UUID) -> CTE:
    """Select an agent if it is not held, and prevent that a person pauses it.

    The lock conflicts only with that of `pause_agent`, not with changes such as check-ins.
    """
    query = select(Agent.id).where(Agent.id == agent_id, Agent.held_at.is_(None))
    return query.with_for_update(read=True, key_share=True).cte("free")


def _running_organization(gateway_id: UUID) -> CTE:
    """Select the organization of a gateway if it is not stopped, and prevent a stop.

    The row lock makes a stop wait for the commit, and PostgreSQL reads the latest version of the
    row when it has the lock. So no message is claimed after a stop has committed.
    """
    organization_id = select(Gateway.organization_id).where(Gateway.id == gateway_id)
    query = select(Organization.id).where(
        Organization.id == organization_id.scalar_subquery(), Organization.stopped_at.is_(None)
    )
    return query.with_for_update(read=True).cte("running")


def _due_condition(at: Any) -> ColumnElement[bool]:
    return or_(Message.next_attempt_at.is_(None), Message.next_attempt_at <= at)


def _not_paused_condition() -> ColumnElement[bool]:
    """Match the messages that may be sent now: on a paused board only commands."""
    return or_(Board.paused_at.is_(None), Message.kind.in_(BOARD_COMMANDS))


AGENTS_WITH_WORK = Query(_agents_with_work_query(), itemgetter(0))
