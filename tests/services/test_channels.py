"""The channels of a member: their configurations, confirmation, and log."""

from datetime import timedelta

import pytest
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from core.clock import now
from core.errors import Conflict, Invalid, NotFound
from models import (
    ChannelKind,
    DeliveryState,
    Member,
    Notification,
    NotificationChannel,
    NotificationDelivery,
    NotificationKind,
    new_id,
)
from services import channels, notifications
from services.channels import ChannelForm, store
from services.channels.configurations import check_config
from services.notifications import SendOutcome, SendReason, SendResult
from tests.support.browser_subscription import BrowserSubscription
from tests.support.secret_key import CIPHER
from tests.support.world import World

Kind = ChannelKind
NTFY = {"url": "https://ntfy.sh/a-secret-topic", "token": "tk_0123456789abc"}


async def create(
    session: AsyncSession, member: Member, kind: Kind = Kind.NTFY, **config: str
) -> NotificationChannel:
    fields = ChannelForm(kind=kind, name="Mine", **(config or NTFY))
    return await channels.create_channel(session, member, CIPHER, fields)


async def test_a_channel_belongs_to_a_user_in_one_organization(
    session: AsyncSession, world: World
) -> None:
    channel = await create(session, world.bob_member)
    [detail] = await channels.list_channels(session, world.bob_member, CIPHER)
    assert (detail.channel.name, detail.receiver) == ("Mine", "ntfy.sh")
    assert detail.channel.confirmed_at
    for other in (world.alice_member, world.charlie_member):
        assert await channels.list_channels(session, other, CIPHER) == []
        with pytest.raises(NotFound):
            await channels.get_channel(session, other, channel.id, CIPHER)
        with pytest.raises(NotFound):
            await channels.lock_channel(session, other, channel.id)


async def test_a_configuration_is_stored_encrypted(session: AsyncSession, world: World) -> None:
    channel = await create(session, world.bob_member)
    assert "secret-topic" not in channel.encrypted_config
    assert channels.decrypt_config(CIPHER, channel) == NTFY
    channel.encrypted_config = channel.encrypted_config[:-6] + "AAAA=="
    [detail] = await channels.list_channels(session, world.bob_member, CIPHER)
    assert not detail.is_readable


async def test_the_number_of_channels_is_limited(
    session: AsyncSession, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store, "MAX_CHANNELS", 1)
    await create(session, world.bob_member)
    with pytest.raises(Conflict, match="Delete one first"):
        await create(session, world.bob_member)
    await create(session, world.alice_member)


async def test_a_browser_that_subscribes_again_has_one_channel(
    session: AsyncSession, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The one that it replaces does not count."""
    monkeypatch.setattr(store, "MAX_CHANNELS", 2)
    browser = BrowserSubscription("https://push.example.com/v1/secret")
    for _ in range(2):
        channel = await create(session, world.bob_member, Kind.PUSH, **browser.config)
    other = BrowserSubscription("https://push.example.com/v1/other")
    for _ in range(2):
        await create(session, world.bob_member, Kind.PUSH, **other.config)
    found = await channels.list_channels(session, world.bob_member, CIPHER)
    assert [detail.receiver for detail in found] == ["push.example.com"] * 2
    assert found[0].channel.id == channel.id


async def test_the_verified_address_of_the_account_needs_no_code(
    session: AsyncSession, world: World
) -> None:
    """Who invites an address can register with it, without access to its mailbox."""
    address = str(world.bob.email).upper()
    unverified = await create(session, world.bob_member, Kind.EMAIL, address=address)
    world.bob_member.user.email_verified_at = now()
    verified = await create(session, world.bob_member, Kind.EMAIL, address=address)
    assert (unverified.confirmed_at, bool(verified.confirmed_at)) == (None, True)


async def test_another_address_is_confirmed_with_a_code(
    session: AsyncSession, world: World
) -> None:
    channel = await create(session, world.bob_member, Kind.EMAIL, address="Bob@Elsewhere.example")
    assert not channel.confirmed_at
    assert await enter(session, channel, "123456") == "code_expired"
    code = await channels.create_code(session, channel, CIPHER)
    assert await enter(session, channel, "x" + code) == "code_invalid"
    assert await enter(session, channel, f" {code[:3]} {code[3:]} ") is None
    assert channel.confirmed_at
    assert channels.decrypt_config(CIPHER, channel) == {"address": "bob@elsewhere.example"}


async def test_a_code_ends_after_some_attempts_and_after_an_hour(
    session: AsyncSession, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    channel = await create(session, world.bob_member, Kind.EMAIL, address="bob@elsewhere.example")
    code = await channels.create_code(session, channel, CIPHER)
    for _ in range(store.MAX_CODE_ATTEMPTS):
        assert await enter(session, channel, "wrong") == "code_invalid"
    assert await enter(session, channel, code) == "code_expired"
    code = await channels.create_code(session, channel, CIPHER)
    later = now() + timedelta(hours=1, seconds=1)
    monkeypatch.setattr(store, "now", lambda: later)
    assert await enter(session, channel, code) == "code_expired"
    assert channel.confirmed_at is None


async def enter(session: AsyncSession, channel: NotificationChannel, code: str) -> str | None:
    error = await channels.confirm_channel(session, channel, CIPHER, code)
    return error.code if error else None


@pytest.mark.parametrize(
    ("kind", "config", "field"),
    [
        (Kind.EMAIL, {"address": "nobody"}, "address"),
        (Kind.EMAIL, {"address": "a@b\nBcc: c@d"}, "address"),
        (Kind.SLACK, {"url": "javascript:alert(1)"}, "url"),
        (Kind.SLACK, {}, "url"),
        (Kind.DISCORD, {"url": "https://user:password@discord.com/"}, "url"),
        (Kind.TEAMS, {"url": "https://"}, "url"),
        (Kind.TEAMS, {"url": "https://" + "x" * 3_000}, "url"),
        (Kind.NTFY, {"url": "https://ntfy.sh/"}, "url"),
        (Kind.NTFY, {"url": "https://ntfy.sh/topic?auth=1"}, "url"),
        (Kind.NTFY, {"url": "https://ntfy.sh/topic", "token": "secret\r\nX: y"}, "token"),
        (Kind.TELEGRAM, {"token": "123:abc/../x", "chat_id": "1"}, "token"),
        (Kind.TELEGRAM, {"token": "123456:" + "a" * 35, "chat_id": "Bob"}, "chat_id"),
        (Kind.WEBHOOK, {"url": "https://example.com", "secret": "whsec_short"}, "secret"),
        (Kind.WEBHOOK, {"url": "https://example.com", "secret": "é"}, "secret"),
        (
            Kind.PUSH,
            {"endpoint": "https://push.example.com", "p256dh": "AA", "auth": ""},
            "endpoint",
        ),
        (Kind.PUSH, {"endpoint": "x", "p256dh": "", "auth": ""}, "endpoint"),
    ],
)
def test_a_bad_configuration_names_its_field(kind: Kind, config: dict, field: str) -> None:
    with pytest.raises(Invalid) as error_info:
        check_config(kind, config)
    assert error_info.value.field == field


def test_a_webhook_gets_a_secret_unless_it_has_one() -> None:
    url = {"url": "https://example.com"}
    made = check_config(Kind.WEBHOOK, url)
    assert made["secret"].startswith("whsec_")
    assert check_config(Kind.WEBHOOK, url | {"secret": made["secret"]}) == made


async def test_a_test_is_recorded_with_its_result(session: AsyncSession, world: World) -> None:
    channel = await create(session, world.bob_member)
    failure = SendResult(
        SendOutcome.FAILED, SendReason.NOT_FOUND, "404", request="POST", response="404 no"
    )
    await channels.record_test(session, channel, new_id(), failure)
    assert (channel.last_error, bool(channel.failing_since)) == ("not_found", True)
    success = SendResult(SendOutcome.DELIVERED, request="POST", response="200")
    await channels.record_test(session, channel, new_id(), success)
    assert (channel.last_error, channel.failing_since) == (None, None)
    log = await channels.list_sent_messages(session, channel)
    assert [(one.state, one.last_error, one.response) for one, _ in log] == [
        (DeliveryState.DELIVERED, None, "200"),
        (DeliveryState.FAILED, "not_found", "404 no"),
    ]


async def test_a_test_on_an_ended_subscription_pauses_the_channel(
    session: AsyncSession, world: World
) -> None:
    channel = await create(session, world.bob_member)
    ended = SendResult(SendOutcome.GONE, SendReason.SUBSCRIPTION_ENDED)
    await channels.record_test(session, channel, new_id(), ended)
    assert channel.paused_at
    assert channel.last_error == "subscription_ended"


async def test_only_a_failed_message_of_the_channel_is_sent_again(
    session: AsyncSession, world: World
) -> None:
    channel, other = (
        await create(session, world.bob_member),
        await create(session, world.bob_member),
    )
    delivery = await add_delivery(session, world, channel)
    with pytest.raises(NotFound):
        await channels.send_again(session, other, delivery.id)
    await channels.send_again(session, channel, delivery.id)
    assert (delivery.state, delivery.attempts) == (DeliveryState.QUEUED, 0)
    with pytest.raises(Conflict):
        await channels.send_again(session, channel, delivery.id)


async def add_delivery(
    session: AsyncSession, world: World, channel: NotificationChannel
) -> NotificationDelivery:
    new = notifications.NewNotification(
        NotificationKind.MENTION, world.tern.id, "1", user_ids=[world.bob.id], board=world.board
    )
    await notifications.notify(session, [new])
    [notification] = [
        one for one in await session.scalars(select(Notification)) if one.user_id == world.bob.id
    ]
    at = now()
    delivery = NotificationDelivery(
        id=new_id(),
        notification_id=notification.id,
        channel_id=channel.id,
        state=DeliveryState.FAILED,
        attempts=3,
        last_error="rejected",
        next_attempt_at=at,
        created_at=at,
    )
    session.add(delivery)
    await session.flush()
    return delivery


async def test_a_deleted_channel_takes_its_log_with_it(session: AsyncSession, world: World) -> None:
    channel = await create(session, world.bob_member)
    await add_delivery(session, world, channel)
    await channels.delete_channel(session, channel, CIPHER)
    assert (await session.scalars(select(NotificationDelivery))).all() == []


async def test_tests_are_deleted_when_they_are_old(session: AsyncSession, world: World) -> None:
    channel = await create(session, world.bob_member)
    for _ in range(2):
        result = SendResult(SendOutcome.DELIVERED)
        await channels.record_test(session, channel, new_id(), result)
    [(old, _), (kept, _)] = await channels.list_sent_messages(session, channel)
    old.created_at -= timedelta(days=91)
    await session.flush()
    await channels.delete_old_tests(session)
    assert [one.id for one, _ in await channels.list_sent_messages(session, channel)] == [kept.id]
