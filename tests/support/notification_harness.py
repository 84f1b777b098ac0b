"""A sender of notifications whose receivers are lists, with channels of the users of the world."""

import asyncio
from collections import defaultdict
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

import orjson
import pytest
from sqlalchemy import select, update

from core.clock import now
from core.config.settings import Settings
from core.db.engine import TransactionFactory
from core.security.encryption import SecretCipher
from models import (
    ChannelKind,
    NotificationChannel,
    NotificationDelivery,
    NotificationKind,
    User,
    new_id,
)
from services import notifications
from services.channels import ChannelMessage, ChannelSender
from services.notifications import DueDelivery, NewNotification, SendOutcome, SendResult
from tests.support.world import World
from worker.notification_sender import NotificationSender

DELIVERED = SendResult(SendOutcome.DELIVERED)


class RecordingSender(ChannelSender):
    """Records what is sent on each channel, and returns the result that a test has chosen."""

    def __init__(self) -> None:
        self.sent: defaultdict[str, list[ChannelMessage]] = defaultdict(list)
        self.results: dict[str, SendResult] = {}  # by the name in the configuration
        self.hang: set[str] = set()
        self.private: dict[str, bool] = {}  # whether private addresses were allowed

    async def send(
        self,
        kind: str,
        config: dict[str, str],
        message: ChannelMessage,
        *,
        allows_private: bool = False,
    ) -> SendResult:
        """Record a message."""
        self.private[config["name"]] = allows_private
        self.sent[config["name"]].append(message)
        if config["name"] in self.hang:
            await asyncio.Event().wait()
        return self.results.get(config["name"], DELIVERED)


def render(due: DueDelivery) -> ChannelMessage:
    """Render the kinds of the notifications of a message."""
    kinds = ", ".join(item.notification.kind for item in due.items) or "test"
    return ChannelMessage(str(due.id), "test", kinds, "", "http://mission.test/", "en")


@dataclass
class NotificationHarness:
    """Notifications of one database, and the channels to which they are sent."""

    settings: Settings
    transaction: TransactionFactory
    world: World
    receiver: RecordingSender = field(default_factory=RecordingSender)

    def __post_init__(self) -> None:
        self.cipher = SecretCipher(self.settings)

    def create_sender(self) -> NotificationSender:
        """Create a sender, as a worker does."""
        return NotificationSender(
            self.transaction, self.transaction, self.cipher, self.receiver, render
        )

    async def add_channel(
        self, user: User, name: str, kind: ChannelKind = ChannelKind.NTFY, **fields: Any
    ) -> UUID:
        """Add a confirmed channel of a user in Tern."""
        id = new_id()
        config = self.cipher.encrypt(orjson.dumps({"name": name}), notifications.config_context(id))
        values: dict[str, Any] = {
            "id": id,
            "user_id": user.id,
            "organization_id": self.world.tern.id,
            "kind": kind,
            "name": name,
            "encrypted_config": config,
            "confirmed_at": now(),
            "created_at": now(),
            "updated_at": now(),
        }
        async with self.transaction() as session:
            session.add(NotificationChannel(**(values | fields)))
        return id

    async def change_channel(self, id: UUID, **values: Any) -> None:
        """Change columns of a channel."""
        async with self.transaction() as session:
            query = update(NotificationChannel).where(NotificationChannel.id == id)
            await session.execute(query.values(**values))

    async def notify(
        self, kind: NotificationKind, *users: User, key: str | None = None, **fields: Any
    ) -> None:
        """Create a notification about the board Launch."""
        given: dict[str, Any] = {"board": self.world.board, "data": {"title": "Write"}}
        new = NewNotification(
            kind,
            self.world.tern.id,
            key or str(new_id()),
            user_ids=[user.id for user in users],
            **(given | fields),
        )
        async with self.transaction() as session:
            await notifications.notify(session, [new])

    async def run(self, sender: NotificationSender | None = None) -> datetime | None:
        """Send what is due, and wait for the results."""
        sender = sender or self.create_sender()
        next_at = await sender.run_due()
        while sender.running_count:
            await asyncio.sleep(0.01)
        return next_at

    def titles(self, name: str) -> list[str]:
        """Return the titles of what was sent on a channel."""
        return [message.title for message in self.receiver.sent[name]]

    async def list_deliveries(self) -> list[NotificationDelivery]:
        """Return all deliveries, oldest first."""
        async with self.transaction() as session:
            query = select(NotificationDelivery).order_by(NotificationDelivery.id)
            return list(await session.scalars(query))

    async def make_due(self) -> None:
        """Make the open deliveries due now."""
        async with self.transaction() as session:
            await session.execute(update(NotificationDelivery).values(next_attempt_at=now()))


@pytest.fixture
def harness(
    isolated_settings: Settings, isolated_transaction: TransactionFactory, isolated_world: World
) -> NotificationHarness:
    return NotificationHarness(isolated_settings, isolated_transaction, isolated_world)
