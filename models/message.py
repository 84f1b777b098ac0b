"""Messages to agents: an outbox, from which they are carried or fetched."""

from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, CheckConstraint, ForeignKey, Identity, Index, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column, relationship

from models.agent import Agent
from models.base import Base


class MessageState(StrEnum):
    """Where a message is on its way."""

    QUEUED = "queued"  # nobody has it yet
    SENT = "sent"  # a carrier has handed it over
    ACKNOWLEDGED = "acknowledged"  # the agent has said that it has it
    FAILED = "failed"  # `last_error` says why; it can be sent again


class Message(Base):
    """Something that an agent is to be told. Its first line is the marker that agents go by."""

    __tablename__ = "agent_messages"
    __table_args__ = (
        UniqueConstraint("agent_id", "key"),
        Index(None, "agent_id", "state", "seq"),
        Index(None, "state", "next_try_at"),
        CheckConstraint("state in ('queued', 'sent', 'acknowledged', 'failed')", name="state"),
        CheckConstraint("(state = 'failed') = (last_error is not null)", name="last_error"),
    )

    seq: Mapped[int] = mapped_column(BigInteger, Identity(), unique=True)
    organization_id: Mapped[UUID] = mapped_column(
        ForeignKey("organizations.id", ondelete="CASCADE"), index=True
    )
    agent_id: Mapped[UUID] = mapped_column(ForeignKey("agents.id", ondelete="CASCADE"))
    agent: Mapped[Agent] = relationship(lazy="raise")
    board_id: Mapped[UUID | None] = mapped_column(
        ForeignKey("boards.id", ondelete="CASCADE"), index=True
    )
    task_id: Mapped[UUID | None]
    approval_id: Mapped[UUID | None]
    kind: Mapped[str]  # the marker, for example "TASK ASSIGNED"
    content: Mapped[str]
    deliver: Mapped[bool] = mapped_column(default=False)  # the gateway's word for "out loud"
    key: Mapped[str]  # one for each logical message, kept over all attempts
    from_agent_id: Mapped[UUID | None]
    from_user_id: Mapped[UUID | None]
    told_as: Mapped[dict[str, Any] | None]  # the events to record once it is sent, or has failed
    state: Mapped[MessageState] = mapped_column(default=MessageState.QUEUED)
    attempts: Mapped[int] = mapped_column(default=0)
    last_error: Mapped[str | None]
    next_try_at: Mapped[datetime | None]  # from when on it waits to be carried or fetched
    created_at: Mapped[datetime]
    sent_at: Mapped[datetime | None]
    acknowledged_at: Mapped[datetime | None]

    def acknowledge(self, at: datetime) -> None:
        """Note that the agent has it."""
        self.state = MessageState.ACKNOWLEDGED
        self.last_error = None
        self.sent_at = self.sent_at or at
        self.acknowledged_at = at

    def fail(self, error: str) -> None:
        """Note that nobody tries any more, and why."""
        self.state = MessageState.FAILED
        self.last_error = error

    def wait_again(self, at: datetime) -> None:
        """Put it back among those that wait, as if nobody had tried."""
        self.state = MessageState.QUEUED
        self.last_error = None
        self.attempts = 0
        self.next_try_at = at
