"""A browser renews its subscription to push notifications: its service worker reports it."""

from unittest.mock import Mock

import httpx2
import pytest
from sqlalchemy import select

from core.clock import now
from core.db.engine import TransactionFactory
from models import (
    AuditRecord,
    ChannelKind,
    Member,
    Notification,
    NotificationChannel,
    NotificationKind,
    Role,
    User,
    new_id,
)
from services import channels
from services.audit import record_audit
from services.channels import ChannelForm
from services.notifications import NewNotification, notify
from tests.support.browser_subscription import BrowserSubscription
from tests.support.channel_hosts import mail_server, receiver, settings
from tests.support.http_receiver import HttpReceiver
from tests.support.secret_key import CIPHER
from tests.support.world import World

__all__ = ["mail_server", "receiver", "settings"]

PATH = "/settings/channels/subscription-renewals"
OLD = BrowserSubscription("https://push.example/old")
NEW = BrowserSubscription("https://push.example/new")


async def subscribe(
    transaction: TransactionFactory, member: Member, subscription: BrowserSubscription
) -> NotificationChannel:
    async with transaction() as session:
        fields = ChannelForm(kind=ChannelKind.PUSH, name="Phone", **subscription.config)
        return await channels.create_channel(session, member, CIPHER, fields)


async def renew(
    client: httpx2.AsyncClient, old: BrowserSubscription, new: BrowserSubscription
) -> int:
    response = await client.post(PATH, data={"old_endpoint": old.endpoint, **new.config})
    return response.status_code


async def report_failing(
    transaction: TransactionFactory, user: User, channel: NotificationChannel
) -> None:
    """Store that a channel is failing, with the notification about it."""
    async with transaction() as session:
        failing = await session.get_one(NotificationChannel, channel.id)
        failing.failing_since, failing.last_error = now(), "unreachable"
        new = NewNotification(
            NotificationKind.CHANNEL_FAILING,
            channel.organization_id,
            str(channel.id),
            user_ids=[user.id],
            data={"channel_id": str(channel.id), "name": channel.name},
        )
        await notify(session, [new])


async def list_unresolved(transaction: TransactionFactory) -> list[str | None]:
    async with transaction() as session:
        open_ones = select(Notification.key).where(Notification.resolved_at.is_(None))
        return [*await session.scalars(open_ones)]


async def read_configs(transaction: TransactionFactory) -> list[dict[str, str]]:
    async with transaction() as session:
        rows = await session.scalars(select(NotificationChannel))
        return [channels.decrypt_config(CIPHER, one) for one in rows]


async def test_a_renewed_subscription_is_used(
    alice: httpx2.AsyncClient, receiver: HttpReceiver, world: World, transaction: TransactionFactory
) -> None:
    old, new = (BrowserSubscription(f"{receiver.address}/{name}") for name in ("old", "new"))
    channel = await subscribe(transaction, world.alice_member, old)
    path = f"/settings/channels/{channel.id}"
    receiver.answer(410)
    await alice.post(f"{path}/tests", data={})
    assert "Paused" in (await alice.get(path)).text
    assert await renew(alice, old, new) == 204
    receiver.answer(201)
    await alice.post(f"{path}/tests", data={})
    assert [one.path for one in receiver.requests] == ["/old", "/new"]
    assert new.decrypt(receiver.requests[1])["title"] == "Test of Mission Control"
    page = (await alice.get(path)).text
    assert "Active" in page
    assert "Paused" not in page


async def test_a_channel_that_its_user_has_paused_stays_paused(
    bob: httpx2.AsyncClient, world: World, transaction: TransactionFactory
) -> None:
    channel = await subscribe(transaction, world.bob_member, OLD)
    await bob.post(f"/settings/channels/{channel.id}/pauses", data={"paused": "on"})
    assert await renew(bob, OLD, NEW) == 204
    assert "Paused" in (await bob.get(f"/settings/channels/{channel.id}")).text


@pytest.mark.parametrize("is_paused_first", [True, False])
async def test_a_channel_that_its_user_has_paused_and_that_has_ended_stays_paused(
    alice: httpx2.AsyncClient,
    receiver: HttpReceiver,
    world: World,
    transaction: TransactionFactory,
    is_paused_first: bool,
) -> None:
    ended, new = (BrowserSubscription(f"{receiver.address}/{name}") for name in ("old", "new"))
    channel = await subscribe(transaction, world.alice_member, ended)
    path = f"/settings/channels/{channel.id}"
    receiver.answer(410)
    steps = [(f"{path}/pauses", {"paused": "on"}), (f"{path}/tests", {})]
    for address, data in steps if is_paused_first else reversed(steps):
        assert (await alice.post(address, data=data)).status_code == 303
    assert await renew(alice, ended, new) == 204
    assert "Paused" in (await alice.get(path)).text
    receiver.answer(201)
    await alice.post(f"{path}/tests", data={})
    assert receiver.requests[-1].path == "/new"
    assert "Paused" in (await alice.get(path)).text
    await alice.post(f"{path}/pauses", data={"paused": ""})
    assert "Active" in (await alice.get(path)).text


async def test_a_channel_that_was_paused_after_it_was_resumed_stays_paused(
    alice: httpx2.AsyncClient, receiver: HttpReceiver, world: World, transaction: TransactionFactory
) -> None:
    ended = BrowserSubscription(f"{receiver.address}/old")
    channel = await subscribe(transaction, world.alice_member, ended)
    await report_failing(transaction, world.alice, channel)
    path = f"/settings/channels/{channel.id}"
    receiver.answer(410)
    await alice.post(f"{path}/tests", data={})
    await alice.post(f"{path}/pauses", data={"paused": ""})
    assert "Active" in (await alice.get(path)).text
    assert await list_unresolved(transaction) == []
    await alice.post(f"{path}/pauses", data={"paused": "on"})
    assert await renew(alice, ended, NEW) == 204
    assert "Paused" in (await alice.get(path)).text


async def test_a_subscription_is_renewed_in_all_organizations(
    bob: httpx2.AsyncClient,
    world: World,
    transaction: TransactionFactory,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with transaction() as session:
        elsewhere = Member(
            id=new_id(),
            organization_id=world.charlies_board.organization_id,
            user_id=world.bob.id,
            role=Role.MEMBER,
            created_at=now(),
            updated_at=now(),
        )
        session.add(elsewhere)
        await session.flush()
        elsewhere.user = world.bob
    for member in (world.bob_member, elsewhere):
        await subscribe(transaction, member, OLD)
    other = BrowserSubscription("https://push.example/another-browser")
    await subscribe(transaction, world.bob_member, other)
    recorded = Mock(wraps=record_audit)
    monkeypatch.setattr("services.channels.store.record_audit", recorded)
    assert await renew(bob, OLD, NEW) == 204
    recorded.assert_called_once()  # so that chains are locked in their order
    found = sorted(config["endpoint"] for config in await read_configs(transaction))
    assert found == [other.endpoint, NEW.endpoint, NEW.endpoint]
    async with transaction() as session:
        query = select(AuditRecord).where(AuditRecord.action == "channel.updated")
        records = (await session.scalars(query)).all()
    assert [one.after for one in records] == [{"kind": "push", "receiver": "push.example"}] * 2


async def test_a_browser_that_has_subscribed_again_has_one_channel(
    bob: httpx2.AsyncClient, world: World, transaction: TransactionFactory
) -> None:
    for subscription in (OLD, NEW):
        channel = await subscribe(transaction, world.bob_member, subscription)
        await report_failing(transaction, world.bob, channel)
    assert await renew(bob, OLD, NEW) == 204
    assert await read_configs(transaction) == [NEW.config]
    assert await list_unresolved(transaction) == [str(channel.id)]
    await subscribe(transaction, world.bob_member, NEW)  # as the page does
    assert await read_configs(transaction) == [NEW.config]
    assert await list_unresolved(transaction) == []
    assert await renew(bob, NEW, NEW) == 204
    assert await read_configs(transaction) == [NEW.config]


async def test_only_the_own_subscriptions_are_renewed(
    alice: httpx2.AsyncClient,
    anonymous: httpx2.AsyncClient,
    world: World,
    transaction: TransactionFactory,
) -> None:
    await subscribe(transaction, world.bob_member, OLD)
    assert await renew(alice, OLD, NEW) == 404
    assert await renew(anonymous, OLD, NEW) == 303
    assert await read_configs(transaction) == [OLD.config]


async def test_another_site_cannot_renew_a_subscription(
    bob: httpx2.AsyncClient, world: World, transaction: TransactionFactory
) -> None:
    await subscribe(transaction, world.bob_member, OLD)
    data = {"old_endpoint": OLD.endpoint, **NEW.config}
    response = await bob.post(PATH, data=data, headers={"Sec-Fetch-Site": "cross-site"})
    assert response.status_code == 403
    assert await read_configs(transaction) == [OLD.config]


@pytest.mark.parametrize(
    "changes",
    [
        {"endpoint": "ftp://push.example/new"},
        {"endpoint": ""},
        {"endpoint": "https://push.example/" + "a" * 4_000},
        {"p256dh": "no-point"},
        {"auth": "c2hvcnQ"},
        {"old_endpoint": "\x00"},
    ],
)
async def test_an_invalid_subscription_replaces_nothing(
    bob: httpx2.AsyncClient,
    world: World,
    transaction: TransactionFactory,
    changes: dict[str, str],
) -> None:
    await subscribe(transaction, world.bob_member, OLD)
    data = {"old_endpoint": OLD.endpoint, **NEW.config, **changes}
    assert (await bob.post(PATH, data=data)).status_code == 422
    assert await read_configs(transaction) == [OLD.config]
