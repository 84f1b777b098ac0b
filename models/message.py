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
    SENT = "sent"  # its agent's gateway has taken it; its turn is not over
    ACKNOWLEDGED = "acknowledged"  # the agent has it: it has said so, or its turn went well
    FAILED = "failed"  # `last_error` says why; it can be sent again


class Message(Base):
    """Something that an agent is to be told. Its first line is the marker that agents go by.

    To an agent on a gateway it is carried, and begins a turn there. It is sent again under the
    same `run_id`, which begins no second turn; only where the turn is known to have failed, the
    message needs another `run`.
    """

    __tablename__ = "agent_messages"
    __table_args__ = (
        UniqueConstraint("agent_id", "key"),
        Index(None, "agent_id", "state", "seq"),
        Index(None, "state", "next_try_at"),
        CheckConstraint("state in ('queued', 'sent', 'acknowledged', 'failed')", name="state"),
        CheckConstraint("state <> 'failed' or last_error is not null", name="last_error"),
        CheckConstraint("run > 0", name="run"),
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
    run: Mapped[int] = mapped_column(default=1)  # the number of its turn
    losses: Mapped[int] = mapped_column(default=0)  # how often a gateway took it and lost it
    last_error: Mapped[str | None]  # why it has failed, or why the last attempt has
    next_try_at: Mapped[datetime | None]  # since when it waits for what its state names
    due_at: Mapped[datetime | None]  # before then no carrier looks at it; None: at once
    created_at: Mapped[datetime]
    sent_at: Mapped[datetime | None]
    acknowledged_at: Mapped[datetime | None]

    @property
    def run_id(self) -> str:
        """The key by which a gateway knows its turn."""
        return str(self.id) if self.run == 1 else f"{self.id}.{self.run}"

    def attempt(self, until: datetime) -> None:
        """Count an attempt that is about to be made. Until then nobody else makes one."""
        self.attempts += 1
        self.due_at = until

    def rest(self, until: datetime, error: str) -> None:
        """Note that an attempt came to nothing, and why. Until then nobody tries."""
        self.last_error = error
        self.due_at = until

    def hasten(self) -> None:
        """Let it be tried at once."""
        self.due_at = None

    def hand_over(self, at: datetime, look_at: datetime) -> None:
        """Note that its agent's gateway has taken it, and when to look what came of it."""
        self.state = MessageState.SENT
        self.last_error = None
        self.sent_at = self.sent_at or at
        self.next_try_at = at
        self.due_at = look_at

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

    def lose(self, at: datetime, error: str) -> None:
        """Put back what a gateway had taken, and no agent will ever read. It needs another turn."""
        self.state = MessageState.QUEUED
        self.last_error = error
        self.next_try_at = at
        self.due_at = None
        self.losses += 1
        self.run += 1

    def wait_again(self, at: datetime) -> None:
        """Put it back among those that wait, as if nobody had tried."""
        self.state = MessageState.QUEUED
        self.last_error = None
        self.attempts = self.losses = 0
        self.sent_at = None
        self.next_try_at = at
        self.due_at = None
