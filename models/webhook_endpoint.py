"""Outgoing webhooks of organizations: the endpoints, and what is delivered to them."""

from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, ForeignKey, Identity, Index, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column, relationship

from models.base import Base
from models.installation import encrypted_column


class EndpointState(StrEnum):
    """Whether events are delivered to an endpoint, or why not."""

    ENABLED = "enabled"
    PAUSED = "paused"  # by a person
    GONE = "gone"  # it responded with status 410
    FAILING = "failing"  # nothing was accepted for days
    OWNER_WITHOUT_ACCESS = "owner_without_access"  # its owner may not read its boards any more


class WebhookDeliveryState(StrEnum):
    """What became of a delivery."""

    PENDING = "pending"  # will be attempted, or attempted again
    DELIVERED = "delivered"
    FAILED = "failed"  # no further attempt


class WebhookEndpoint(Base):
    """An address that receives the events of an organization that its owner may read.

    Events up to number `last_seq` have been looked at.
    """

    __tablename__ = "webhook_endpoints"

    organization_id: Mapped[UUID] = mapped_column(
        ForeignKey("organizations.id", ondelete="CASCADE"), index=True
    )
    owner_user_id: Mapped[UUID | None] = mapped_column(
        ForeignKey("users.id", ondelete="SET NULL"), index=True
    )  # who has set the URL and the boards
    url: Mapped[str]
    description: Mapped[str]
    event_types: Mapped[list[Any]]  # empty: all public types
    board_ids: Mapped[list[Any]]  # as texts; empty: all boards
    encrypted_secret: Mapped[str] = encrypted_column("webhook_endpoints.secret:{id}")
    encrypted_previous_secret: Mapped[str | None] = encrypted_column(
        "webhook_endpoints.secret:{id}"
    )
    previous_secret_expires_at: Mapped[datetime | None]
    state: Mapped[EndpointState] = mapped_column(default=EndpointState.ENABLED)
    failing_since: Mapped[datetime | None]  # of the first failure after the last success
    last_seq: Mapped[int] = mapped_column(BigInteger)
    created_at: Mapped[datetime]
    updated_at: Mapped[datetime]

    @property
    def is_enabled(self) -> bool:
        """Whether events are delivered."""
        return self.state is EndpointState.ENABLED


class WebhookDelivery(Base):
    """An event for an endpoint, with the result of the last attempt.

    `payload` is the body exactly as it is sent. The id is the id of the webhook in all attempts.
    """

    __tablename__ = "webhook_deliveries"
    __table_args__ = (
        UniqueConstraint("endpoint_id", "event_id"),
        Index(None, "endpoint_id", "number"),
        Index(
            "ix_webhook_deliveries_due",
            "endpoint_id",
            "next_attempt_at",
            postgresql_where=text("next_attempt_at IS NOT NULL"),
        ),
        Index(
            "ix_webhook_deliveries_not_delivered",
            "endpoint_id",
            "state",
            postgresql_where=text("state <> 'delivered'"),
        ),
        Index(
            "ix_webhook_deliveries_delivered",
            "endpoint_id",
            "delivered_at",
            postgresql_where=text("delivered_at IS NOT NULL"),
        ),
        Index(None, "created_at"),
    )

    endpoint_id: Mapped[UUID] = mapped_column(
        ForeignKey("webhook_endpoints.id", ondelete="CASCADE")
    )
    endpoint: Mapped[WebhookEndpoint] = relationship(lazy="raise")
    number: Mapped[int] = mapped_column(BigInteger, Identity())  # in the order of creation
    event_id: Mapped[UUID | None]  # None: a test
    event_type: Mapped[str]
    payload: Mapped[str]
    state: Mapped[WebhookDeliveryState] = mapped_column(default=WebhookDeliveryState.PENDING)
    attempts: Mapped[int] = mapped_column(default=0)
    retries_left: Mapped[int]
    next_attempt_at: Mapped[datetime | None]  # None: there is none
    last_attempt_at: Mapped[datetime | None]
    outcome: Mapped[str | None]  # an OutboundOutcome
    status: Mapped[int | None]
    detail: Mapped[str | None]
    response: Mapped[str | None]  # its beginning
    duration_ms: Mapped[int | None]
    created_at: Mapped[datetime]
    delivered_at: Mapped[datetime | None]
