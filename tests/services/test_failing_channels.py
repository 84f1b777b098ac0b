"""Attempts that fail are repeated, and channels that keep failing are reported."""

import asyncio
from datetime import timedelta

import pytest
from sqlalchemy import update

from core.clock import now
from models import (
    ChannelKind,
    DeliveryState,
    NotificationChannel,
    NotificationDelivery,
    NotificationKind,
)
from services import notifications
from services.notifications import SendOutcome, SendReason, SendResult, record_channel_state
from services.notifications.deliveries import MAX_AGE, OUTBOX
from tests.support.notification_harness import NotificationHarness, harness

__all__ = ["harness"]


Kind = NotificationKind
UNREACHABLE = SendResult(SendOutcome.RETRY, SendReason.UNREACHABLE, "connection refused")
REJECTED = SendResult(SendOutcome.FAILED, SendReason.REJECTED, "400 no such topic")
GONE = SendResult(SendOutcome.GONE, SendReason.SUBSCRIPTION_ENDED)


async def test_an_attempt_that_fails_is_repeated_with_the_same_id(
    harness: NotificationHarness,
) -> None:
    await harness.add_channel(harness.world.bob, "phone")
    await harness.notify(Kind.MENTION, harness.world.bob)
    harness.receiver.results["phone"] = UNREACHABLE
    await harness.run()
    [delivery] = await harness.list_deliveries()
    assert (delivery.state, delivery.last_error) == (DeliveryState.QUEUED, "unreachable")
    assert delivery.next_attempt_at > now()
    await harness.run()  # not due yet
    assert len(harness.receiver.sent["phone"]) == 1
    harness.receiver.results.clear()
    await harness.make_due()
    await harness.run()
    first, second = harness.receiver.sent["phone"]
    assert first.id == second.id
    [delivery] = await harness.list_deliveries()
    assert (delivery.state, delivery.attempts) == (DeliveryState.DELIVERED, 2)


async def test_a_delivery_fails_after_a_day(harness: NotificationHarness) -> None:
    await harness.add_channel(harness.world.bob, "phone")
    await harness.notify(Kind.MENTION, harness.world.bob)
    harness.receiver.results["phone"] = UNREACHABLE
    await harness.run()
    async with harness.transaction() as session:
        created_at = now() - MAX_AGE
        await session.execute(update(NotificationDelivery).values(created_at=created_at))
    await harness.make_due()
    await harness.run()
    [delivery] = await harness.list_deliveries()
    assert delivery.state is DeliveryState.FAILED


async def test_a_message_that_is_sent_late_is_tried_for_a_day_too(
    harness: NotificationHarness,
) -> None:
    """The day begins with the first attempt: it can be late, or sent when it is open again."""
    await harness.add_channel(harness.world.bob, "mail", ChannelKind.EMAIL)
    await harness.notify(Kind.MENTION, harness.world.bob)
    async with harness.transaction() as session:
        await notifications.plan_deliveries(session)
        long_ago = now() - MAX_AGE
        values = {"created_at": long_ago, "next_attempt_at": long_ago}
        await session.execute(update(NotificationDelivery).values(**values))
    harness.receiver.results["mail"] = UNREACHABLE
    await harness.run()
    [delivery] = await harness.list_deliveries()
    assert (delivery.state, delivery.attempts) == (DeliveryState.QUEUED, 1)


async def test_a_failing_channel_is_reported_on_the_others(harness: NotificationHarness) -> None:
    bob = harness.world.bob
    channel_id = await harness.add_channel(bob, "broken")
    await harness.add_channel(bob, "phone")
    harness.receiver.results["broken"] = REJECTED
    for _ in range(2):
        await harness.notify(Kind.MENTION, bob)
        await harness.run()
        await harness.run()
    assert harness.titles("phone") == ["mention", "channel_failing", "mention"]
    assert harness.titles("broken") == ["mention", "mention"]
    harness.receiver.results.clear()
    await harness.notify(Kind.MENTION, bob)
    await harness.run()
    async with harness.transaction() as session:
        channel = await session.get_one(NotificationChannel, channel_id)
        assert (channel.failing_since, channel.last_error) == (None, None)


async def test_a_channel_is_failing_after_three_attempts(harness: NotificationHarness) -> None:
    bob = harness.world.bob
    channel_id = await harness.add_channel(bob, "broken")
    await harness.add_channel(bob, "phone")
    harness.receiver.results["broken"] = UNREACHABLE
    await harness.notify(Kind.MENTION, bob)
    for attempt in range(1, 6):
        await harness.make_due()
        await harness.run()
        await harness.run()
        is_failing = attempt >= 3
        assert harness.titles("phone") == ["mention", *["channel_failing"] * is_failing]
        async with harness.transaction() as session:
            channel = await session.get_one(NotificationChannel, channel_id)
            assert channel.last_error == ("unreachable" if is_failing else None)
    harness.receiver.results.clear()
    await harness.make_due()
    await harness.run()
    async with harness.transaction() as session:
        channel = await session.get_one(NotificationChannel, channel_id)
        assert (channel.failing_since, channel.last_error) == (None, None)


async def test_a_channel_that_cannot_be_decrypted_says_so(harness: NotificationHarness) -> None:
    channel_id = await harness.add_channel(harness.world.bob, "phone")
    async with harness.transaction() as session:
        await session.execute(update(NotificationChannel).values(encrypted_config="other key"))
    await harness.notify(Kind.MENTION, harness.world.bob)
    await harness.run()
    async with harness.transaction() as session:
        channel = await session.get_one(NotificationChannel, channel_id)
        assert channel.last_error == "config_unreadable"


def test_a_message_is_tried_for_almost_a_day() -> None:
    assert timedelta(hours=23) < sum(OUTBOX.retry_delays, timedelta()) < MAX_AGE


async def test_a_subscription_that_has_ended_is_paused(harness: NotificationHarness) -> None:
    channel_id = await harness.add_channel(harness.world.bob, "browser", ChannelKind.PUSH)
    harness.receiver.results["browser"] = GONE
    await harness.notify(Kind.MENTION, harness.world.bob)
    await harness.run()
    async with harness.transaction() as session:
        channel = await session.get_one(NotificationChannel, channel_id)
        assert channel.paused_at
        assert channel.last_error == "subscription_ended"


@pytest.mark.parametrize("is_paused", [True, False])
async def test_a_subscription_that_ends_stays_paused_only_if_its_user_paused_it(
    harness: NotificationHarness, is_paused: bool
) -> None:
    """An older version resumes a channel without resetting who has paused it."""
    channel_id = await harness.add_channel(harness.world.bob, "browser", ChannelKind.PUSH)
    async with harness.transaction() as session:
        channel = await session.get_one(NotificationChannel, channel_id, with_for_update=True)
        channel.paused_at, channel.is_paused_by_user = (now() if is_paused else None), True
        paused_at = channel.paused_at
        await record_channel_state(session, channel, GONE)
        assert channel.paused_at
        assert channel.paused_at == (paused_at or channel.paused_at)
        assert channel.is_paused_by_user is is_paused


async def test_a_receiver_that_hangs_delays_no_other(harness: NotificationHarness) -> None:
    await harness.add_channel(harness.world.bob, "hangs")
    await harness.add_channel(harness.world.rita, "phone")
    harness.receiver.hang.add("hangs")
    sender = harness.create_sender()
    await harness.notify(Kind.MENTION, harness.world.bob, harness.world.rita)
    await sender.run_due()
    async with asyncio.timeout(10):
        while not harness.titles("phone"):
            await asyncio.sleep(0.01)
    await sender.close()
    states = sorted(one.state for one in await harness.list_deliveries())
    assert DeliveryState.SENDING in states


async def test_an_interrupted_attempt_is_repeated(harness: NotificationHarness) -> None:
    await harness.add_channel(harness.world.bob, "phone")
    harness.receiver.hang.add("phone")
    sender = harness.create_sender()
    await harness.notify(Kind.MENTION, harness.world.bob)
    await sender.run_due()
    await asyncio.sleep(0)
    await sender.close()
    harness.receiver.hang.clear()
    harness.receiver.sent.clear()
    await harness.run()  # the claim has not ended
    assert harness.titles("phone") == []
    await harness.make_due()
    await harness.run()
    assert harness.titles("phone") == ["mention"]
