"""Runs: turns of agents on gateways, from a message until the answer."""

from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from sqlalchemy import CheckConstraint, ForeignKey, Index, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

from models.base import Base


class RunStatus(StrEnum):
    """The status of a run."""

    RUNNING = "running"
    ENDED = "ended"
    FAILED = "failed"
    ABORTED = "aborted"
    LOST = "lost"  # the outcome is unknown


class Run(Base):
    """A turn of an agent on a gateway, as far as the gateway has reported it.

    `updated_at` is the latest sign that the run is active; without signs it becomes LOST.
    """

    __tablename__ = "agent_runs"
    __table_args__ = (
        UniqueConstraint("gateway_id", "run_id"),
        Index(None, "agent_id", "started_at"),
        Index(None, "task_id", "started_at"),
        Index("ix_agent_runs_of_messages", "agent_id", text('"left"(run_id, 36)')),
        Index(None, "status", "updated_at"),
        CheckConstraint(
            "status in ('running', 'ended', 'failed', 'aborted', 'lost')", name="status"
        ),
        CheckConstraint("(status = 'running') = (ended_at is null)", name="ended_at"),
    )

    organization_id: Mapped[UUID] = mapped_column(
        ForeignKey("organizations.id", ondelete="CASCADE"), index=True
    )
    gateway_id: Mapped[UUID] = mapped_column(ForeignKey("gateways.id", ondelete="CASCADE"))
    agent_id: Mapped[UUID] = mapped_column(ForeignKey("agents.id", ondelete="CASCADE"))
    task_id: Mapped[UUID | None] = mapped_column(ForeignKey("tasks.id", ondelete="SET NULL"))
    run_id: Mapped[str]  # of the gateway; begins with the id of the message that started the run
    session_key: Mapped[str]
    is_heartbeat: Mapped[bool] = mapped_column(default=False)
    status: Mapped[RunStatus] = mapped_column(default=RunStatus.RUNNING)
    phase: Mapped[str | None]  # a RunPhase
    tool: Mapped[str | None]  # the tool that is being called
    tool_title: Mapped[str | None]
    tool_calls: Mapped[list[Any]]  # the latest ones, oldest first
    tail: Mapped[str]  # the end of the output of the agent or of a command
    tokens: Mapped[int | None]  # of the model's output
    error: Mapped[str | None]
    started_at: Mapped[datetime]
    updated_at: Mapped[datetime]
    ended_at: Mapped[datetime | None]
