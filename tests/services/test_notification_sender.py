"""Notifications reach each channel once, at the time that the user has chosen."""

import asyncio
from datetime import time, timedelta
from typing import Any

import pytest
from sqlalchemy import delete, select, update

from core.clock import now
from models import (
    BoardAccess,
    ChannelKind,
    DeliveryState,
    Digest,
    Member,
    Notification,
    NotificationDelivery,
    NotificationKind,
    NotificationPreference,
    NotificationSettings,
    Role,
    User,
    new_id,
)
from services import notifications
from services.notifications import SendOutcome, SendReason, SendResult
from tests.support.memory_rows import create_group_of
from tests.support.notification_harness import NotificationHarness, harness
from worker.notification_sender import REPEAT_DELAY

__all__ = ["harness"]

Kind = NotificationKind
UNREACHABLE = SendResult(SendOutcome.RETRY, SendReason.UNREACHABLE, "connection refused")


async def store(harness: NotificationHarness, user: User, **fields: object) -> None:
    """Store the settings of a user."""
    async with harness.transaction() as session:
        given = {"digest_at": time(8), "updated_at": now()} | fields
        organization_id = harness.world.tern.id
        session.add(
            NotificationSettings(
                id=new_id(), user_id=user.id, organization_id=organization_id, **given
            )
        )


async def test_a_former_admin_receives_nothing_that_is_for_admins(
    harness: NotificationHarness,
) -> None:
    world = harness.world
    await harness.add_channel(world.dana, "Dana")
    await harness.add_channel(world.alice, "Alice")
    new = [
        notifications.NewNotification(
            kind,
            world.tern.id,
            str(new_id()),
            audience=notifications.Audience.ADMINS,
            data={"name": "Workshop"},
        )
        for kind in (Kind.WEBHOOK_DISABLED, Kind.GATEWAY_AWAY, Kind.AGENT_STUCK)
    ]
    async with harness.transaction() as session:
        await notifications.notify(session, new)
        await notifications.plan_deliveries(session)
        demoted = update(Member).where(Member.id == world.dana_member.id)
        await session.execute(demoted.values(role=Role.MEMBER))
    await harness.run()
    assert harness.titles("Dana") == []
    assert len(harness.titles("Alice")) == len(new)


async def test_a_notification_is_sent_once_on_each_channel(harness: NotificationHarness) -> None:
    bob, rita = harness.world.bob, harness.world.rita
    for user, name in ((bob, "phone"), (bob, "chat"), (rita, "hers")):
        await harness.add_channel(user, name)
    await harness.notify(Kind.MENTION, bob)
    for _ in range(3):
        await harness.run()
    assert {name: harness.titles(name) for name in ("phone", "chat", "hers")} == {
        "phone": ["mention"],
        "chat": ["mention"],
        "hers": [],
    }
    assert {one.state for one in await harness.list_deliveries()} == {DeliveryState.DELIVERED}


async def test_only_admins_of_the_first_organization_reach_private_addresses(
    harness: NotificationHarness,
) -> None:
    users = (harness.world.alice, harness.world.bob)
    for user in users:
        await harness.add_channel(user, user.display_name)
    await harness.notify(Kind.MENTION, *users)
    await harness.run()
    assert harness.receiver.private == {"Alice": True, "Bob": False}


async def test_several_workers_send_once(harness: NotificationHarness) -> None:
    await harness.add_channel(harness.world.bob, "phone")
    for _ in range(20):
        await harness.notify(Kind.MENTION, harness.world.bob)
    for _ in range(3):  # only some messages to one user are sent at a time
        await asyncio.gather(*(harness.run() for _ in range(4)))
    sent = harness.receiver.sent["phone"]
    assert len(sent) == len({message.id for message in sent}) == 20


async def test_what_another_worker_has_locked_is_looked_at_again_later(
    harness: NotificationHarness,
) -> None:
    await harness.add_channel(harness.world.bob, "phone")
    await harness.notify(Kind.MENTION, harness.world.bob)
    async with harness.transaction() as session:
        await session.execute(select(Notification).with_for_update())
        start = now()
        next_at = await harness.run()
        assert next_at
        assert next_at >= start + REPEAT_DELAY
    await harness.run()
    assert harness.titles("phone") == ["mention"]


async def test_a_notification_is_sent_at_once_if_its_creator_has_another_clock(
    harness: NotificationHarness,
) -> None:
    await harness.add_channel(harness.world.bob, "phone")
    await harness.notify(Kind.MENTION, harness.world.bob)
    async with harness.transaction() as session:
        later = now() + timedelta(minutes=2)
        await session.execute(update(Notification).values(created_at=later))
    await harness.run()
    assert harness.titles("phone") == ["mention"]


@pytest.mark.parametrize("fields", [{"paused_at": now()}, {"confirmed_at": None}])
async def test_channels_that_are_not_ready_get_nothing(
    harness: NotificationHarness, fields: dict[str, Any]
) -> None:
    await harness.add_channel(harness.world.bob, "phone", **fields)
    await harness.notify(Kind.MENTION, harness.world.bob)
    await harness.run()
    assert harness.titles("phone") == []


async def test_preferences_choose_the_channels(harness: NotificationHarness) -> None:
    bob = harness.world.bob
    loud = await harness.add_channel(bob, "loud")
    quiet = await harness.add_channel(bob, "quiet")
    async with harness.transaction() as session:
        for channel_id, kind, board_id, is_enabled in [
            (loud, Kind.TASK_CHANGED, None, True),
            (quiet, Kind.MENTION, None, False),
            (quiet, Kind.ASSIGNED, None, False),
            (quiet, Kind.ASSIGNED, harness.world.board.id, True),
        ]:
            session.add(
                NotificationPreference(
                    id=new_id(),
                    user_id=bob.id,
                    organization_id=harness.world.tern.id,
                    kind=kind,
                    board_id=board_id,
                    channel_id=channel_id,
                    is_enabled=is_enabled,
                )
            )
    for kind in (Kind.TASK_CHANGED, Kind.MENTION, Kind.ASSIGNED):
        await harness.notify(kind, bob)
    await harness.run()
    assert sorted(harness.titles("loud")) == ["assigned", "mention", "task_changed"]
    assert harness.titles("quiet") == ["assigned"]


async def test_what_is_resolved_or_read_is_not_sent(harness: NotificationHarness) -> None:
    bob = harness.world.bob
    await harness.add_channel(bob, "phone")
    for key in ("resolved", "read"):
        await harness.notify(Kind.MENTION, bob, key=key)
    async with harness.transaction() as session:
        await notifications.resolve(session, [Kind.MENTION], ["resolved"])
        read = update(Notification).where(Notification.key == "read")
        await session.execute(read.values(read_at=now() + timedelta(seconds=1)))
    await harness.run()
    assert harness.titles("phone") == []
    assert {one.state for one in await harness.list_deliveries()} == {DeliveryState.SKIPPED}


async def test_what_is_reopened_is_sent_unless_it_was_sent_or_read(
    harness: NotificationHarness,
) -> None:
    bob, keys = harness.world.bob, ["sent", "skipped", "read"]
    await harness.add_channel(bob, "phone")
    await harness.notify(Kind.APPROVAL_PENDING, bob, key="sent")
    await harness.run()
    for key in keys[1:]:
        await harness.notify(Kind.APPROVAL_PENDING, bob, key=key)
    async with harness.transaction() as session:
        await notifications.resolve(session, [Kind.APPROVAL_PENDING], keys)
        read = update(Notification).where(Notification.key == "read")
        await session.execute(read.values(read_at=now() + timedelta(seconds=1)))
    await harness.run()
    assert len(harness.titles("phone")) == 1
    async with harness.transaction() as session:
        await notifications.reopen(session, [Kind.APPROVAL_PENDING], keys)
    await harness.run()
    await harness.run()
    assert len(harness.titles("phone")) == 2
    states = sorted(one.state for one in await harness.list_deliveries())
    assert states == [DeliveryState.DELIVERED, DeliveryState.DELIVERED, DeliveryState.SKIPPED]


@pytest.mark.parametrize("model", [BoardAccess, Member])
async def test_nothing_is_sent_to_who_has_lost_access(
    harness: NotificationHarness, model: type[BoardAccess] | type[Member]
) -> None:
    bob = harness.world.bob
    await harness.add_channel(bob, "phone")
    await harness.notify(Kind.MENTION, bob)
    async with harness.transaction() as session:
        row = harness.world.bob_access if model is BoardAccess else harness.world.bob_member
        await session.execute(delete(model).where(model.id == row.id))
    await harness.run()
    assert harness.titles("phone") == []


async def test_nothing_is_sent_to_who_has_lost_the_boards_of_a_group(
    harness: NotificationHarness,
) -> None:
    async with harness.transaction() as session:
        group = await create_group_of(session, await session.merge(harness.world.board))
    await harness.add_channel(harness.world.bob, "phone")
    await harness.notify(Kind.MENTION, harness.world.bob, board=None, group=group)
    await harness.run()
    await harness.notify(Kind.MENTION, harness.world.bob, board=None, group=group)
    async with harness.transaction() as session:
        lost = delete(BoardAccess).where(BoardAccess.id == harness.world.bob_access.id)
        await session.execute(lost)
    await harness.run()
    assert harness.titles("phone") == ["mention"]


async def test_a_repeated_digest_has_the_same_id(harness: NotificationHarness) -> None:
    bob = harness.world.bob
    await store(harness, bob, digest=Digest.DAILY)
    await harness.add_channel(bob, "mail", ChannelKind.EMAIL)
    harness.receiver.results["mail"] = UNREACHABLE
    for _ in range(2):
        await harness.notify(Kind.MENTION, bob)
    await harness.run()
    first, second = [one.id for one in await harness.list_deliveries()]
    for id, minutes in ((first, 1), (second, 2)):  # the second one is due earlier
        async with harness.transaction() as session:
            query = update(NotificationDelivery).where(NotificationDelivery.id == id)
            due_at = now() - timedelta(minutes=minutes)
            await session.execute(query.values(next_attempt_at=due_at))
    await harness.run()
    await harness.make_due()
    await harness.run()
    assert [message.id for message in harness.receiver.sent["mail"]] == [str(first)] * 2


async def test_a_new_notification_is_tried_again_when_the_digest_with_it_fails(
    harness: NotificationHarness,
) -> None:
    """An earlier one in the same digest may have failed for the last time."""
    await store(harness, harness.world.bob, digest=Digest.DAILY)
    await harness.add_channel(harness.world.bob, "mail", ChannelKind.EMAIL)
    harness.receiver.results["mail"] = UNREACHABLE
    for _ in range(2):
        await harness.notify(Kind.MENTION, harness.world.bob)
    await harness.run()
    earlier, _ = await harness.list_deliveries()
    async with harness.transaction() as session:
        query = update(NotificationDelivery).where(NotificationDelivery.id == earlier.id)
        failed_since = now() - timedelta(days=1)
        await session.execute(query.values(attempts=8, created_at=failed_since))
    await harness.make_due()
    await harness.run()
    assert harness.titles("mail") == ["mention, mention"]
    states = [one.state for one in await harness.list_deliveries()]
    assert states == [DeliveryState.FAILED, DeliveryState.QUEUED]


async def test_a_digest_is_one_message_on_each_channel(harness: NotificationHarness) -> None:
    bob = harness.world.bob
    await store(harness, bob, digest=Digest.DAILY)
    for name in ("mail", "other mail"):
        await harness.add_channel(bob, name, ChannelKind.EMAIL)
    await harness.add_channel(bob, "phone")
    for kind in (Kind.MENTION, Kind.ASSIGNED, Kind.APPROVAL_PENDING):
        await harness.notify(kind, bob)
    await harness.run()
    assert harness.titles("mail") == ["approval_pending"]
    assert sorted(harness.titles("phone")) == ["approval_pending", "assigned", "mention"]
    await harness.make_due()
    await harness.run()
    for name in ("mail", "other mail"):
        assert harness.titles(name)[1:] == ["mention, assigned"]


async def test_quiet_hours_delay(harness: NotificationHarness) -> None:
    bob, local = harness.world.bob, now()
    until = (local + timedelta(hours=2)).time().replace(tzinfo=None)
    since = (local - timedelta(hours=2)).time().replace(tzinfo=None)
    await store(harness, bob, quiet_from=since, quiet_until=until)
    await harness.add_channel(bob, "phone")
    await harness.notify(Kind.APPROVAL_PENDING, bob)
    next_at = await harness.run()
    assert harness.titles("phone") == []
    assert next_at
    assert timedelta(minutes=119) < next_at - local <= timedelta(hours=2)


async def test_a_second_person_is_notified_of_what_nobody_decides(
    harness: NotificationHarness,
) -> None:
    bob, alice = harness.world.bob, harness.world.alice
    await store(harness, bob, escalate_to_user_id=alice.id, escalate_after_minutes=30)
    await harness.add_channel(alice, "hers")
    await harness.notify(Kind.APPROVAL_PENDING, bob, key="one")
    next_at = await harness.run()
    assert next_at
    assert harness.titles("hers") == []
    async with harness.transaction() as session:
        earlier = Notification.created_at - timedelta(minutes=31)
        await session.execute(update(Notification).values(created_at=earlier))
    for _ in range(2):
        await harness.run()
    assert harness.titles("hers") == ["approval_undecided"]
