"""What agents on gateways ask people for: leave to run a command, and answers to questions."""

import hashlib
import json
from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from sqlalchemy import CheckConstraint, ForeignKey, Index, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from models.base import Base


class RequestKind(StrEnum):
    """What is asked for."""

    EXEC = "exec"  # leave to run a command
    QUESTION = "question"  # answers to questions


class RequestState(StrEnum):
    """What has become of a request."""

    WAITING = "waiting"
    ANSWERING = "answering"  # somebody has answered, and the gateway has not heard of it yet
    ANSWERED = "answered"  # the gateway has the answer
    LOST = "lost"  # it was answered elsewhere, or nobody knows any more how
    EXPIRED = "expired"
    CANCELLED = "cancelled"  # whoever asked does not want to know any more


class GatewayRequest(Base):
    """Something that an agent on a gateway asks a person.

    `exact` is what is asked, a command or questions as JSON, with tokens of ours masked; `sha256`
    is of every byte of it, as it was asked. A trigger of the database keeps both as they are for
    ever, as well as what was answered, by whom and when.
    """

    __tablename__ = "gateway_requests"
    __table_args__ = (
        UniqueConstraint("gateway_id", "request_id"),
        Index(None, "organization_id", "created_at"),
        Index(None, "board_id", "state"),
        Index(None, "state", "expires_at"),
        CheckConstraint("kind in ('exec', 'question')", name="kind"),
        CheckConstraint(
            "state in ('waiting', 'answering', 'answered', 'lost', 'expired', 'cancelled')",
            name="state",
        ),
        CheckConstraint(
            "state not in ('answering', 'answered') or (answer is not null"
            " and answered_at is not null and answered_by is not null)",
            name="answer",
        ),
        CheckConstraint("state <> 'waiting' or answered_at is null", name="waiting"),
    )

    organization_id: Mapped[UUID] = mapped_column(
        ForeignKey("organizations.id", ondelete="CASCADE")
    )
    gateway_id: Mapped[UUID | None] = mapped_column(ForeignKey("gateways.id", ondelete="SET NULL"))
    gateway_name: Mapped[str]  # as it was then
    request_id: Mapped[str]  # the gateway's
    kind: Mapped[RequestKind]
    agent_id: Mapped[UUID | None] = mapped_column(
        ForeignKey("agents.id", ondelete="SET NULL"), index=True
    )
    board_id: Mapped[UUID | None] = mapped_column(ForeignKey("boards.id", ondelete="SET NULL"))
    agent_key: Mapped[str | None]  # by which the gateway knows the agent
    session_key: Mapped[str | None]
    run_id: Mapped[str | None]
    exact: Mapped[str]
    sha256: Mapped[str]
    cwd: Mapped[str | None]
    context: Mapped[dict[str, Any] | None]  # what else the gateway says of a command
    allowed_decisions: Mapped[list[Any]]
    state: Mapped[RequestState] = mapped_column(default=RequestState.WAITING)
    asked_at: Mapped[datetime]
    expires_at: Mapped[datetime]
    answer: Mapped[dict[str, Any] | None]
    answered_by_user_id: Mapped[UUID | None] = mapped_column(
        ForeignKey("users.id", ondelete="SET NULL"), index=True
    )
    answered_by: Mapped[str | None]  # how whoever has answered was called then
    answered_at: Mapped[datetime | None]
    delivered_at: Mapped[datetime | None]
    ended_at: Mapped[datetime | None]  # since when nobody waits for an answer any more
    error: Mapped[str | None]  # why it has come to nothing, in words
    created_at: Mapped[datetime]

    @property
    def is_masked(self) -> bool:
        """Whether a token of ours stood in what is asked, where it is masked now."""
        return hashlib.sha256(self.exact.encode()).hexdigest() != self.sha256

    @property
    def command(self) -> str | None:
        """The command, where leave is asked for one."""
        return self.exact if self.kind is RequestKind.EXEC else None

    @property
    def questions(self) -> list[dict[str, Any]]:
        """The questions, where some are asked."""
        return json.loads(self.exact) if self.kind is RequestKind.QUESTION else []
