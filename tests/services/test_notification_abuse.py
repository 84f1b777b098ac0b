"""Nobody can stop or delay the notifications of others."""

import asyncio
from datetime import timedelta

import pytest

from core.clock import now
from core.config.settings import Settings
from core.db.engine import TransactionFactory
from models import NotificationKind
from services.notifications import BATCH_SIZE
from services.notifications.deliveries import MAX_OF_USER
from services.notifications.delivery_plans import MAX_SINGLE
from tests.support.notification_harness import NotificationHarness
from tests.support.world import World

Kind = NotificationKind


@pytest.fixture
def harness(
    isolated_settings: Settings, isolated_transaction: TransactionFactory, isolated_world: World
) -> NotificationHarness:
    return NotificationHarness(isolated_settings, isolated_transaction, isolated_world)


async def test_many_notifications_on_many_channels_are_planned(
    harness: NotificationHarness,
) -> None:
    bob = harness.world.bob
    for number in range(21):
        await harness.add_channel(bob, f"channel {number}")
    for _ in range(BATCH_SIZE):
        await harness.notify(Kind.INVITATION, bob)
    await harness.run()
    assert len(await harness.list_deliveries()) == BATCH_SIZE * 21


async def test_receivers_that_do_not_answer_delay_no_other_user(
    harness: NotificationHarness,
) -> None:
    bob, rita = harness.world.bob, harness.world.rita
    harness.receiver.hang.add("tarpit")
    await harness.add_channel(bob, "tarpit")
    await harness.add_channel(rita, "hers")
    for _ in range(45):
        await harness.notify(Kind.MENTION, bob)
    await harness.notify(Kind.MENTION, rita)
    sender = harness.create_sender()
    for _ in range(3):
        next_at = await sender.run_due()
        assert next_at
        assert next_at > now() + timedelta(seconds=0.05)  # no loop without a pause
        await asyncio.sleep(0.05)
    assert harness.titles("hers") == ["mention"]
    assert len(harness.titles("tarpit")) == MAX_OF_USER
    await sender.close()


async def test_a_flood_of_notifications_becomes_few_messages(harness: NotificationHarness) -> None:
    bob = harness.world.bob
    await harness.add_channel(bob, "his")
    for _ in range(MAX_SINGLE + 20):
        await harness.notify(Kind.MENTION, bob)
    await harness.notify(Kind.APPROVAL_PENDING, bob)
    for _ in range(15):
        await harness.run()
    collected = [one for one in await harness.list_deliveries() if one.is_digest]
    assert len(collected) == 20
    assert "approval_pending" in harness.titles("his")  # what is urgent is not collected
    await harness.make_due()
    await harness.run()
    assert len(harness.titles("his")) == MAX_SINGLE + 2
