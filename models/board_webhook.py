"""Incoming webhooks of boards, and the payloads that they have received."""

from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from sqlalchemy import CheckConstraint, ForeignKey, Index, UniqueConstraint, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from models.base import Base
from models.installation import encrypted_column


class WebhookAction(StrEnum):
    """What a webhook does with a payload."""

    NOTIFY = "notify"  # tell the agent, with the payload
    MESSAGE = "message"  # tell the agent, with a text made by the template
    TASK = "task"  # create a task by the template
    FORGE = "forge"  # create and link tasks by what GitHub or GitLab reports


class PayloadState(StrEnum):
    """What has happened with a payload."""

    RECEIVED = "received"  # stored; there was no agent to tell
    PROCESSED = "processed"  # an agent was told, or another outcome is recorded
    IGNORED = "ignored"  # nothing was to be done; `error` has the code of the reason
    FAILED = "failed"  # `error` has the reason


class BoardWebhook(Base):
    """An address of a board to which other systems send events, with the secret for signatures.

    A replaced secret is valid until `previous_secret_expires_at`.
    """

    __tablename__ = "board_webhooks"
    __table_args__ = (Index(None, "board_id", "created_at"),)

    board_id: Mapped[UUID] = mapped_column(ForeignKey("boards.id", ondelete="CASCADE"))
    agent_id: Mapped[UUID | None] = mapped_column(
        ForeignKey("agents.id", ondelete="SET NULL"), index=True
    )  # who is told; None: the lead
    description: Mapped[str]  # what agents are to do with its payloads
    enabled: Mapped[bool] = mapped_column(default=True)
    encrypted_secret: Mapped[str] = encrypted_column("board_webhooks.secret:{id}")
    encrypted_previous_secret: Mapped[str | None] = encrypted_column("board_webhooks.secret:{id}")
    previous_secret_expires_at: Mapped[datetime | None]
    signature_header: Mapped[str | None]
    allows_unsigned: Mapped[bool] = mapped_column(default=False, server_default=text("false"))
    action: Mapped[WebhookAction] = mapped_column(
        default=WebhookAction.NOTIFY, server_default=WebhookAction.NOTIFY.value
    )
    template: Mapped[dict[str, Any] | None]
    last_rejected_at: Mapped[datetime | None]  # at most once a minute for the same reason
    last_rejection: Mapped[str | None]  # the code of the error
    created_at: Mapped[datetime]
    updated_at: Mapped[datetime]


class WebhookPayload(Base):
    """What a webhook has received in one request. A delivery id is received once."""

    __tablename__ = "board_webhook_payloads"
    __table_args__ = (
        UniqueConstraint("webhook_id", "delivery_id"),
        Index(None, "webhook_id", "received_at"),
        Index(
            "ix_board_webhook_payloads_queued",
            "webhook_id",
            "received_at",
            "id",
            postgresql_where="is_queued",
        ),
        CheckConstraint("state <> 'failed' or error is not null", name="error"),
    )

    board_id: Mapped[UUID] = mapped_column(ForeignKey("boards.id", ondelete="CASCADE"), index=True)
    webhook_id: Mapped[UUID] = mapped_column(ForeignKey("board_webhooks.id", ondelete="CASCADE"))
    delivery_id: Mapped[str | None]
    payload: Mapped[Any] = mapped_column(JSONB(none_as_null=False))
    headers: Mapped[dict[str, Any]]
    source_ip: Mapped[str]
    content_type: Mapped[str | None]
    size: Mapped[int]  # bytes of the body
    is_signed: Mapped[bool] = mapped_column(default=True, server_default=text("true"))
    received_at: Mapped[datetime] = mapped_column(index=True)
    state: Mapped[PayloadState] = mapped_column(default=PayloadState.RECEIVED)
    error: Mapped[str | None]
    is_queued: Mapped[bool] = mapped_column(default=False, server_default=text("false"))
    """Whether the agent is still to be told of it, together with others."""
    note_id: Mapped[UUID | None]  # in the memory of the board; no foreign key: it may be deleted
    task_id: Mapped[UUID | None]  # the task that was created or changed; may be deleted
    message_id: Mapped[UUID | None] = mapped_column(
        ForeignKey("agent_messages.id", ondelete="SET NULL"), index=True
    )  # the last message to an agent about it
