"""Events: what happened, written down once."""

from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, ForeignKey, Identity, Index
from sqlalchemy.orm import Mapped, mapped_column

from models.base import Base


class EventType(StrEnum):
    """Every kind of thing that can happen. The values are part of the API (contract, 1.18)."""

    ORGANIZATION_CREATED = "organization.created"
    ORGANIZATION_UPDATED = "organization.updated"
    BOARD_CREATED = "board.created"
    BOARD_UPDATED = "board.updated"
    BOARD_DELETED = "board.deleted"
    TASK_CREATED = "task.created"
    TASK_UPDATED = "task.updated"
    TASK_STATUS_CHANGED = "task.status_changed"
    TASK_COMMENT = "task.comment"
    TASK_DELETED = "task.deleted"
    TASK_RESTORED = "task.restored"
    APPROVAL_REQUESTED = "approval.requested"
    APPROVAL_DECIDED = "approval.decided"  # on a page; may still be taken back
    APPROVAL_UNDONE = "approval.undone"
    APPROVAL_APPROVED = "approval.approved"
    APPROVAL_REJECTED = "approval.rejected"
    APPROVAL_REOPENED = "approval.reopened"
    APPROVAL_ASKED_BACK = "approval.asked_back"
    AGENT_CREATED = "agent.created"
    AGENT_UPDATED = "agent.updated"
    AGENT_DELETED = "agent.deleted"
    AGENT_STATUS_CHANGED = "agent.status_changed"
    AGENT_TOKEN_ISSUED = "agent.token_issued"  # noqa: S105


class Event(Base):
    """Something that happened in an organization.

    The activity feed, the live pages and the agents' streams all read this table. It keeps ids
    without foreign keys, because what happened stays true when the things it happened to are gone.
    """

    __tablename__ = "activity_events"
    __table_args__ = (
        Index(None, "organization_id", "seq"),
        Index(None, "board_id", "created_at"),
        Index(None, "task_id", "created_at"),
        Index(None, "agent_id", "created_at"),
        Index(None, "type", "created_at"),
    )

    seq: Mapped[int] = mapped_column(BigInteger, Identity(), unique=True)
    type: Mapped[EventType]
    organization_id: Mapped[UUID] = mapped_column(
        ForeignKey("organizations.id", ondelete="CASCADE")
    )
    board_id: Mapped[UUID | None]
    task_id: Mapped[UUID | None]
    approval_id: Mapped[UUID | None]
    agent_id: Mapped[UUID | None]  # the agent who did it, or to whom it happened
    user_id: Mapped[UUID | None]  # the person who did it
    data: Mapped[dict[str, Any]]
    created_at: Mapped[datetime]
