"""The gateway job that makes the agents on a gateway what they should be.

It uses the existing connection to the gateway and executes one step of each agent at a time. It
may be stopped at any point: another process continues. If two run at once, each step is executed
once.
"""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from core.clock import now
from core.db.engine import TransactionFactory
from core.db.listen import PostgresListener
from core.db.reads import ReadFactory
from core.security.encryption import SecretCipher
from models import Gateway, ProvisioningStep
from openclaw import GatewayClient, GatewayEvent, poll_events
from openclaw import api as gateway_api
from services import desired_state
from services.gateways.provisioning import store
from services.gateways.provisioning.reconcile_pass import LOCAL_STEPS, ReconcilePass
from services.gateways.provisioning.workload import (
    BundleLoader,
    DueAgent,
    GatewayWorkload,
    find_next_due_time,
    load_workload,
)

POLL_INTERVAL = 5.0  # seconds, while agents have steps: their calls are no notifications
IDLE_POLL_INTERVAL = 30.0  # seconds, if nothing is planned and no notification arrives
DEBOUNCE = 0.2  # seconds in which several notifications become one
MIN_PASS_INTERVAL = 0.02  # seconds between two passes, however much is due
CONFIG_INTERVAL = 10.0  # seconds between two reads of the config
ROSTER_INTERVAL = timedelta(seconds=60)  # between two records of the agents that a gateway lists

STEPS_WITH_BUNDLE = (
    ProvisioningStep.CREATE,
    ProvisioningStep.FILES,
    ProvisioningStep.WAKE,
)


class Reconciler:
    """A gateway job: reconciles the agents of each gateway with their desired state."""

    def __init__(
        self,
        open_transaction: TransactionFactory,
        open_read: ReadFactory,
        listener: PostgresListener,
        cipher: SecretCipher,
        load_bundles: BundleLoader,
        *,
        clock: Callable[[], datetime] = now,
    ) -> None:
        self._open_transaction = open_transaction
        self._open_read = open_read
        self._listener = listener
        self._cipher = cipher
        self._load_bundles = load_bundles
        self._clock = clock
        self._roster_recorded_at: dict[UUID, datetime] = {}

    async def __call__(self, gateway: Gateway, client: GatewayClient) -> None:
        """Work for a gateway until cancelled. Deadlines do not pass while it is unreachable."""
        await self.take_over(gateway.id)
        with self._listener.subscribe(str(gateway.organization_id)) as notified:
            async with asyncio.TaskGroup() as group:
                group.create_task(self.watch_config(gateway.id, client, notified))
                group.create_task(self._reconcile_until_cancelled(gateway.id, client, notified))

    async def watch_config(
        self, gateway_id: UUID, client: GatewayClient, notified: asyncio.Event
    ) -> None:
        """Find out whether the config is valid, and read the roster when it was changed.

        A gateway announces a change that it uses. It does not announce that it ignores one.
        """

        async def check_config(_is_missed: bool) -> None:
            client.capabilities.learn_config((await gateway_api.get_config(client)).problem)

        async def handle_change(_event: GatewayEvent) -> None:
            self._roster_recorded_at.pop(gateway_id, None)
            notified.set()
            await check_config(False)

        await poll_events(
            client,
            ("config.changed",),
            load_all=check_config,
            handle_event=handle_change,
            interval=CONFIG_INTERVAL,
            retry_delay=lambda _error: POLL_INTERVAL,
        )

    async def _reconcile_until_cancelled(
        self, gateway_id: UUID, client: GatewayClient, notified: asyncio.Event
    ) -> None:
        while True:
            if not client.is_connected:
                await self._wait_until_connected(gateway_id, client)
            notified.clear()
            next_at = await self.reconcile(gateway_id, client)
            with suppress(TimeoutError):
                await asyncio.wait_for(notified.wait(), self._wait_time(next_at))
                await asyncio.sleep(DEBOUNCE)

    async def take_over(self, gateway_id: UUID) -> None:
        """Extend the deadlines that passed while nobody worked for a gateway.

        Agents whose entries may still have heartbeats there are synced.
        """
        async with self._open_transaction() as session:
            await store.extend_overdue_deadlines(session, gateway_id, self._clock())
            may_have = store.may_have_heartbeat_condition(gateway_id)
            await desired_state.request_sync(session, may_have)

    async def resume(self, gateway_id: UUID, after: timedelta) -> None:
        """Continue with a gateway after it was unreachable for some time, which does not count."""
        async with self._open_transaction() as session:
            await store.shift_deadlines(session, gateway_id, after)
            await store.retry_failed_steps(session, gateway_id, self._clock())

    async def reconcile(self, gateway_id: UUID, client: GatewayClient) -> datetime | None:
        """Execute the next step of each due agent; return when more will be due."""
        moment = self._clock()
        recorded_at = self._roster_recorded_at.get(gateway_id)
        is_time = recorded_at is None or moment - recorded_at >= ROSTER_INTERVAL
        workload, due = await self._load_workload(gateway_id, moment)
        one_pass = ReconcilePass(self._open_transaction, client, workload, self._clock)
        await one_pass.run_local_steps(due)
        await one_pass.send_heartbeats()
        needs_gateway = any(one.agent.step not in LOCAL_STEPS for one in due)
        if is_time or workload.orphans or needs_gateway:
            is_recorded = await one_pass.run_gateway_steps(due, record_roster=is_time)
            self._roster_recorded_at |= {gateway_id: moment} if is_recorded else {}
        is_busy = due or workload.orphans or workload.heartbeats
        return moment if is_busy else workload.next_at

    async def _load_workload(
        self, gateway_id: UUID, moment: datetime
    ) -> tuple[GatewayWorkload, Sequence[DueAgent]]:
        """Load what is due; a transaction is opened only if something is."""
        async with self._open_read() as source:
            next_at = await find_next_due_time(source, gateway_id)
        if next_at is None or next_at > moment:
            return GatewayWorkload.without_work(gateway_id, next_at), ()
        async with self._open_transaction() as session:
            workload = await load_workload(session, gateway_id, moment)
            beating = [one.agent for one in workload.heartbeats]
            builders = await self._load_bundles(session, beating, {}) if beating else {}
            heartbeats = [
                replace(one, bundle_builder=builders.get(one.agent.id))
                for one in workload.heartbeats
            ]
            workload = replace(workload, heartbeats=heartbeats)
            return workload, await self._prepare_due_agents(session, workload)

    async def _prepare_due_agents(
        self, session: AsyncSession, workload: GatewayWorkload
    ) -> Sequence[DueAgent]:
        """Load what the due agents are to be given: tokens for their files, and bundles."""
        with_files = [one.agent for one in workload.due if one.agent.step is ProvisioningStep.FILES]
        tokens = await store.ensure_tokens(session, self._cipher, with_files) if with_files else {}
        due = [
            DueAgent(*tokens.get(one.agent.id, (one.agent, "")), is_paused=one.is_paused)
            for one in workload.due
            if one.agent.step is not ProvisioningStep.FILES or one.agent.id in tokens
        ]
        readers = [one.agent for one in due if one.agent.step in STEPS_WITH_BUNDLE]
        token_of = {one.agent.id: one.token for one in due}
        builders = await self._load_bundles(session, readers, token_of) if readers else {}
        return [replace(one, bundle_builder=builders.get(one.agent.id)) for one in due]

    async def _wait_until_connected(self, gateway_id: UUID, client: GatewayClient) -> None:
        since = self._clock()
        await client.wait_connected()
        await self.resume(gateway_id, self._clock() - since)

    def _wait_time(self, next_at: datetime | None) -> float:
        if next_at is None:
            return IDLE_POLL_INTERVAL
        seconds = (next_at - self._clock()).total_seconds()
        return min(max(seconds, MIN_PASS_INTERVAL), POLL_INTERVAL)
