"""Limits of requests to incoming webhooks, by address and by webhook."""

import asyncio
import time
from collections import Counter

import httpx2
import pytest
from sqlalchemy import func, select
from starlette.types import ASGIApp

from core.config.settings import Settings
from core.db.engine import TransactionFactory
from models import BoardWebhook, WebhookPayload
from tests.contract.test_board_webhooks import send
from tests.support.api_fixtures import Client
from tests.support.app_on_transactions import build_app_on
from tests.support.board_rows import make_webhook
from tests.support.world import World

LIMIT = 60  # requests in a minute
FLOOD = 1_000
WEBHOOKS, ADDRESSES, CONCURRENT = 5, 200, 25


@pytest.fixture
def limited_app(settings: Settings, transaction: TransactionFactory) -> ASGIApp:
    return build_app_on(settings, transaction)


def client_at(app: ASGIApp, address: str) -> Client:
    """Return a client that calls from an address."""
    transport = httpx2.ASGITransport(app, client=(address, 123))
    return httpx2.AsyncClient(transport=transport, base_url="http://mission.test/api/v1")


async def add_webhooks(
    transaction: TransactionFactory, world: World, count: int = 1
) -> list[BoardWebhook]:
    async with transaction() as session:
        hooks = [make_webhook(world.board) for _ in range(count)]
        session.add_all(hooks)
    return hooks


async def test_of_a_flood_the_accepted_payloads_are_stored_and_the_others_can_be_repeated(
    isolated_settings: Settings, isolated_transaction: TransactionFactory, isolated_world: World
) -> None:
    """11.1, step 2. A flood gets 429 with Retry-After, and no other error."""
    hooks = await add_webhooks(isolated_transaction, isolated_world, WEBHOOKS)
    app = build_app_on(isolated_settings, isolated_transaction)
    clients = [client_at(app, f"192.0.2.{number}") for number in range(ADDRESSES)]
    started = time.monotonic()
    statuses, ids, numbers = Counter[int](), set[str](), iter(range(FLOOD))

    async def send_some() -> None:
        for number in numbers:
            hook = hooks[number % WEBHOOKS]
            path = f"/boards/{hook.board_id}/webhooks/{hook.id}"
            answer = await send(clients[number % ADDRESSES], path)
            statuses[answer.status_code] += 1
            if answer.status_code == 202:
                ids.add(answer.json()["payload_id"])
            else:
                assert 1 <= int(answer.headers["Retry-After"]) <= LIMIT

    async with asyncio.TaskGroup() as group:
        for _ in range(CONCURRENT):
            group.create_task(send_some())
    assert statuses.keys() == {202, 429}
    assert statuses[202] + statuses[429] == FLOOD
    minutes = 1 + int((time.monotonic() - started) // 60)  # that have begun
    assert LIMIT * WEBHOOKS <= statuses[202] <= LIMIT * WEBHOOKS * minutes
    assert len(ids) == statuses[202]
    async with isolated_transaction() as session:
        stored = await session.scalars(select(WebhookPayload.id))
        assert {str(id) for id in stored} == ids


async def test_requests_of_one_address_are_limited_for_all_webhooks(
    limited_app: ASGIApp, transaction: TransactionFactory, world: World
) -> None:
    hooks = await add_webhooks(transaction, world, 2)
    first, second = [f"/boards/{hook.board_id}/webhooks/{hook.id}" for hook in hooks]
    client = client_at(limited_app, "192.0.2.1")
    for _ in range(LIMIT):
        assert (await client.post(first)).status_code == 403
    assert (await send(client, second)).status_code == 429
    other = client_at(limited_app, "192.0.2.2")
    assert (await send(other, first)).status_code == 202  # forged requests count for nobody else


async def test_requests_to_one_webhook_are_limited_for_all_addresses(
    limited_app: ASGIApp, transaction: TransactionFactory, world: World
) -> None:
    hooks = await add_webhooks(transaction, world, 2)
    first, second = [f"/boards/{hook.board_id}/webhooks/{hook.id}" for hook in hooks]
    clients = [client_at(limited_app, f"192.0.2.{number}") for number in range(4)]
    for number in range(LIMIT):
        answer = await send(clients[number % 3], first, X_GitHub_Delivery="one")
        assert answer.status_code == 202
    limited = await send(clients[3], first)
    assert limited.status_code == 429
    assert limited.json()["code"] == "rate_limited"
    assert (await send(clients[3], second)).status_code == 202
    async with transaction() as session:
        assert await session.scalar(select(func.count(WebhookPayload.id))) == 2
