"""Notifications of users, the channels on which they are sent, and the attempts to send them."""

from datetime import datetime, time
from enum import StrEnum
from typing import Any
from uuid import UUID

from sqlalchemy import CheckConstraint, ForeignKey, Index, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

from models.base import Base
from models.installation import encrypted_column


class NotificationKind(StrEnum):
    """What a notification is about. The values are part of the API."""

    APPROVAL_PENDING = "approval_pending"  # also a request of a gateway
    APPROVAL_UNDECIDED = "approval_undecided"  # nobody has decided for a while
    QUESTION = "question"  # an agent asks a person
    MENTION = "mention"
    ASSIGNED = "assigned"
    DUE_SOON = "due_soon"
    DECIDED = "decided"  # what the user has requested
    TASK_CHANGED = "task_changed"  # that the user watches
    TASK_STALE = "task_stale"
    AGENT_STUCK = "agent_stuck"
    AGENT_OFFLINE = "agent_offline"
    AGENT_HELD = "agent_held"  # by a circuit breaker, or because it requests too many approvals
    AGENT_UNGATED = "agent_ungated"  # it has called tools without asking
    AGENTS_STOPPED = "agents_stopped"
    GATEWAY_AWAY = "gateway_away"
    GATEWAY_CONFIG_INVALID = "gateway_config_invalid"
    INVITATION = "invitation"
    WEBHOOK_DISABLED = "webhook_disabled"
    CHANNEL_FAILING = "channel_failing"


class ChannelKind(StrEnum):
    """How a channel delivers notifications. The values are part of the API."""

    EMAIL = "email"
    PUSH = "push"  # Web push to one browser
    SLACK = "slack"
    DISCORD = "discord"
    TEAMS = "teams"
    NTFY = "ntfy"
    TELEGRAM = "telegram"
    WEBHOOK = "webhook"  # signed as Standard Webhooks


class Digest(StrEnum):
    """When notifications that are not urgent are sent by e-mail. The values are part of the API."""

    OFF = "off"  # each at once
    HOURLY = "hourly"
    DAILY = "daily"


class DeliveryState(StrEnum):
    """The state of a delivery. The values are part of the API."""

    QUEUED = "queued"
    SENDING = "sending"  # until `next_attempt_at`; then the attempt is lost and is repeated
    DELIVERED = "delivered"
    FAILED = "failed"  # for good; `last_error` has the reason
    SKIPPED = "skipped"  # nobody needed it any more


class Notification(Base):
    """What concerns a user.

    There is one of a kind and key for a user. One that merges loses its key when it is read or
    resolved, so that the next cause creates another one.
    """

    __tablename__ = "notifications"
    __table_args__ = (
        UniqueConstraint("user_id", "kind", "key"),
        Index(None, "user_id", "updated_at", "id"),
        Index(
            "ix_notifications_unread",
            "user_id",
            "organization_id",
            postgresql_where=text("read_at is null and resolved_at is null"),
        ),
        Index(None, "kind", "key"),
        Index(
            "ix_notifications_unplanned",
            "created_at",
            postgresql_where=text("planned_at is null"),
        ),
        Index("ix_notifications_done", text("least(read_at, resolved_at)")),
        Index(None, "updated_at"),
    )

    organization_id: Mapped[UUID] = mapped_column(
        ForeignKey("organizations.id", ondelete="CASCADE"), index=True
    )
    user_id: Mapped[UUID] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"))
    kind: Mapped[NotificationKind]
    key: Mapped[str | None]
    merges: Mapped[bool]
    board_id: Mapped[UUID | None] = mapped_column(
        ForeignKey("boards.id", ondelete="CASCADE"), index=True
    )
    board_group_id: Mapped[UUID | None] = mapped_column(
        ForeignKey("board_groups.id", ondelete="CASCADE"), index=True
    )
    task_id: Mapped[UUID | None] = mapped_column(index=True)  # may be in the trash
    approval_id: Mapped[UUID | None]
    agent_id: Mapped[UUID | None]
    gateway_id: Mapped[UUID | None]
    actor_user_id: Mapped[UUID | None]
    actor_agent_id: Mapped[UUID | None]
    data: Mapped[dict[str, Any]]  # names and texts as they were
    count: Mapped[int] = mapped_column(default=1)  # of the causes that were merged
    created_at: Mapped[datetime]
    updated_at: Mapped[datetime]
    read_at: Mapped[datetime | None]
    resolved_at: Mapped[datetime | None]  # since then nobody has to act
    planned_at: Mapped[datetime | None]  # when its deliveries were created
    escalated_at: Mapped[datetime | None]  # when a second user was notified


class NotificationChannel(Base):
    """A way to reach a user outside the pages."""

    __tablename__ = "notification_channels"

    user_id: Mapped[UUID] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), index=True)
    organization_id: Mapped[UUID] = mapped_column(
        ForeignKey("organizations.id", ondelete="CASCADE"), index=True
    )
    kind: Mapped[ChannelKind]
    name: Mapped[str]
    # Address, subscription or URL, as JSON.
    encrypted_config: Mapped[str] = encrypted_column("notification_channels.{id}.config")
    paused_at: Mapped[datetime | None]  # by the user, or because a subscription has ended
    is_paused_by_user: Mapped[bool] = mapped_column(default=False, server_default="false")
    confirmed_at: Mapped[datetime | None]  # when the user proved to receive it
    failing_since: Mapped[datetime | None]  # since when messages have not been delivered
    last_error: Mapped[str | None]
    version: Mapped[int] = mapped_column(default=1)
    created_at: Mapped[datetime]
    updated_at: Mapped[datetime]


class NotificationPreference(Base):
    """Whether a user wants a kind of notification: in the application, or on one channel.

    A preference for a board precedes the one for all boards.
    """

    __tablename__ = "notification_preferences"
    __table_args__ = (
        UniqueConstraint(
            "user_id",
            "organization_id",
            "kind",
            "board_id",
            "channel_id",
            name="uq_notification_preferences_choice",
            postgresql_nulls_not_distinct=True,
        ),
    )

    user_id: Mapped[UUID] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"))
    organization_id: Mapped[UUID] = mapped_column(
        ForeignKey("organizations.id", ondelete="CASCADE"), index=True
    )
    kind: Mapped[NotificationKind]
    board_id: Mapped[UUID | None] = mapped_column(
        ForeignKey("boards.id", ondelete="CASCADE"), index=True
    )  # None: all boards
    channel_id: Mapped[UUID | None] = mapped_column(
        ForeignKey("notification_channels.id", ondelete="CASCADE"), index=True
    )  # None: in the application
    is_enabled: Mapped[bool]


class NotificationSettings(Base):
    """When a user is notified in an organization. Times are in the time zone of the user."""

    __tablename__ = "notification_settings"
    __table_args__ = (
        UniqueConstraint("user_id", "organization_id"),
        CheckConstraint("(quiet_from is null) = (quiet_until is null)", name="quiet_hours"),
    )

    user_id: Mapped[UUID] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"))
    organization_id: Mapped[UUID] = mapped_column(
        ForeignKey("organizations.id", ondelete="CASCADE"), index=True
    )
    quiet_from: Mapped[time | None]
    quiet_until: Mapped[time | None]
    wakes_for_urgent: Mapped[bool] = mapped_column(default=False)  # in quiet hours too
    digest: Mapped[Digest] = mapped_column(default=Digest.OFF)
    digest_at: Mapped[time]  # of a daily digest
    escalate_to_user_id: Mapped[UUID | None] = mapped_column(
        ForeignKey("users.id", ondelete="SET NULL"), index=True
    )
    escalate_after_minutes: Mapped[int | None]  # None: never
    version: Mapped[int] = mapped_column(default=1)
    updated_at: Mapped[datetime]


class NotificationDelivery(Base):
    """The delivery of a notification on a channel: an outbox and a log."""

    __tablename__ = "notification_deliveries"
    __table_args__ = (
        UniqueConstraint("notification_id", "channel_id"),
        Index(None, "channel_id", "created_at"),
        Index(
            "ix_notification_deliveries_due",
            "next_attempt_at",
            postgresql_where=text("state in ('queued', 'sending')"),
        ),
        Index(
            "ix_notification_deliveries_tests",
            "created_at",
            postgresql_where=text("notification_id is null"),
        ),
        CheckConstraint("state <> 'failed' or last_error is not null", name="last_error"),
    )

    notification_id: Mapped[UUID | None] = mapped_column(
        ForeignKey("notifications.id", ondelete="CASCADE")
    )  # None: a test
    channel_id: Mapped[UUID] = mapped_column(
        ForeignKey("notification_channels.id", ondelete="CASCADE")
    )
    state: Mapped[DeliveryState] = mapped_column(default=DeliveryState.QUEUED)
    is_digest: Mapped[bool] = mapped_column(default=False)  # sent together with others
    attempts: Mapped[int] = mapped_column(default=0)
    next_attempt_at: Mapped[datetime]
    last_error: Mapped[str | None]
    request: Mapped[str | None]  # what was sent, without secrets
    response: Mapped[str | None]
    created_at: Mapped[datetime]
    delivered_at: Mapped[datetime | None]
