"""What a user sends on a channel by hand: tests, and codes that confirm e-mail addresses."""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Protocol
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from core.errors import Conflict
from core.security.encryption import DecryptionError, SecretCipher
from core.text import N_
from models import ChannelKind, Member, NotificationChannel, new_id
from services import audit, notifications
from services.channels.messages import ChannelMessage, failed
from services.channels.sender import ChannelSender
from services.channels.sent_messages import record_test
from services.channels.store import (
    create_code,
    decrypt_config,
    get_channel,
    lock_channel,
)
from services.notifications import SendOutcome, SendReason, SendResult


class ManualMessageTexts(Protocol):
    """Renders the messages in the language of their user."""

    def render_test(self, id: str, language: str | None) -> ChannelMessage:
        """Render a test."""
        ...

    def render_code(self, id: str, language: str | None, code: str) -> ChannelMessage:
        """Render the code that confirms an address."""
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
            code = await create_code(session, channel, self.cipher)
        message = self.texts.render_code(f"{channel.id}.{channel.version}", language, code)
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
