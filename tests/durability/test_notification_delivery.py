"""After kill -9 of the server every notification is delivered; what is repeated has the same id."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest
from sqlalchemy import func, select, update
from sqlalchemy.ext.asyncio import AsyncEngine, async_sessionmaker, create_async_engine

from core.clock import now
from core.config.settings import Settings
from core.db.engine import TransactionFactory
from core.security.encryption import SecretCipher
from core.security.webhook_signatures import generate_signing_secret
from models import (
    ChannelKind,
    DeliveryState,
    Member,
    NotificationChannel,
    NotificationDelivery,
    NotificationKind,
    User,
    new_id,
)
from services import notifications
from services.notifications import NewNotification
from tests.support.http_receiver import HttpReceiver, run_http_receiver
from tests.support.installation import (
    LOCAL_AUTH,
    LOCAL_TOKEN,
    ApiClient,
    Installation,
    find_free_port,
)
from tests.support.tiers import IS_COMPLETE_RUN

COUNT = 60 if IS_COMPLETE_RUN else 24  # notifications
KILLED_AT = (COUNT // 4, COUNT // 2) if IS_COMPLETE_RUN else (COUNT // 4,)
TIMEOUT = 60  # seconds


@pytest.fixture
def installation(tmp_path: Path) -> Iterator[Installation]:
    environment = {"LOG_LEVEL": "WARNING", "OUTBOUND_ALLOW_PRIVATE": "127.0.0.0/8"}
    installation = Installation(tmp_path / "data", find_free_port(), LOCAL_AUTH | environment)
    yield installation.start()
    installation.stop()


@pytest.fixture
async def transaction(installation: Installation) -> AsyncIterator[TransactionFactory]:
    dsn = installation.database().dsn
    engine: AsyncEngine = create_async_engine(
        dsn.replace("postgresql:", "postgresql+asyncpg:", 1), pool_pre_ping=True
    )
    yield async_sessionmaker(engine, expire_on_commit=False).begin
    await engine.dispose()


async def add_channel(
    transaction: TransactionFactory, installation: Installation, url: str
) -> Member:
    """Add a signed webhook of the only user, and return their membership."""
    with ApiClient(installation.url, LOCAL_TOKEN) as api:
        api.create_board()
    settings = Settings(data_dir=installation.data_dir, database_url="postgresql://unused/x")
    async with transaction() as session:
        user = (await session.scalars(select(User))).one()
        query = select(Member).where(Member.user_id == user.id)
        member = (await session.scalars(query)).one()
        id = new_id()
        config = {"url": url, "secret": generate_signing_secret()}
        values: dict[str, Any] = dict.fromkeys(("created_at", "updated_at", "confirmed_at"), now())
        session.add(
            NotificationChannel(
                id=id,
                user_id=user.id,
                organization_id=member.organization_id,
                kind=ChannelKind.WEBHOOK,
                name="Receiver",
                encrypted_config=SecretCipher(settings).encrypt(
                    orjson.dumps(config), notifications.config_context(id)
                ),
                **values,
            )
        )
    return member


async def notify_all(transaction: TransactionFactory, member: Member) -> None:
    """Create the notifications, each in a transaction of its own."""
    for number in range(COUNT):
        new = NewNotification(
            NotificationKind.MENTION,
            member.organization_id,
            f"comment:{number}",
            user_ids=[member.user_id],
            data={"title": f"Task {number}"},
        )
        async with transaction() as session:
            await notifications.notify(session, [new])


async def wait_for_requests(receiver: HttpReceiver, count: int) -> None:
    async with asyncio.timeout(TIMEOUT):
        while len(receiver.requests) < count:
            await asyncio.sleep(0.05)


async def count_delivered(transaction: TransactionFactory) -> int:
    query = select(func.count()).where(NotificationDelivery.state == DeliveryState.DELIVERED)
    async with transaction() as session:
        return await session.scalar(query) or 0


async def test_every_notification_is_delivered_after_kill_9(
    installation: Installation, transaction: TransactionFactory
) -> None:
    async with run_http_receiver() as receiver:
        member = await add_channel(transaction, installation, receiver.address)
        creating = asyncio.create_task(notify_all(transaction, member))
        for count in KILLED_AT:
            await wait_for_requests(receiver, count)
            await asyncio.to_thread(installation.kill)
            await asyncio.to_thread(installation.start)
        await creating
        async with transaction() as session:  # let the claims of the killed process end
            await session.execute(
                update(NotificationDelivery)
                .where(NotificationDelivery.state == DeliveryState.SENDING)
                .values(next_attempt_at=now())
            )
        async with asyncio.timeout(TIMEOUT):
            while await count_delivered(transaction) < COUNT:
                await asyncio.sleep(0.1)
    by_id: dict[str, set[str]] = {}
    for request in receiver.requests:
        by_id.setdefault(request.headers["webhook-id"], set()).add(request.json["data"]["id"])
    assert len(by_id) == COUNT
    assert all(len(messages) == 1 for messages in by_id.values())
