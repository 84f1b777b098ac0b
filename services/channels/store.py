"""The channels of a member: create, confirm, change and delete them, and their audit records.

A user sees and changes only channels that they created in the current organization.
Subscriptions of browsers to web push are channels that a browser may replace at any time.
"""

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from operator import itemgetter
from uuid import UUID

import orjson
from sqlalchemy import bindparam, select
from sqlalchemy.ext.asyncio import AsyncSession

from core.clock import now
from core.db.reads import Query, ReadFactory, Source
from core.errors import Conflict, Invalid, NotFound
from core.http.outbound import OutboundClient
from core.security.encryption import DecryptionError, SecretCipher
from core.security.secrets import secrets_equal
from core.text import N_
from models import ChannelKind, Member, NotificationChannel, NotificationKind, new_id
from services import audit, notifications, organizations
from services.audit import AuditAction, AuditObject, NewAuditRecord, record_audit
from services.channels.configurations import (
    ChannelCreate,
    ChannelUpdate,
    check_config,
    describe_receiver,
)
from services.channels.messages import ChannelState
from services.notifications import SendReason

ChannelChange = tuple[AuditAction, NotificationChannel, str]
"""A channel that was created, deleted or of which the subscription was renewed; its receiver."""


MAX_CHANNELS = 20  # of one user in one organization
MAX_CODE_ATTEMPTS = 5

_OF_MEMBER = select(NotificationChannel).where(
    NotificationChannel.user_id == bindparam("user_id"),
    NotificationChannel.organization_id == bindparam("organization_id"),
)
_ONE = _OF_MEMBER.where(NotificationChannel.id == bindparam("id"))

CHANNELS: Query[NotificationChannel] = Query(
    _OF_MEMBER.order_by(NotificationChannel.created_at, NotificationChannel.id), itemgetter(0)
)
CHANNEL: Query[NotificationChannel] = Query(_ONE, itemgetter(0))
LOCKED_CHANNEL: Query[NotificationChannel] = Query(
    _ONE.with_for_update().execution_options(populate_existing=True), itemgetter(0)
)
LOCKED_SUBSCRIPTIONS: Query[NotificationChannel] = Query(
    select(NotificationChannel)
    .where(
        NotificationChannel.user_id == bindparam("user_id"),
        NotificationChannel.kind == ChannelKind.PUSH,
    )
    .order_by(NotificationChannel.id)
    .with_for_update()
    .execution_options(populate_existing=True),
    itemgetter(0),
)


@dataclass(frozen=True)
class ChannelDetail:
    """A channel, and where it sends; "" if its configuration cannot be decrypted any more."""

    channel: NotificationChannel
    receiver: str

    @property
    def is_readable(self) -> bool:
        """Whether its configuration can be decrypted."""
        return bool(self.receiver)

    @property
    def state(self) -> ChannelState:
        """The first state that holds, in the order of ChannelState."""
        channel = self.channel
        states = (
            (ChannelState.UNREADABLE, not self.is_readable),
            (ChannelState.UNCONFIRMED, not channel.confirmed_at),
            (ChannelState.PAUSED, bool(channel.paused_at)),
            (ChannelState.FAILING, bool(channel.failing_since)),
        )
        return next((state for state, holds in states if holds), ChannelState.ACTIVE)


async def list_channels(
    source: Source, member: Member, cipher: SecretCipher
) -> Sequence[ChannelDetail]:
    """Return the channels of a member, oldest first."""
    found = await CHANNELS.fetch(source, **_condition(member))
    return [_describe(channel, cipher) for channel in found]


async def get_channel(
    source: Source, member: Member, id: UUID, cipher: SecretCipher
) -> ChannelDetail:
    """Return a channel of a member. Raises NotFound."""
    channel = await CHANNEL.first(source, id=id, **_condition(member))
    return _describe(_require(channel), cipher)


async def lock_channel(session: AsyncSession, member: Member, id: UUID) -> NotificationChannel:
    """Return a channel of a member for a change. Raises NotFound."""
    return _require(await LOCKED_CHANNEL.first(session, id=id, **_condition(member)))


async def check_receiver(
    open_read: ReadFactory, client: OutboundClient, member: Member, config: Mapping[str, str]
) -> None:
    """Check where the URL of a channel leads before it is stored. Raises Invalid with the field.

    Call it before the transaction. Every message is checked again.
    """
    async with open_read() as source:
        first_id = await audit.find_first_organization_id(source)
    is_first = member.is_admin and member.organization_id == first_id
    for field in ("url", "endpoint"):
        if config.get(field):
            await client.check_address(config[field], field, allows_private=is_first)


async def create_channel(
    session: AsyncSession, member: Member, cipher: SecretCipher, fields: ChannelCreate
) -> NotificationChannel:
    """Create a channel, or renew the subscription of a browser that has one.

    An e-mail address must be confirmed first, unless it is the verified one of the account. Raises
    Invalid with the field, and Conflict if there are too many channels.
    """
    kind = ChannelKind(fields.kind)
    config = check_config(kind, fields.model_dump(exclude={"kind", "name"}))
    await organizations.lock_user(session, member.user)  # so that two requests count one another
    existing = await CHANNELS.fetch(session, **_condition(member))
    replaced = await _delete_subscription(session, existing, cipher, config.get("endpoint"))
    if len(existing) - len(replaced) >= MAX_CHANNELS:
        reason = N_("You have %(max_count)s channels. Delete one first.")
        raise Conflict("too_many_channels", reason, max_count=MAX_CHANNELS)
    at, id = now(), new_id()
    user = member.user
    # Who invites an address can register with it, without access to its mailbox.
    verified = (user.email or "").lower() if user.email_verified_at else None
    is_confirmed = kind is not ChannelKind.EMAIL or config["address"] == verified
    channel = NotificationChannel(
        id=id,
        user_id=member.user_id,
        organization_id=member.organization_id,
        kind=kind,
        name=fields.name or kind,
        encrypted_config=encrypt_config(cipher, id, config),
        confirmed_at=at if is_confirmed else None,
        created_at=at,
        updated_at=at,
    )
    session.add(channel)
    await session.flush()
    created = (AuditAction.CHANNEL_CREATED, channel, describe_receiver(kind, config))
    await record_audited_channels(session, [*replaced, created])
    return channel


async def update_channel(
    session: AsyncSession, channel: NotificationChannel, fields: ChannelUpdate
) -> None:
    """Rename, pause or resume a locked channel: nothing is sent while it is paused.

    One that is resumed counts as working until a message fails. Raises Invalid.
    """
    before, changes = describe_audited(channel), fields.changes()
    channel.name = changes.get("name", channel.name)
    if (is_paused := changes.get("is_paused")) is not None:
        if channel.paused_at and not is_paused:  # a renewal must not end a later pause
            channel.failing_since = channel.last_error = None
            await resolve_failing(session, [channel])
        channel.paused_at = (channel.paused_at or now()) if is_paused else None
        channel.is_paused_by_user = is_paused
    await _save(session, channel)
    await record_channel_change(session, channel, before)


async def delete_channel(
    session: AsyncSession, channel: NotificationChannel, cipher: SecretCipher
) -> None:
    """Delete a locked channel with its log."""
    receiver = _describe(channel, cipher).receiver
    await session.delete(channel)
    await session.flush()
    await resolve_failing(session, [channel])
    await record_audited_channels(session, [(AuditAction.CHANNEL_DELETED, channel, receiver)])


async def create_code(
    session: AsyncSession, channel: NotificationChannel, cipher: SecretCipher
) -> str:
    """Create the code that confirms the e-mail address of a locked channel; others end.

    Raises DecryptionError.
    """
    code = f"{secrets.randbelow(10**6):06}"
    config = {"address": decrypt_config(cipher, channel)["address"], "code": code}
    config |= {"attempts": "0", "ends_at": (now() + timedelta(hours=1)).isoformat()}
    channel.encrypted_config = encrypt_config(cipher, channel.id, config)
    await _save(session, channel)
    return code


async def confirm_channel(
    session: AsyncSession, channel: NotificationChannel, cipher: SecretCipher, code: str
) -> Invalid | None:
    """Confirm a locked channel, or return the error of a code that is wrong or has expired.

    The caller raises it after the commit, because attempts are counted.
    """
    if channel.confirmed_at:
        return None
    try:
        config = decrypt_config(cipher, channel)
    except DecryptionError:  # SECRET_KEY has changed
        config = {}
    attempts = int(config.get("attempts") or MAX_CODE_ATTEMPTS)
    if attempts >= MAX_CODE_ATTEMPTS or now() > datetime.fromisoformat(config["ends_at"]):
        reason = N_("This code is not valid any more. Send another one.")
        return Invalid("code_expired", reason, field="code")
    before = describe_audited(channel)
    is_right = secrets_equal("".join(code.split()), config["code"])
    if is_right:
        channel.confirmed_at = now()
        config = {"address": config["address"]}
    else:
        config["attempts"] = str(attempts + 1)
    channel.encrypted_config = encrypt_config(cipher, channel.id, config)
    await _save(session, channel)
    await record_channel_change(session, channel, before)
    if is_right:
        return None
    reason = N_("This is not the code. Check the e-mail, and enter its six digits.")
    return Invalid("code_invalid", reason, field="code")


async def resolve_failing(session: AsyncSession, channels: Sequence[NotificationChannel]) -> None:
    """Resolve the notifications that channels are failing: they work again, or are deleted."""
    if channels:
        keys = [str(channel.id) for channel in channels]
        await notifications.resolve(session, [NotificationKind.CHANNEL_FAILING], keys)


async def renew_subscription(
    session: AsyncSession,
    user_id: UUID,
    cipher: SecretCipher,
    old_endpoint: str,
    config: Mapping[str, str],
) -> None:
    """Replace a subscription that the browser has renewed, in all organizations of its user.

    A channel that was paused because the subscription had ended sends again, unless its user has
    paused it, too. Raises NotFound if no channel of the user has the old endpoint, and Invalid.
    """
    renewed = check_config(ChannelKind.PUSH, config)
    channels = await LOCKED_SUBSCRIPTIONS.fetch(session, user_id=user_id)
    endpoints = {channel.id: _find_endpoint(cipher, channel) for channel in channels}
    found = [channel for channel in channels if endpoints[channel.id] == old_endpoint]
    if not found:
        raise NotFound("channel_not_found", N_("You have no such channel."))
    subscribed_again = {
        channel.organization_id
        for channel in channels
        if endpoints[channel.id] == renewed["endpoint"] != old_endpoint
    }
    changes: list[ChannelChange] = []
    for channel in found:
        if channel.organization_id in subscribed_again:  # on the page, before this request
            await session.delete(channel)
            receiver = describe_receiver(ChannelKind.PUSH, {"endpoint": old_endpoint})
            changes.append((AuditAction.CHANNEL_DELETED, channel, receiver))
        else:
            _replace(cipher, channel, renewed)
            receiver = describe_receiver(ChannelKind.PUSH, renewed)
            changes.append((AuditAction.CHANNEL_UPDATED, channel, receiver))
    await session.flush()
    working = [
        one for one in found if one.organization_id in subscribed_again or not one.last_error
    ]
    await resolve_failing(session, working)
    await record_audited_channels(session, changes)


def _replace(cipher: SecretCipher, channel: NotificationChannel, config: dict[str, str]) -> None:
    channel.encrypted_config = encrypt_config(cipher, channel.id, config)
    channel.version += 1
    channel.updated_at = now()
    if channel.last_error == SendReason.SUBSCRIPTION_ENDED:
        channel.failing_since = channel.last_error = None
        if not channel.is_paused_by_user:
            channel.paused_at = None


def _find_endpoint(cipher: SecretCipher, channel: NotificationChannel) -> str | None:
    try:
        return decrypt_config(cipher, channel)["endpoint"]
    except DecryptionError:
        return None


def encrypt_config(cipher: SecretCipher, channel_id: UUID, config: dict[str, str]) -> str:
    """Encrypt the configuration of a channel."""
    return cipher.encrypt(orjson.dumps(config), notifications.config_context(channel_id))


def decrypt_config(cipher: SecretCipher, channel: NotificationChannel) -> dict[str, str]:
    """Decrypt the configuration of a channel. Raises DecryptionError."""
    context = notifications.config_context(channel.id)
    config: dict[str, str] = orjson.loads(cipher.decrypt(channel.encrypted_config, context))
    return config


async def _delete_subscription(
    session: AsyncSession,
    existing: Sequence[NotificationChannel],
    cipher: SecretCipher,
    endpoint: str | None,
) -> Sequence[ChannelChange]:
    """Delete the channels of the same browser, which has subscribed again; return the changes."""
    deleted = [
        channel
        for channel in existing
        if endpoint
        and channel.kind is ChannelKind.PUSH
        and _find_endpoint(cipher, channel) == endpoint
    ]
    for channel in deleted:
        await session.delete(channel)
    await resolve_failing(session, deleted)
    receiver = describe_receiver(ChannelKind.PUSH, {"endpoint": endpoint or ""})
    return [(AuditAction.CHANNEL_DELETED, one, receiver) for one in deleted]


async def _save(session: AsyncSession, channel: NotificationChannel) -> None:
    channel.version += 1
    channel.updated_at = now()
    await session.flush()


def _describe(channel: NotificationChannel, cipher: SecretCipher) -> ChannelDetail:
    try:
        config = decrypt_config(cipher, channel)
    except DecryptionError:
        return ChannelDetail(channel, "")
    return ChannelDetail(channel, describe_receiver(channel.kind, config))


def _require(channel: NotificationChannel | None) -> NotificationChannel:
    if channel is None:
        raise NotFound("channel_not_found", N_("You have no such channel."))
    return channel


def _condition(member: Member) -> dict[str, object]:
    return {"user_id": member.user_id, "organization_id": member.organization_id}


def describe_audited(channel: NotificationChannel) -> Mapping[str, object]:
    """Return the values of a channel whose changes are recorded."""
    return {
        "name": channel.name,
        "is_paused": channel.paused_at is not None,
        "is_confirmed": channel.confirmed_at is not None,
    }


async def record_channel_change(
    session: AsyncSession, channel: NotificationChannel, before: Mapping[str, object]
) -> None:
    """Record what has changed since `describe_audited` returned `before`, if anything has."""
    after = describe_audited(channel)
    changed = [name for name in after if before[name] != after[name]]
    record = NewAuditRecord(
        AuditAction.CHANNEL_UPDATED,
        AuditObject("channel", channel.id, channel.name),
        organization_id=channel.organization_id,
        before={name: before[name] for name in changed},
        after={name: after[name] for name in changed},
    )
    await record_audit(session, [record] if changed else [])


async def record_audited_channels(session: AsyncSession, changes: Sequence[ChannelChange]) -> None:
    """Record the channels that have changed. Call it once, and last: see `record_audit`."""
    records = []
    for action, channel, receiver in changes:
        values = {"kind": channel.kind.value, "receiver": receiver}
        is_deleted = action is AuditAction.CHANNEL_DELETED
        record = NewAuditRecord(
            action,
            AuditObject("channel", channel.id, channel.name),
            organization_id=channel.organization_id,
            before=values if is_deleted else None,
            after=None if is_deleted else values,
        )
        records.append(record)
    await record_audit(session, records)
