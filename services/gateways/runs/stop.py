"""The gateway job that aborts the runs of our agents while their organization is stopped."""

import asyncio
import logging
from collections.abc import Collection
from contextlib import suppress

from sqlalchemy import bindparam, select

from core.db.listen import PostgresListener
from core.db.reads import Query, ReadFactory
from models import Gateway, Organization
from openclaw import GatewayClient, GatewayError
from openclaw import api as gateway_api
from services.gateways.runs import store
from services.gateways.runs.client import list_active_sessions

ABORT_INTERVAL = 1.0  # seconds between two searches for runs while the organization is stopped
POLL_INTERVAL = 30.0  # seconds between two checks for a stop, if no notification arrives
OUTAGE_POLL_INTERVAL = 3.0  # the same while no notification can arrive
ABORT_TIMEOUT = 2.0  # seconds for the abort of one run
MAX_ABORTS = 20  # at once, so that runs that do not answer do not delay the others
DEBOUNCE_DELAY = 0.1  # seconds, in which several notifications are handled as one

STOPPED_ORGANIZATION = Query(
    select(Organization.id).where(
        Organization.id == bindparam("id"), Organization.stopped_at.is_not(None)
    )
)

log = logging.getLogger(__name__)


class RunAbortJob:
    """A gateway job: aborts the runs of our agents while their organization is stopped.

    It searches again and again, because a message that was claimed before the stop, a heartbeat of
    the gateway or a user of the gateway may start another run.
    """

    def __init__(self, open_read: ReadFactory, listener: PostgresListener) -> None:
        self._open_read = open_read
        self._listener = listener

    async def __call__(self, gateway: Gateway, client: GatewayClient) -> None:
        """Abort runs whenever the organization is stopped, until cancelled."""
        with self._listener.subscribe(str(gateway.organization_id)) as notified:
            while True:
                await client.wait_connected()
                notified.clear()
                is_stopped = await self._abort_if_stopped(gateway, client)
                with suppress(TimeoutError):
                    await asyncio.wait_for(notified.wait(), self._wait_time(is_stopped))
                await asyncio.sleep(DEBOUNCE_DELAY)

    def _wait_time(self, is_stopped: bool) -> float:
        if is_stopped:
            return ABORT_INTERVAL
        return POLL_INTERVAL if self._listener.connected.is_set() else OUTAGE_POLL_INTERVAL

    async def _abort_if_stopped(self, gateway: Gateway, client: GatewayClient) -> bool:
        async with self._open_read() as source:
            if not await STOPPED_ORGANIZATION.fetch(source, id=gateway.organization_id):
                return False
            agents = await store.load_run_agents(source, gateway.id)
        try:
            errors = await _abort_runs(client, agents)
        except GatewayError as error:
            errors = [error]
        for error in errors[:1]:
            log.warning(
                "Runs on the gateway %s cannot be aborted (%d errors): %s",
                gateway.id,
                len(errors),
                error,
            )
        return True


async def _abort_runs(client: GatewayClient, agent_keys: Collection[str]) -> list[GatewayError]:
    """Abort the active runs of these agents, and return the errors of those that continue."""
    errors: list[GatewayError] = []
    semaphore = asyncio.Semaphore(MAX_ABORTS)

    async def abort(key: str) -> None:
        async with semaphore:
            try:
                await gateway_api.abort_chat(client, key, time_limit=ABORT_TIMEOUT)
            except GatewayError as error:
                errors.append(error)

    sessions = await list_active_sessions(client, agent_keys)
    async with asyncio.TaskGroup() as group:
        for key, _ in sessions:
            group.create_task(abort(key))
    return errors
