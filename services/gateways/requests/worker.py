"""The gateway job for requests: it stores new requests and delivers the answers of users."""

import asyncio
import logging
from collections import defaultdict
from collections.abc import Sequence
from contextlib import suppress
from uuid import UUID

from core.db.engine import TransactionFactory
from core.db.listen import PostgresListener
from core.db.reads import ReadFactory
from models import Gateway, GatewayRequest, RequestKind
from openclaw import GatewayClient, GatewayError, GatewayEvent, poll_events
from services.gateways.requests import client as requests_client
from services.gateways.requests import commands
from services.gateways.requests.parser import ParsedRequest, RequestHash, parse_request

POLL_INTERVAL = 20.0  # seconds between two loads of the waiting requests, whatever events arrive
DEBOUNCE = 0.2  # seconds in which several notifications become one
STORED_AT_ONCE = 20  # requests in one transaction
RETRY_DELAY = 1.0  # seconds after an attempt that the gateway did not answer

KIND_OF_EVENT = {
    "exec.approval.requested": RequestKind.EXEC,
    "exec.approval.resolved": RequestKind.EXEC,
    "plugin.approval.requested": RequestKind.PLUGIN,
    "plugin.approval.resolved": RequestKind.PLUGIN,
    "question.requested": RequestKind.QUESTION,
    "question.resolved": RequestKind.QUESTION,
}
"""The gateway events about requests."""

log = logging.getLogger(__name__)


class RequestSyncJob:
    """A gateway job: synchronizes requests and answers.

    The gateway's list of waiting requests is authoritative; events only report changes sooner.
    """

    def __init__(
        self,
        open_transaction: TransactionFactory,
        open_read: ReadFactory,
        listener: PostgresListener,
        *,
        poll_interval: float = POLL_INTERVAL,
    ) -> None:
        self._open_transaction = open_transaction
        self._open_read = open_read
        self._listener = listener
        self._poll_interval = poll_interval
        self._known_hashes: defaultdict[tuple[UUID, RequestKind], dict[str, RequestHash]]
        self._known_hashes = defaultdict(dict)

    async def __call__(self, gateway: Gateway, client: GatewayClient) -> None:
        """Work for a gateway until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._receive_requests(gateway, client))
            group.create_task(self._deliver_answers(gateway, client))

    async def _receive_requests(self, gateway: Gateway, client: GatewayClient) -> None:
        async def load_all(_has_missed: bool) -> None:
            await self._refresh(gateway, client)

        async def handle_event(event: GatewayEvent) -> None:
            await self._handle_event(gateway, client, event)

        await poll_events(
            client,
            KIND_OF_EVENT,
            load_all=load_all,
            handle_event=handle_event,
            interval=self._poll_interval,
            retry_delay=lambda _: RETRY_DELAY,
        )

    async def _handle_event(
        self, gateway: Gateway, client: GatewayClient, event: GatewayEvent
    ) -> None:
        kind = KIND_OF_EVENT[event.name]
        if event.name.endswith(".resolved"):
            await self._resolve(gateway, client, kind, str(event.payload.get("id") or ""))
            return
        request = parse_request(kind, event.payload)
        if request:
            self._known_hashes[gateway.id, kind][request.request_id] = request.hash
            await self._store(gateway, [request])

    async def _refresh(self, gateway: Gateway, client: GatewayClient) -> None:
        """Store all waiting requests of a gateway, and resolve those that do not wait any more."""
        listed = {kind: await requests_client.list_waiting(client, kind) for kind in RequestKind}
        waiting = {kind: found for kind, found in listed.items() if found is not None}
        for kind, found in waiting.items():
            self._known_hashes[gateway.id, kind] = {id: one.hash for id, one in found.items()}
        requests = [one for found in waiting.values() for one in found.values()]
        for start in range(0, len(requests), STORED_AT_ONCE):
            await self._store(gateway, requests[start : start + STORED_AT_ONCE])
        async with self._open_read() as source:
            stored = await commands.list_stored_as_waiting(source, gateway.id)
        for kind, request_id in stored:
            if kind in waiting and request_id not in waiting[kind]:
                await self._resolve(gateway, client, kind, request_id)

    async def _store(self, gateway: Gateway, waiting: Sequence[ParsedRequest]) -> None:
        if waiting:
            async with self._open_transaction() as session:
                await commands.store_requests(session, gateway, waiting)

    async def _resolve(
        self, gateway: Gateway, client: GatewayClient, kind: RequestKind, id: str
    ) -> None:
        resolution = await requests_client.load_resolution(client, kind, id)
        if resolution is not None:
            async with self._open_transaction() as session:
                await commands.resolve_request(session, gateway, id, resolution)

    async def _deliver_answers(self, gateway: Gateway, client: GatewayClient) -> None:
        with self._listener.subscribe(str(gateway.organization_id)) as notified:
            while True:
                notified.clear()
                await client.wait_connected()
                async with self._open_read() as source:
                    requests = await commands.list_undelivered_answers(source, gateway.id)
                results = [await self._deliver_one(gateway, client, one) for one in requests]
                if not all(results):
                    await asyncio.sleep(RETRY_DELAY)
                    continue
                with suppress(TimeoutError):
                    await asyncio.wait_for(notified.wait(), self._poll_interval)
                    await asyncio.sleep(DEBOUNCE)

    async def _deliver_one(
        self, gateway: Gateway, client: GatewayClient, request: GatewayRequest
    ) -> bool:
        """Deliver one answer; return False if the gateway is unreachable and the answer waits."""
        known_hash = self._known_hashes[gateway.id, request.kind].get(request.request_id)
        try:
            resolution = await requests_client.deliver_answer(client, request, known_hash)
        except requests_client.AnswerRejected as rejected:
            async with self._open_transaction() as session:
                await commands.record_rejected_answer(session, request, str(rejected))
        except GatewayError as error:
            log.info("an answer waits for gateway %s: %s", gateway.id, error)
            return False
        else:
            async with self._open_transaction() as session:
                await commands.resolve_request(session, gateway, request.request_id, resolution)
        return True
