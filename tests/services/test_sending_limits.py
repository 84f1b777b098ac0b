"""Receivers that do not answer delay no other user, organization and kind of channel."""

import asyncio
from uuid import UUID

import orjson
import pytest

from core.clock import now
from core.config.settings import Settings
from core.db.engine import TransactionFactory
from models import ChannelKind, NotificationChannel, NotificationDelivery, User, new_id
from services import notifications
from services.notifications.deliveries import MAX_MAILS, MAX_OF_ORGANIZATION
from tests.support.notification_harness import NotificationHarness
from tests.support.people_rows import make_user
from tests.support.world import World


@pytest.fixture
def harness(
    isolated_settings: Settings, isolated_transaction: TransactionFactory, isolated_world: World
) -> NotificationHarness:
    return NotificationHarness(isolated_settings, isolated_transaction, isolated_world)


async def add_tests(
    harness: NotificationHarness, name: str, organization_id: UUID, kind: ChannelKind, count: int
) -> None:
    """Add due test messages on channels of as many users."""
    async with harness.transaction() as session:
        for _ in range(count):
            id = new_id()
            user = make_user(str(id))
            config = orjson.dumps({"name": name})
            encrypted = harness.cipher.encrypt(config, notifications.config_context(id))
            session.add(user)
            await session.flush()
            session.add(build_channel(id, user, organization_id, kind, encrypted))
            await session.flush()
            times = {"created_at": now(), "next_attempt_at": now()}
            session.add(NotificationDelivery(id=new_id(), channel_id=id, **times))


def build_channel(
    id: UUID, user: User, organization_id: UUID, kind: ChannelKind, encrypted_config: str
) -> NotificationChannel:
    times = {"confirmed_at": now(), "created_at": now(), "updated_at": now()}
    return NotificationChannel(
        id=id,
        user_id=user.id,
        organization_id=organization_id,
        kind=kind,
        name="Channel",
        encrypted_config=encrypted_config,
        **times,
    )


async def send_until(harness: NotificationHarness, name: str, count: int) -> None:
    """Send what is due until so many messages were sent to a receiver."""
    sender = harness.create_sender()
    async with asyncio.timeout(20):
        while len(harness.receiver.sent[name]) < count:
            await sender.run_due()
            await asyncio.sleep(0)
    await sender.close()


async def test_a_slow_mail_server_delays_only_mails(harness: NotificationHarness) -> None:
    tern, plover = harness.world.tern.id, harness.world.plover.id
    harness.receiver.hang.add("mail")
    for organization_id in (tern, plover):
        await add_tests(harness, "mail", organization_id, ChannelKind.EMAIL, 40)
    await add_tests(harness, "chat", tern, ChannelKind.SLACK, 3)
    await send_until(harness, "chat", 3)
    assert len(harness.receiver.sent["mail"]) == MAX_MAILS


async def test_slow_receivers_delay_only_their_organization(harness: NotificationHarness) -> None:
    tern, plover = harness.world.tern.id, harness.world.plover.id
    harness.receiver.hang.add("slow")
    await add_tests(harness, "slow", tern, ChannelKind.WEBHOOK, 80)
    await add_tests(harness, "fast", plover, ChannelKind.WEBHOOK, 3)
    await send_until(harness, "fast", 3)
    assert len(harness.receiver.sent["slow"]) == MAX_OF_ORGANIZATION
