"""Stays in touch with gateways, so that it is known without asking whether each is there.

It runs in every worker. A gateway is held by one of them, by a lease in its row; when that one
dies, another takes it over. docs/decisions/openclaw-client.md says why.
"""

import asyncio
import logging
import os
import secrets
import socket
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager, suppress
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from kit.errors import Refusal
from kit.last_resort import is_outage
from models import Gateway
from openclaw import Budget, Ladder
from services import gateways

Transaction = Callable[[], AbstractAsyncContextManager[AsyncSession]]

PATIENT = Budget(first_rest=1.0, longest_rest=7.0)
TIME_TO_CLOSE = 0.3  # seconds for the connections, when all is to end

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Held:
    """A gateway as it was when we went to it, and what stays connected to it."""

    version: int
    task: asyncio.Task[None]


class Holder:
    """Holds the gateways that nobody else holds: looks which these are, every few seconds."""

    def __init__(
        self,
        carrier: gateways.Carrier,
        transaction: Transaction,
        *,
        stations: Sequence[gateways.Station] = (),
        every: float = 5.0,
        lease: float = 20.0,
        budget: Budget = PATIENT,
    ) -> None:
        self.name = f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(4)}"
        self._carrier = carrier
        self._transaction = transaction
        self._stations = stations
        self._every = every
        self._lease = timedelta(seconds=lease)
        self._budget = budget
        self._held: dict[UUID, Held] = {}
        self._ours_until = float("-inf")  # on the loop's clock: what is held, and no longer

    async def run(self, stop: asyncio.Event) -> None:
        """Hold gateways until `stop` is set. While the database is away, none is held for long."""
        try:
            while not stop.is_set():
                await self._look()
                with suppress(TimeoutError):
                    await asyncio.wait_for(stop.wait(), self._every)
        finally:
            await self._let_go()

    async def _look(self) -> None:
        """Claim what is free, go to what is new or changed, and leave what is no longer ours.

        A look that fails cuts no connection as long as the next one may still be in time, and none
        takes longer than what it holds is ours.
        """
        clock, lease = asyncio.get_running_loop().time, self._lease.total_seconds()
        began = clock()
        in_time = self._ours_until if self._held else began + lease
        try:
            async with asyncio.timeout_at(in_time), self._transaction() as session:
                mine = await gateways.claim(session, self.name, self._lease)
        except Exception as error:
            log.warning("No gateway is claimed: %s", error, exc_info=not is_outage(error))
            if clock() + self._every < self._ours_until:
                return
            mine = []
        else:
            self._ours_until = began + lease
        versions = {gateway.id: gateway.version for gateway in mine}
        stale = [id for id, held in self._held.items() if versions.get(id) != held.version]
        await self._leave(stale)
        for gateway in mine:
            if gateway.id not in self._held:
                task = asyncio.create_task(self._keep(gateway))
                self._held[gateway.id] = Held(gateway.version, task)

    async def _keep(self, gateway: Gateway) -> None:
        """Stay connected, and write down whenever it stands otherwise with the gateway."""

        async def heard(ladder: Ladder) -> None:
            look = gateways.Look.of(self._carrier, gateway.id, ladder)
            async with self._transaction() as session:
                await gateways.note(session, gateway, look)

        while True:
            try:
                await self._carrier.keep(
                    gateway, heard, stations=self._stations, budget=self._budget
                )
            except Refusal as refusal:
                log.warning("The gateway %s cannot be held: %s", gateway.id, refusal.message)
                return  # until it is changed
            except Exception:
                log.exception("The gateway %s is lost for a moment.", gateway.id)
            await asyncio.sleep(self._every)

    async def _leave(self, ids: list[UUID]) -> None:
        tasks = [self._held.pop(id).task for id in ids]
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks, timeout=TIME_TO_CLOSE)

    async def _let_go(self) -> None:
        """Leave all gateways to others at once: they need not wait for the lease to end."""
        await self._leave(list(self._held))
        with suppress(Exception):
            async with asyncio.timeout(TIME_TO_CLOSE), self._transaction() as session:
                await gateways.let_go(session, self.name)
