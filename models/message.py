"""Messages to agents: an outbox. A worker delivers them to a gateway, or the agent fetches them."""

from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, CheckConstraint, ForeignKey, Identity, Index, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column, relationship

from models.agent import Agent
from models.base import Base


class MessageState(StrEnum):
    """The delivery state of a message."""

    QUEUED = "queued"  # not delivered yet
    SENT = "sent"  # accepted by the agent's gateway; the turn is not finished
    ACKNOWLEDGED = "acknowledged"  # confirmed by the agent, or its turn succeeded
    FAILED = "failed"  # `last_error` has the reason; it can be retried


class Message(Base):
    """A message to an agent. The first line of its content is the marker that identifies its kind.

    The worker sends it to the agent's gateway, where it starts a turn. Sending it again with the
    same `run_id` does not start a second turn. Only if the turn is known to have failed does the
    message get a new `turn_number`.
    """

    __tablename__ = "agent_messages"
    __table_args__ = (
        UniqueConstraint("agent_id", "key"),
        Index(None, "agent_id", "state", "seq"),
        Index(None, "state", "waiting_since"),
        Index(None, "agent_id", "created_at"),
        Index(None, "task_id"),
        Index(None, "approval_id"),
        CheckConstraint("state in ('queued', 'sent', 'acknowledged', 'failed')", name="state"),
        CheckConstraint("state <> 'failed' or last_error is not null", name="last_error"),
        CheckConstraint("turn_number > 0", name="turn_number"),
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
    deliver: Mapped[bool] = mapped_column(default=False)  # also post it to the agent's channel
    key: Mapped[str]  # the deduplication key: the same for all attempts
    from_agent_id: Mapped[UUID | None]
    from_user_id: Mapped[UUID | None]
    delivery_events: Mapped[dict[str, Any] | None]  # to record
    state: Mapped[MessageState] = mapped_column(default=MessageState.QUEUED)
    attempts: Mapped[int] = mapped_column(default=0)
    turn_number: Mapped[int] = mapped_column(default=1)  # part of `run_id` from 2 on
    lost_count: Mapped[int] = mapped_column(default=0)  # times a gateway lost it
    last_error: Mapped[str | None]  # the reason of the failure, or of the last failed attempt
    waiting_since: Mapped[datetime | None]  # in the current state
    next_attempt_at: Mapped[datetime | None]  # None: immediately
    created_at: Mapped[datetime]
    sent_at: Mapped[datetime | None]
    acknowledged_at: Mapped[datetime | None]

    @property
    def run_id(self) -> str:
        """The key by which the gateway identifies the message's turn."""
        return str(self.id) if self.turn_number == 1 else f"{self.id}.{self.turn_number}"

    def schedule_retry(self, until: datetime, error: str) -> None:
        """Record why an attempt failed, and postpone the next one."""
        self.last_error = error
        self.next_attempt_at = until

    def retry_now(self) -> None:
        """Make the next attempt due immediately."""
        self.next_attempt_at = None

    def mark_sent(self, at: datetime, check_at: datetime) -> None:
        """Record that the agent's gateway accepted it, and schedule the first status check."""
        self.state = MessageState.SENT
        self.last_error = None
        self.sent_at = self.sent_at or at
        self.waiting_since = at
        self.next_attempt_at = check_at

    def acknowledge(self, at: datetime) -> None:
        """Record that the agent has received it."""
        self.state = MessageState.ACKNOWLEDGED
        self.last_error = None
        self.sent_at = self.sent_at or at
        self.acknowledged_at = at

    def fail(self, error: str) -> None:
        """Record that delivery has failed for good, and why."""
        self.state = MessageState.FAILED
        self.last_error = error

    def requeue_lost(self, at: datetime, error: str) -> None:
        """Queue it again, with a new turn, after the gateway has lost it."""
        self.state = MessageState.QUEUED
        self.last_error = error
        self.waiting_since = at
        self.next_attempt_at = None
        self.lost_count += 1
        self.turn_number += 1

    def requeue(self, at: datetime) -> None:
        """Queue it again and reset its attempts. One whose turn has ended gets another turn."""
        if self.state is MessageState.ACKNOWLEDGED:
            self.turn_number += 1
        self.state = MessageState.QUEUED
        self.last_error = None
        self.attempts = self.lost_count = 0
        self.sent_at = self.acknowledged_at = None
        self.waiting_since = at
        self.next_attempt_at = None
