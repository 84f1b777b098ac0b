"""A receiver of webhooks on this machine, and a worker that delivers to it."""

import json
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import select
from standardwebhooks import Webhook

from core.clock import now
from core.config.parsers import LOOPBACK_NETWORKS
from core.config.settings import Settings
from core.db.engine import TransactionFactory
from core.db.listen import PostgresListener
from core.http.outbound import OutboundClient
from models import Board, EventType, Task, User, WebhookDelivery, WebhookEndpoint
from services import events, webhook_endpoints
from services.webhook_endpoints import (
    WebhookDeliveryWorker,
    WebhookEndpointCreate,
    WebhookEndpointUpdate,
)
from tests.support.delivery_gateway import OffsetClock
from tests.support.http_host import HostPage, HttpHost, run_http_host
from tests.support.secret_key import CIPHER, SECRET_KEY
from tests.support.world import World

SETTINGS = Settings(secret_key=SECRET_KEY, base_url="https://control.example")


@dataclass
class WebhookReceiver:
    """Receives webhooks, and verifies them with the reference library."""

    host: HttpHost
    world: World
    transaction: TransactionFactory
    worker: WebhookDeliveryWorker
    clock: OffsetClock
    secrets: dict[Any, str] = field(default_factory=dict)

    @property
    def url(self) -> str:
        return f"{self.host.address}/hook"

    def respond(self, status: int = 204, body: bytes = b"", **headers: str) -> None:
        """Set the response to all following requests."""
        self.host.pages["/hook"] = HostPage(body, status, headers)

    async def update_endpoint(self, endpoint_id: UUID, **changes: object) -> None:
        """Change an endpoint as Alice."""
        async with self.transaction() as session:
            member = await session.merge(self.world.alice_member)
            member.user = await session.merge(self.world.alice)
            locked = await webhook_endpoints.lock_endpoint(session, member, endpoint_id)
            await webhook_endpoints.update_endpoint(
                session, member, locked, WebhookEndpointUpdate.of(**changes)
            )

    async def create_endpoint(self, **fields: Any) -> WebhookEndpoint:
        draft = WebhookEndpointCreate(url=fields.pop("url", self.url), **fields)
        async with self.transaction() as session:
            member = await session.merge(self.world.alice_member)
            member.user = await session.merge(self.world.alice)
            endpoint, secret = await webhook_endpoints.create_endpoint(
                session, member, CIPHER, draft
            )
        self.secrets[endpoint.id] = secret
        return endpoint

    async def record_event(
        self,
        type: EventType = EventType.TASK_CREATED,
        *,
        board: Board | None = None,
        task: Task | None = None,
        actor: User | None = None,
        **data: Any,
    ) -> None:
        async with self.transaction() as session:
            event = events.NewEvent(
                type,
                actor or self.world.alice,
                organization_id=self.world.tern.id,
                board=board or self.world.board,
                task=task,
                data={"title": "Write the report", **data},
            )
            await events.record_events(session, [event])

    async def deliver(self, later: timedelta | None = None) -> None:
        """Do the work that is due, or that is due at a later time."""
        self.clock.offset += later or timedelta()
        await self.worker.start_work()
        await self.worker.wait_idle()

    async def list_deliveries(self) -> list[WebhookDelivery]:
        async with self.transaction() as session:
            query = select(WebhookDelivery).order_by(WebhookDelivery.number)
            return list(await session.scalars(query))

    async def get_endpoint(self, endpoint: WebhookEndpoint) -> WebhookEndpoint:
        async with self.transaction() as session:
            return (await session.scalars(select(WebhookEndpoint).filter_by(id=endpoint.id))).one()

    def list_received(self) -> list[tuple[dict[str, str], Any]]:
        """Return the headers and the parsed bodies of the requests."""
        return [(parse_headers(head), json.loads(body)) for head, body in self.host.received]

    def verify(self, endpoint: WebhookEndpoint, secret: str | None = None) -> list[Any]:
        """Verify all requests with the reference library, and return their bodies."""
        reference = Webhook(secret or self.secrets[endpoint.id])
        return [reference.verify(body, parse_headers(head)) for head, body in self.host.received]


def parse_headers(head: str) -> dict[str, str]:
    """Return the headers of a request by their lower-case names."""
    pairs = (line.partition(": ") for line in head.splitlines()[1:] if line)
    return {name.lower(): value for name, _, value in pairs}


@asynccontextmanager
async def run_webhook_receiver(
    settings: Settings, transaction: TransactionFactory, world: World
) -> AsyncGenerator[WebhookReceiver]:
    """Run a receiver that accepts everything, with a worker that works when it is told to."""
    clock = OffsetClock()
    worker = create_worker(settings, transaction, clock)
    async with run_http_host() as host:
        receiver = WebhookReceiver(host, world, transaction, worker, clock)
        receiver.respond()
        yield receiver


def create_worker(
    settings: Settings,
    transaction: TransactionFactory,
    clock: OffsetClock | None = None,
    client: OutboundClient | None = None,
) -> WebhookDeliveryWorker:
    """Create a worker that may send to this machine."""
    return WebhookDeliveryWorker(
        settings.model_copy(update={"base_url": SETTINGS.base_url}),
        transaction,
        transaction,
        PostgresListener(),
        client=client or OutboundClient(LOOPBACK_NETWORKS, total_timeout=60.0),
        clock=clock or now,
    )


@pytest.fixture
async def receiver(
    isolated_settings: Settings, isolated_transaction: TransactionFactory, isolated_world: World
) -> AsyncIterator[WebhookReceiver]:
    async with run_webhook_receiver(
        isolated_settings, isolated_transaction, isolated_world
    ) as receiver:
        yield receiver
