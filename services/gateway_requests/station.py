"""What works for requests over the connection to a gateway: hears what is asked, tells answers."""

import asyncio
import logging
from collections import defaultdict
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, suppress
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from kit.doorbell import Doorbell
from models import Gateway, GatewayRequest, RequestKind
from openclaw import Event, GatewayError, Link, watch
from services.gateway_requests import asking, keeping
from services.gateway_requests.reading import one

LOOK_ANYWAY = 20.0  # seconds between two looks at what a gateway lists, however much it tells
SETTLE = 0.2  # seconds in which several rings become one
REST = 1.0  # seconds after a look that a gateway has not answered

KINDS = {
    "exec.approval.requested": RequestKind.EXEC,
    "exec.approval.resolved": RequestKind.EXEC,
    "question.requested": RequestKind.QUESTION,
    "question.resolved": RequestKind.QUESTION,
}
"""The events of a gateway that tell of requests."""

Transaction = Callable[[], AbstractAsyncContextManager[AsyncSession]]

log = logging.getLogger(__name__)


class Station:
    """Brings what gateways ask before people, and their answers to gateways.

    What a gateway lists is the truth; events only tell of it sooner.
    """

    def __init__(
        self, transaction: Transaction, doorbell: Doorbell, *, look_anyway: float = LOOK_ANYWAY
    ) -> None:
        self._transaction = transaction
        self._doorbell = doorbell
        self._look_anyway = look_anyway
        self._heard: defaultdict[tuple[UUID, RequestKind], dict[str, str]] = defaultdict(dict)

    async def __call__(self, gateway: Gateway, link: Link) -> None:
        """Work for a gateway until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._hear(gateway, link))
            group.create_task(self._tell(gateway, link))

    async def _hear(self, gateway: Gateway, link: Link) -> None:
        async def look(_has_missed: bool) -> None:
            for kind in RequestKind:
                await self._look(gateway, link, kind)

        async def take(event: Event) -> None:
            await self._take(gateway, link, event)

        every = self._look_anyway
        await watch(link, KINDS, look=look, take=take, every=every, rest=lambda _: REST)

    async def _take(self, gateway: Gateway, link: Link, event: Event) -> None:
        kind = KINDS[event.name]
        if event.name.endswith(".resolved"):
            await self._settle(gateway, link, kind, str(event.payload.get("id") or ""))
            return
        asked = one(kind, event.payload)
        if asked:
            self._heard[gateway.id, kind][asked.request_id] = asked.sha256
        async with self._transaction() as session:
            await keeping.write_down(session, gateway, [asked] if asked else [])

    async def _look(self, gateway: Gateway, link: Link, kind: RequestKind) -> None:
        """Write down all that a gateway asks, and settle what it asks no more."""
        listed = await asking.listed(link, kind)
        if listed is None:
            return
        self._heard[gateway.id, kind] = {id: asked.sha256 for id, asked in listed.items()}
        async with self._transaction() as session:
            await keeping.write_down(session, gateway, list(listed.values()))
            gone = await keeping.waiting(session, gateway.id, kind, besides=listed.keys())
        for request_id in gone:
            await self._settle(gateway, link, kind, request_id)

    async def _settle(self, gateway: Gateway, link: Link, kind: RequestKind, id: str) -> None:
        fate = await asking.fate(link, kind, id)
        if fate is not None:
            async with self._transaction() as session:
                await keeping.settle(session, gateway, id, fate)

    async def _tell(self, gateway: Gateway, link: Link) -> None:
        with self._doorbell.hear(str(gateway.organization_id)) as ringing:
            while True:
                ringing.clear()
                await link.up()
                async with self._transaction() as session:
                    requests = await keeping.to_deliver(session, gateway.id)
                told = [await self._deliver(gateway, link, request) for request in requests]
                if not all(told):
                    await asyncio.sleep(REST)
                    continue
                with suppress(TimeoutError):
                    await asyncio.wait_for(ringing.wait(), self._look_anyway)
                    await asyncio.sleep(SETTLE)

    async def _deliver(self, gateway: Gateway, link: Link, request: GatewayRequest) -> bool:
        """Tell a gateway one answer. While it is away the answer waits, and False is returned."""
        heard = self._heard[gateway.id, request.kind].get(request.request_id)
        try:
            fate = await asking.tell(link, request, heard)
        except asking.Refused as refused:
            async with self._transaction() as session:
                await keeping.refuse(session, request, str(refused))
        except GatewayError as error:
            log.info("an answer waits for gateway %s: %s", gateway.id, error)
            return False
        else:
            async with self._transaction() as session:
                await keeping.settle(session, gateway, request.request_id, fate)
        return True
