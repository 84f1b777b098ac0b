"""Requests of agents on gateways: approval of commands, and answers to questions."""

import json
from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from sqlalchemy import CheckConstraint, ForeignKey, Index, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from models.base import Base


class RequestKind(StrEnum):
    """The kind of a request."""

    EXEC = "exec"  # approval of a command
    QUESTION = "question"  # answers to questions
    PLUGIN = "plugin"  # approval of an action of a plugin


DECISION_KINDS = (RequestKind.EXEC, RequestKind.PLUGIN)
"""The kinds that are answered by a decision."""


class RequestState(StrEnum):
    """The state of a request."""

    WAITING = "waiting"
    ANSWERING = "answering"  # answered; the gateway has not received the answer
    ANSWERED = "answered"  # the gateway has received the answer
    LOST = "lost"  # answered on the gateway, or the outcome is unknown
    EXPIRED = "expired"
    CANCELLED = "cancelled"  # withdrawn on the gateway


class GatewayRequest(Base):
    """A request of an agent on a gateway to the users.

    `exact` is a command, or questions or an action of a plugin as JSON, and `content` everything
    that the gateway sends with an approval, both with our tokens masked. `sha256` is the hash of
    the unmasked content, or of the questions. Approvals that an earlier version has stored have no
    content, and a hash of less.
    A trigger in the database prevents changes of these, and of the answer, its author and its
    time; only a waiting approval without content is completed once. The same id with another
    content is another request.
    """

    __tablename__ = "gateway_requests"
    __table_args__ = (
        UniqueConstraint("gateway_id", "request_id", "sha256"),
        Index(None, "organization_id", "created_at"),
        Index("ix_gateway_requests_ended", "organization_id", "ended_at", "created_at", "id"),
        Index(
            "ix_gateway_requests_answered",
            "organization_id",
            "answered_at",
            postgresql_where="answered_at is not null",
        ),
        Index(None, "board_id", "state"),
        Index(None, "state", "expires_at"),
        Index(None, "agent_id", "run_id"),
        CheckConstraint("kind in ('exec', 'question', 'plugin')", name="kind"),
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
    gateway_name: Mapped[str]  # at the time of the request
    request_id: Mapped[str]  # the gateway's
    kind: Mapped[RequestKind]
    agent_id: Mapped[UUID | None] = mapped_column(ForeignKey("agents.id", ondelete="SET NULL"))
    board_id: Mapped[UUID | None] = mapped_column(ForeignKey("boards.id", ondelete="SET NULL"))
    agent_key: Mapped[str | None]  # the agent's id on the gateway
    session_key: Mapped[str | None]
    run_id: Mapped[str | None]
    title: Mapped[str]  # the beginning of what is asked, on one line, for lists
    exact: Mapped[str]
    sha256: Mapped[str]
    is_masked: Mapped[bool]  # whether one of our tokens is masked
    cwd: Mapped[str | None]
    context: Mapped[dict[str, Any] | None]  # further information about a command
    content: Mapped[dict[str, Any] | None]
    allowed_decisions: Mapped[list[Any]]
    state: Mapped[RequestState] = mapped_column(default=RequestState.WAITING)
    asked_at: Mapped[datetime]
    expires_at: Mapped[datetime]
    answer: Mapped[dict[str, Any] | None]
    answered_by_user_id: Mapped[UUID | None] = mapped_column(
        ForeignKey("users.id", ondelete="SET NULL"), index=True
    )
    answered_by: Mapped[str | None]  # the name at that time
    answered_at: Mapped[datetime | None]
    delivered_at: Mapped[datetime | None]
    ended_at: Mapped[datetime | None]  # when the request stopped waiting
    error: Mapped[str | None]  # why an answer had no effect, as a sentence
    created_at: Mapped[datetime]

    @property
    def command(self) -> str | None:
        """The command, if the request is for one."""
        return self.exact if self.kind is RequestKind.EXEC else None

    @property
    def plugin_action(self) -> dict[str, Any] | None:
        """What a plugin asks for, if the request is from one: at least `title` and `description`.

        Also `detail`, `severity`, `pluginId`, `toolName`, `mcpTool` and `scope`, as the gateway
        sends them.
        """
        return json.loads(self.exact) if self.kind is RequestKind.PLUGIN else None

    @property
    def takes_decision(self) -> bool:
        """Whether it is answered by one of `allowed_decisions`."""
        return self.kind in DECISION_KINDS

    @property
    def questions(self) -> list[dict[str, Any]]:
        """The questions, if the request has some."""
        return json.loads(self.exact) if self.kind is RequestKind.QUESTION else []
