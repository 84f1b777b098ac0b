"""The log of a channel, sending again, and what a user sends by hand: tests and codes."""

from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import timedelta
from operator import itemgetter
from typing import Protocol
from uuid import UUID

from sqlalchemy import Integer, bindparam, select
from sqlalchemy.ext.asyncio import AsyncSession

from core.clock import now
from core.db.reads import Query, Source
from core.db.transactions import delete_unlocked
from core.errors import Conflict, NotFound
from core.security.encryption import DecryptionError, SecretCipher
from core.text import N_
from models import (
    ChannelKind,
    DeliveryState,
    Member,
    Notification,
    NotificationChannel,
    NotificationDelivery,
    new_id,
)
from services import audit, notifications
from services.channels.messages import ChannelMessage, failed
from services.channels.sender import ChannelSender
from services.channels.store import create_code, decrypt_config, get_channel, lock_channel
from services.notifications import SendOutcome, SendReason, SendResult
from services.outbox import wake_workers

LOG: Query[tuple[NotificationDelivery, Notification | None]] = Query(
    select(NotificationDelivery, Notification)
    .outerjoin(Notification, Notification.id == NotificationDelivery.notification_id)
    .where(NotificationDelivery.channel_id == bindparam("channel_id"))
    .order_by(NotificationDelivery.created_at.desc(), NotificationDelivery.id.desc())
    .limit(bindparam("limit", type_=Integer()))
)

LOCKED_DELIVERY: Query[NotificationDelivery] = Query(
    select(NotificationDelivery)
    .where(
        NotificationDelivery.id == bindparam("id"),
        NotificationDelivery.channel_id == bindparam("channel_id"),
    )
    .with_for_update()
    .execution_options(populate_existing=True),
    itemgetter(0),
)


async def list_sent_messages(
    source: Source, channel: NotificationChannel
) -> Sequence[tuple[NotificationDelivery, Notification | None]]:
    """Return the last 50 messages of a channel, newest first; a test has no notification."""
    return await LOG.fetch(source, channel_id=channel.id, limit=50)


async def record_test(
    session: AsyncSession, channel: NotificationChannel, id: UUID, result: SendResult
) -> None:
    """Record a test that was sent on a locked channel. It is not repeated."""
    at, is_delivered = now(), result.outcome is SendOutcome.DELIVERED
    session.add(
        NotificationDelivery(
            id=id,
            channel_id=channel.id,
            state=DeliveryState.DELIVERED if is_delivered else DeliveryState.FAILED,
            attempts=1,
            next_attempt_at=at,
            last_error=None if is_delivered else str(result.reason or result.outcome),
            request=result.request or None,
            response=result.response or result.detail or None,
            created_at=at,
            delivered_at=at if is_delivered else None,
        )
    )
    await notifications.record_channel_state(session, channel, result)


async def send_again(session: AsyncSession, channel: NotificationChannel, id: UUID) -> None:
    """Send a failed message of a locked channel again. Raises NotFound and Conflict.

    The worker leaves it out if the notification was read or resolved meanwhile.
    """
    delivery = await LOCKED_DELIVERY.first(session, id=id, channel_id=channel.id)
    if delivery is None or delivery.notification_id is None:
        raise NotFound("delivery_not_found", N_("There is no such message."))
    if delivery.state is not DeliveryState.FAILED:
        raise Conflict("delivery_not_failed", N_("Only a message that failed can be sent again."))
    delivery.state, delivery.attempts = DeliveryState.QUEUED, 0
    delivery.next_attempt_at = delivery.created_at = now()
    await session.flush()
    await wake_workers(session, notifications.DELIVERY_TOPIC)


async def delete_old_tests(session: AsyncSession) -> int:
    """Delete a batch of tests after 90 days; other messages are deleted with notifications."""
    is_old = NotificationDelivery.created_at < now() - timedelta(days=90)
    is_test = NotificationDelivery.notification_id.is_(None)
    return await delete_unlocked(session, NotificationDelivery, is_test & is_old)


class ManualMessageTexts(Protocol):
    """Renders the messages in the language of their user."""

    def render_test(self, id: str, language: str | None) -> ChannelMessage:
        """Render a test."""
        ...

    def render_code(
        self, channel: NotificationChannel, language: str | None, code: str
    ) -> ChannelMessage:
        """Render the code that confirms the address of a channel."""
        ...


@dataclass(frozen=True)
class ManualMessages:
    """Sends messages between transactions. Callers limit how many a user sends."""

    transaction: Callable[[], AbstractAsyncContextManager[AsyncSession]]
    cipher: SecretCipher
    sender: ChannelSender
    texts: ManualMessageTexts

    async def send_test(self, member: Member, channel_id: UUID, language: str | None) -> UUID:
        """Send a test, record its result, and return its id. Raises NotFound and Conflict."""
        async with self.transaction() as session:
            channel = (await get_channel(session, member, channel_id, self.cipher)).channel
            first_id = await audit.find_first_organization_id(session)
        if not channel.confirmed_at:
            reason = N_("Confirm the e-mail address of this channel first.")
            raise Conflict("channel_not_confirmed", reason)
        id = new_id()
        is_first = member.is_admin and member.organization_id == first_id
        message = self.texts.render_test(str(id), language)
        result = await self._send(channel, message, allows_private=is_first)
        async with self.transaction() as session:
            locked = await lock_channel(session, member, channel_id)
            await record_test(session, locked, id, result)
        return id

    async def send_code(self, member: Member, channel_id: UUID, language: str | None) -> None:
        """Send a new code to an e-mail address that is not confirmed, and record a failure.

        Does nothing for other channels. Raises NotFound.
        """
        async with self.transaction() as session:
            channel = await lock_channel(session, member, channel_id)
            if channel.confirmed_at or channel.kind is not ChannelKind.EMAIL:
                return
            try:
                code = await create_code(session, channel, self.cipher)
            except DecryptionError:
                unreadable = failed(SendReason.CONFIG_UNREADABLE)
                await notifications.record_channel_state(session, channel, unreadable)
                return
        message = self.texts.render_code(channel, language, code)
        result = await self._send(channel, message)
        if result.outcome is not SendOutcome.DELIVERED or channel.failing_since:
            async with self.transaction() as session:
                locked = await lock_channel(session, member, channel_id)
                await notifications.record_channel_state(session, locked, result)

    async def _send(
        self, channel: NotificationChannel, message: ChannelMessage, *, allows_private: bool = False
    ) -> SendResult:
        try:
            config = decrypt_config(self.cipher, channel)
        except DecryptionError:
            return failed(SendReason.CONFIG_UNREADABLE)
        return await self.sender.send(channel.kind, config, message, allows_private=allows_private)
