"""Deliver messages to the agents of one gateway, for as long as this process has its lease.

All state is in the database: a message is claimed and its result recorded in short transactions,
and the gateway is called between them. So a delivery can be interrupted at any point, and another
process continues it. docs/decisions/message-delivery.md describes the procedure and the behaviour
of gateways.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from operator import itemgetter
from typing import Any, TypeVarTuple
from uuid import UUID

from sqlalchemy import (
    ColumnElement,
    Select,
    and_,
    bindparam,
    func,
    or_,
    select,
    update,
)
from sqlalchemy.ext.asyncio import AsyncSession

from core.clock import now
from core.db.engine import TransactionFactory
from core.db.listen import PostgresListener
from core.db.reads import Query, ReadFactory
from models import Agent, Board, DesiredState, Gateway, Message, MessageState, Organization
from openclaw import GatewayClient, Subscription
from services import events
from services.messages import gateway_turns
from services.messages.gateway_turns import TurnEventBuffer, TurnResult
from services.messages.queries import current_board_condition, not_paused_condition
from services.messages.rules import (
    ACCEPTED,
    OUTBOX,
    PRIORITY_KINDS,
    UNREACHABLE_STEPS,
    apply_attempt,
    apply_status,
)
from services.outbox import is_outdated

MAX_STATUS_CHECKS = 20  # messages at a time, because each costs a call
POLL_INTERVAL = 15.0  # seconds
DEBOUNCE_DELAY = 0.2  # seconds, in which several notifications are handled as one

Ts = TypeVarTuple("Ts")
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class PendingDelivery:
    """A message with the key of its agent's session."""

    message: Message
    session_key: str


def create_delivery_job(
    transaction: TransactionFactory,
    open_read: ReadFactory,
    listener: PostgresListener,
    *,
    poll_interval: float = POLL_INTERVAL,
    clock: Callable[[], datetime] = now,
) -> Callable[[Gateway, GatewayClient], Awaitable[None]]:
    """Create the gateway job that delivers messages."""

    async def deliver_messages(gateway: Gateway, client: GatewayClient) -> None:
        with listener.subscribe(str(gateway.organization_id)) as wake_up:
            delivery = GatewayDelivery(gateway, client, transaction, open_read, wake_up, clock)
            await delivery.run(poll_interval)

    return deliver_messages


class GatewayDelivery:
    """Delivers the messages of one gateway. Each agent with pending messages gets its own task."""

    def __init__(
        self,
        gateway: Gateway,
        client: GatewayClient,
        transaction: TransactionFactory,
        open_read: ReadFactory,
        wake_up: asyncio.Event,
        clock: Callable[[], datetime],
    ) -> None:
        self._gateway = gateway
        self._client = client
        self._transaction = transaction
        self._open_read = open_read
        self._wake_up = wake_up
        self._clock = clock
        self._slots = asyncio.Semaphore(4)  # agents at a time
        self._agent_tasks: dict[UUID, bool] = {}  # value: whether more work was found meanwhile
        self._turn_events = TurnEventBuffer()
        self._handled_overflows = 0  # the overflow count at the last status check of all messages

    async def run(self, poll_interval: float) -> None:
        """Deliver messages until cancelled."""
        subscription = self._client.subscribe("chat")
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._receive_events(subscription))
                while True:
                    await self._start_agent_tasks(group)
                    with suppress(TimeoutError):
                        await asyncio.wait_for(self._wake_up.wait(), poll_interval)
                    await asyncio.sleep(DEBOUNCE_DELAY)
        finally:
            subscription.close()

    async def _receive_events(self, subscription: Subscription) -> None:
        while True:
            if self._turn_events.add(await subscription.next_event()):
                self._wake_up.set()

    async def _start_agent_tasks(self, group: asyncio.TaskGroup) -> None:
        """Save the received turn events, and start a task for each agent that has work."""
        await self._client.wait_connected()
        self._wake_up.clear()
        await self._save_turn_results()
        await self._schedule_status_checks()
        async with self._open_read() as source:
            agent_ids = await AGENTS_WITH_WORK.fetch(
                source, gateway_id=self._gateway.id, at=self._clock()
            )
        for agent_id in agent_ids:
            if agent_id not in self._agent_tasks:
                group.create_task(self._process_agent(agent_id))
            self._agent_tasks[agent_id] = agent_id in self._agent_tasks

    async def _save_turn_results(self) -> None:
        """Save how turns ended. Keep the results of messages that are not recorded as sent yet."""
        results, self._turn_events.results = self._turn_events.results, {}
        if results:
            async with self._transaction() as session:
                early = await record_turn_results(session, self._gateway.id, results, self._clock())
            kept = {id: results[id] for id in early}
            self._turn_events.results = kept | self._turn_events.results

    async def _schedule_status_checks(self) -> None:
        """Schedule checks for messages with unclear events, or for all if events were lost."""
        buffer = self._turn_events
        overflows = buffer.overflow_count
        unclear, sessions = set(buffer.unclear), set(buffer.finished_sessions)
        is_overflow = overflows != self._handled_overflows
        if not (is_overflow or unclear or sessions):
            return
        only = None if is_overflow else (unclear, sessions)
        async with self._transaction() as session:
            await schedule_status_check(session, self._gateway.id, self._clock(), only)
        self._handled_overflows = overflows
        buffer.unclear -= unclear
        buffer.finished_sessions -= sessions

    async def _process_agent(self, agent_id: UUID) -> None:
        """Deliver the messages of an agent. An error does not affect the other agents."""
        try:
            delay: float | None = 0.0
            while delay is not None:
                await asyncio.sleep(delay)
                await self._client.wait_connected()
                async with self._slots:
                    delay = await self._check_and_send(agent_id)
        except Exception as error:
            log.warning(
                "The messages of agent %s could not be delivered: %s",
                agent_id,
                error,
                exc_info=True,
            )
            await asyncio.sleep(5.0)  # seconds, so that an error that stays costs little
        if self._agent_tasks.pop(agent_id):
            self._wake_up.set()

    async def _check_and_send(self, agent_id: UUID) -> float | None:
        """Check the sent messages, then send the next one.

        Return the seconds to wait then, or None if there is nothing to do.
        """
        await self._schedule_status_checks()
        if not await self._check_sent(agent_id):
            return 2.0  # the gateway has not answered: check again soon
        async with self._transaction() as session:
            at = self._clock()
            delivery = await claim_next(session, self._gateway.id, agent_id, at)
        return await self._send(delivery) if delivery else None

    async def _check_sent(self, agent_id: UUID) -> bool:
        """Check the turns of an agent's sent messages. Return false if the gateway fails."""
        async with self._transaction() as session:
            at = self._clock()
            due = await list_due_checks(session, self._gateway.id, agent_id, at)
        if not due:
            return True
        run_ids = [one.message.run_id for one in due]
        found = await gateway_turns.check_turns(self._client, due[0].session_key, run_ids)
        if found is None:
            return False
        unknown = [one for one in due if found[one.message.run_id] == gateway_turns.UNKNOWN]
        results = {
            one.message.id: (one.message.run_id, found[one.message.run_id])
            for one in due
            if one not in unknown
        }
        async with self._transaction() as session:
            await record_turn_results(session, self._gateway.id, results, self._clock())
        for delivery in unknown:  # repeat it; the run id prevents a second turn
            async with self._transaction() as session:
                is_claimed = await reclaim(session, self._gateway.id, delivery, self._clock())
            if is_claimed:
                await self._send(delivery)
        return True

    async def _send(self, delivery: PendingDelivery) -> float:
        """Send a message, record the result, and return the seconds to wait then."""
        sent = delivery.message
        result = await gateway_turns.start_turn(
            self._client, delivery.session_key, sent.content, sent.run_id, deliver=sent.deliver
        )
        at = self._clock()
        async with self._transaction() as session:
            message = await record_attempt(session, delivery, result, at)
        if self._turn_events.has_events_for(message.id, sent.run_id):
            self._wake_up.set()
        is_retried = message.state is MessageState.QUEUED and message.next_attempt_at is not None
        return max(0.0, (message.next_attempt_at - at).total_seconds()) if is_retried else 0.0


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
        not_paused_condition(),
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
        Message.id == known.id, Message.state == MessageState.SENT, not_paused_condition()
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
    """Select nothing if the agent is held or its organization is stopped, and prevent both.

    The lock of the organization makes a stop wait for the commit, and PostgreSQL reads the latest
    version of the row when it has the lock. So no message is claimed after a stop has committed.
    The lock of the agent, which comes first, conflicts only with that of `pause_agent` and of
    deletions, not with changes such as check-ins.
    """
    organization_id = select(Gateway.organization_id).where(Gateway.id == gateway_id)
    agent = select(Agent.id).where(Agent.id == agent_id, Agent.held_at.is_(None))
    free = agent.with_for_update(read=True, key_share=True).cte("free")
    organization = select(Organization.id).where(
        Organization.id == organization_id.scalar_subquery(),
        Organization.stopped_at.is_(None),
        select(func.count()).select_from(free).scalar_subquery() > 0,
    )
    running = organization.with_for_update(read=True).cte("running")
    query = query.join(running, running.c.id == Message.organization_id)
    return query.join(free, free.c.id == Message.agent_id)


def _due_condition(at: Any) -> ColumnElement[bool]:
    return or_(Message.next_attempt_at.is_(None), Message.next_attempt_at <= at)


AGENTS_WITH_WORK: Query[UUID] = Query(
    select(Agent.id)
    .join(Message, Message.agent_id == Agent.id)
    .join(Organization, Organization.id == Agent.organization_id)
    .outerjoin(Board, Board.id == Agent.board_id)
    .where(
        _reachable_condition(bindparam("gateway_id")),
        or_(
            and_(
                Message.state == MessageState.QUEUED,
                current_board_condition(),
                not_paused_condition(),
                Agent.held_at.is_(None),
                Organization.stopped_at.is_(None),
            ),
            Message.state == MessageState.SENT,
        ),
        _due_condition(bindparam("at")),
    )
    .distinct(),
    itemgetter(0),
)
"""The reachable agents of a gateway that have a message to send or to check."""
