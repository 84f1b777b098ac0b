"""Deliver messages to the agents of one gateway, for as long as this process has its lease.

All state is in the database, so a delivery can be interrupted at any point and continued by another
process. docs/decisions/message-delivery.md describes the procedure and the behaviour of gateways.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import datetime
from uuid import UUID

from core.clock import now
from core.db.engine import TransactionFactory
from core.db.listen import PostgresListener
from core.db.reads import ReadFactory
from models import Gateway, MessageState
from openclaw import GatewayClient, Subscription
from services.messages import delivery_store, gateway_turns
from services.messages.delivery_store import PendingDelivery
from services.messages.gateway_turns import TurnEventBuffer

MAX_CONCURRENT_AGENTS = 4
POLL_INTERVAL = 15.0  # seconds
STATUS_RETRY_DELAY = 2.0  # seconds, after the gateway has not answered a status check
ERROR_DELAY = 5.0  # seconds, after the delivery to an agent has raised an error
DEBOUNCE_DELAY = 0.2  # seconds, in which several notifications are handled as one

log = logging.getLogger(__name__)


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
        self._slots = asyncio.Semaphore(MAX_CONCURRENT_AGENTS)
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
            agent_ids = await delivery_store.list_agents_with_work(
                source, self._gateway.id, self._clock()
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
                early = await delivery_store.record_turn_results(
                    session, self._gateway.id, results, self._clock()
                )
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
            await delivery_store.schedule_status_check(
                session, self._gateway.id, self._clock(), only
            )
        self._handled_overflows = overflows
        buffer.unclear -= unclear
        buffer.finished_sessions -= sessions

    async def _process_agent(self, agent_id: UUID) -> None:
        """Deliver the messages of an agent. An error does not affect the other agents."""
        try:
            while await self._step(agent_id):
                pass
        except Exception as error:
            log.warning("The messages of agent %s: %s", agent_id, error, exc_info=True)
            await asyncio.sleep(ERROR_DELAY)
        if self._agent_tasks.pop(agent_id):
            self._wake_up.set()

    async def _step(self, agent_id: UUID) -> bool:
        """Do the next thing for an agent, then wait if necessary. Return false if there is none."""
        await self._client.wait_connected()
        async with self._slots:
            delay = await self._check_and_send(agent_id)
        if delay is None:
            return False
        await asyncio.sleep(delay)
        return True

    async def _check_and_send(self, agent_id: UUID) -> float | None:
        """Check the sent messages, then send the next one. Return the seconds to wait then."""
        await self._schedule_status_checks()
        if not await self._check_sent(agent_id):
            return STATUS_RETRY_DELAY
        async with self._transaction() as session:
            at = self._clock()
            delivery = await delivery_store.claim_next(session, self._gateway.id, agent_id, at)
        return await self._send(delivery) if delivery else None

    async def _check_sent(self, agent_id: UUID) -> bool:
        """Check the turns of an agent's sent messages. Return false if the gateway fails."""
        async with self._transaction() as session:
            at = self._clock()
            due = await delivery_store.list_due_checks(session, self._gateway.id, agent_id, at)
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
            await delivery_store.record_turn_results(
                session, self._gateway.id, results, self._clock()
            )
        for delivery in unknown:
            await self._send_again(delivery)
        return True

    async def _send_again(self, delivery: PendingDelivery) -> None:
        """Repeat a message that the gateway does not know. The run id prevents a second turn."""
        async with self._transaction() as session:
            is_claimed = await delivery_store.reclaim(
                session, self._gateway.id, delivery, self._clock()
            )
        if is_claimed:
            await self._send(delivery)

    async def _send(self, delivery: PendingDelivery) -> float:
        """Send a message, record the result, and return the seconds to wait then."""
        sent = delivery.message
        result = await gateway_turns.start_turn(
            self._client, delivery.session_key, sent.content, sent.run_id, deliver=sent.deliver
        )
        at = self._clock()
        async with self._transaction() as session:
            message = await delivery_store.record_attempt(session, delivery, result, at)
        if self._turn_events.has_events_for(message.id, sent.run_id):
            self._wake_up.set()
        is_retried = message.state is MessageState.QUEUED and message.next_attempt_at is not None
        return max(0.0, (message.next_attempt_at - at).total_seconds()) if is_retried else 0.0
