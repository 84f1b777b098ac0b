"""What people send by hand is counted before the transaction, because a count may wait."""

import asyncio
from collections.abc import AsyncGenerator, Collection, Mapping, Sequence
from contextlib import asynccontextmanager, suppress

import httpx2
import pytest
from sqlalchemy.ext.asyncio import AsyncSession

from app import RateLimits
from core.config.settings import Settings
from core.db.engine import TransactionFactory
from core.shared_limiters import Claim, Share, SharedLimits
from tests.support.api_objects import CHANNEL_DELIVERY_ID, CHANNEL_ID, create_api_objects
from tests.support.app_on_transactions import build_app_on
from tests.support.people_rows import cookie_secret, token_secret
from tests.support.world import World
from web.auth.viewer import SESSION_COOKIE

WEBHOOK = {"url": "https://receiver.example/hook"}
CHANNEL = f"channels/{CHANNEL_ID}"


class OpenTransactions:
    """Counts open transactions, and notes how many there are when a limit is claimed."""

    def __init__(self, transaction: TransactionFactory) -> None:
        self._transaction = transaction
        self._open = 0
        self.at_claims: list[int] = []

    @asynccontextmanager
    async def begin(self) -> AsyncGenerator[AsyncSession]:
        self._open += 1
        try:
            async with self._transaction() as session:
                yield session
        finally:
            self._open -= 1

    async def claim(self, claims: Sequence[Claim]) -> Mapping[str, Share]:
        self.at_claims.append(self._open)
        return {one.key: Share(one.needed, None) for one in claims}

    async def give_back(self, keys: Collection[str]) -> int:
        return len(keys)


@pytest.mark.parametrize(
    "path",
    [
        "/api/v1/webhooks/{webhook}/tests",
        "/api/v1/webhooks/{webhook}/replays",
        "/api/v1/webhooks/{webhook}/deliveries/{delivery}/replays",
        f"/api/v1/{CHANNEL}/deliveries/{CHANNEL_DELIVERY_ID}/replays",
        "/webhooks/{webhook}/tests",
        "/webhooks/{webhook}/replays",
        "/webhooks/{webhook}/deliveries/{delivery}/replays",
        f"/settings/{CHANNEL}/deliveries/{CHANNEL_DELIVERY_ID}/sendings",
    ],
)
async def test_a_message_by_hand_is_counted_before_its_transaction(
    settings: Settings, transaction: TransactionFactory, world: World, path: str
) -> None:
    async with transaction() as session:
        await create_api_objects(session, world)
    opened = OpenTransactions(transaction)
    limits = RateLimits.from_settings(settings, SharedLimits(opened))
    app = build_app_on(settings, opened.begin, rate_limits=limits)
    token = {"Authorization": f"Bearer {token_secret(world.alice)}"}
    days = {"since": "2026-01-01", "until": "2026-01-02"}
    async with httpx2.AsyncClient(
        transport=httpx2.ASGITransport(app), base_url="http://mission.test"
    ) as client:
        made = await client.post("/api/v1/webhooks", json=WEBHOOK, headers=token)
        webhook = f"/api/v1/webhooks/{made.json()['id']}"
        test = (await client.post(f"{webhook}/tests", headers=token)).json()
        opened.at_claims.clear()
        address = path.format(webhook=made.json()["id"], delivery=test["id"])
        if path.startswith("/api"):
            body = {name: f"{day}T00:00:00Z" for name, day in days.items()}
            await client.post(address, json=body, headers=token)
        else:
            client.cookies.set(SESSION_COOKIE, cookie_secret(world.alice))
            await client.post(address, data=days, headers={"Sec-Fetch-Site": "same-origin"})
    assert opened.at_claims == [0]


class InterruptedTransactions:
    """Interrupts the request after the given number of commits, as a lost connection does."""

    def __init__(self, transaction: TransactionFactory) -> None:
        self._transaction = transaction
        self.left = -1  # commits until then; negative: it is not interrupted

    @asynccontextmanager
    async def begin(self) -> AsyncGenerator[AsyncSession]:
        async with self._transaction() as session:
            yield session
        self.left -= 1
        if self.left == 0:
            raise asyncio.CancelledError


async def test_a_repeated_request_sends_once_wherever_the_first_was_interrupted(
    settings: Settings, transaction: TransactionFactory, world: World
) -> None:
    opened = InterruptedTransactions(transaction)
    app = build_app_on(settings, opened.begin)
    token = {"Authorization": f"Bearer {token_secret(world.alice)}"}
    async with httpx2.AsyncClient(
        transport=httpx2.ASGITransport(app), base_url="http://mission.test", headers=token
    ) as client:
        made = await client.post("/api/v1/webhooks", json=WEBHOOK)
        log = f"/api/v1/webhooks/{made.json()['id']}"
        commits, is_interrupted = 0, True
        while is_interrupted:
            commits += 1
            key = {"Idempotency-Key": f"test {commits}"}
            opened.left = commits
            with suppress(asyncio.CancelledError):
                await client.post(f"{log}/tests", headers=key)
                is_interrupted = False
            opened.left = -1
            assert (await client.post(f"{log}/tests", headers=key)).status_code == 200
            assert (await client.get(f"{log}/deliveries")).json()["total"] == commits
    assert commits > 2
