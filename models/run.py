"""Runs: what agents on gateways do, from being told something until they have answered."""

from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from sqlalchemy import CheckConstraint, ForeignKey, Index, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from models.base import Base


class RunStatus(StrEnum):
    """How it stands with a run."""

    RUNNING = "running"
    ENDED = "ended"
    FAILED = "failed"
    ABORTED = "aborted"
    LOST = "lost"  # nobody knows any more what has become of it


class Run(Base):
    """A turn of an agent on a gateway, as far as the gateway has told of it.

    `updated_at` is when we last knew that it goes on: without that, a run is lost after a while.
    """

    __tablename__ = "agent_runs"
    __table_args__ = (
        UniqueConstraint("gateway_id", "run_id"),
        Index(None, "agent_id", "started_at"),
        Index(None, "task_id", "started_at"),
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
    run_id: Mapped[str]  # the gateway's; begins with the id of the message that has begun it
    session_key: Mapped[str]
    is_heartbeat: Mapped[bool] = mapped_column(default=False)
    status: Mapped[RunStatus] = mapped_column(default=RunStatus.RUNNING)
    phase: Mapped[str | None]  # a word of services.runs.live
    tool: Mapped[str | None]  # what is called at the moment
    tool_title: Mapped[str | None]
    tool_calls: Mapped[list[Any]]  # the last ones, oldest first
    tail: Mapped[str]  # the end of what the agent has written, or of what a command has
    tokens: Mapped[int | None]  # that the model has written
    error: Mapped[str | None]
    started_at: Mapped[datetime]
    updated_at: Mapped[datetime]
    ended_at: Mapped[datetime | None]
