"""Subscriptions of browsers to web push, which a browser may replace at any time."""

from collections.abc import Mapping
from operator import itemgetter
from uuid import UUID

from sqlalchemy import bindparam, select
from sqlalchemy.ext.asyncio import AsyncSession

from core.clock import now
from core.db.reads import Query
from core.errors import NotFound
from core.security.encryption import DecryptionError, SecretCipher
from core.text import N_
from models import ChannelKind, NotificationChannel
from services.audit import AuditAction
from services.channels.audit_records import ChannelChange, record_audited_channels
from services.channels.configurations import check_config, describe_receiver
from services.channels.store import decrypt_config, encrypt_config, resolve_failing
from services.notifications import SendReason

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
            changes.append((AuditAction.CHANNEL_DELETED, channel, _describe(old_endpoint)))
        else:
            _replace(cipher, channel, renewed)
            changes.append((AuditAction.CHANNEL_UPDATED, channel, _describe(renewed["endpoint"])))
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


def _describe(endpoint: str) -> str:
    return describe_receiver(ChannelKind.PUSH, {"endpoint": endpoint})


def _find_endpoint(cipher: SecretCipher, channel: NotificationChannel) -> str | None:
    try:
        return decrypt_config(cipher, channel)["endpoint"]
    except DecryptionError:
        return None
