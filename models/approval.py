"""Approvals: requests for a human decision."""

from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from sqlalchemy import CheckConstraint, ForeignKey, Index, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column, relationship

from models.agent import Agent
from models.approval_policy import PolicyVerdict, PolicyVerdictType, RiskLevel
from models.base import Base
from models.board import Board
from models.task import Task

DECISIONS_TOPIC = "approval decisions"
"""The topic on the event channel that wakes the workers when an approval has been decided."""


class ApprovalStatus(StrEnum):
    """The status of an approval, as agents see it."""

    PENDING = "pending"
    APPROVED = "approved"
    REJECTED = "rejected"


class Approval(Base):
    """A request of an agent or a user for a decision by a user.

    A decision on a page is finalized a few seconds later. Until then `status` stays pending, and
    `decided_status`, `decided_by_user_id`, `decided_at` and `finalizes_at` hold the decision, which
    can be undone. Agents only see `status`.

    If the policy asks two people, the first one who approves is stored in `first_approver_id` with
    what was approved; the second one decides.

    A vote counts only if its person may still decide when the decision takes effect. Otherwise it
    lapses (`services/approvals/votes.py`), and the approval waits again.
    """

    __tablename__ = "approvals"
    __table_args__ = (
        Index(None, "board_id", "status"),
        Index(None, "board_id", "created_at"),
        Index(None, "board_id", "status", "created_at"),
        Index(
            "ix_approvals_undecided",
            "board_id",
            "created_at",
            "id",
            postgresql_where=text("status = 'pending' and decided_status is null"),
        ),
        Index(
            "ix_approvals_undecided_restricted",
            "board_id",
            postgresql_where=text(
                "status = 'pending' and decided_status is null"
                " and (policy_verdict is not null or first_approver_id is not null)"
            ),
        ),
        Index(None, "agent_id", "created_at"),
        Index("ix_approvals_decided", "board_id", text("coalesce(decided_at, resolved_at)")),
        Index("ix_approvals_tool_calls", "created_at", postgresql_where=text("is_tool_call")),
        Index(
            "ix_approvals_undone_by_user_id",
            "undone_by_user_id",
            postgresql_where=text("undone_by_user_id is not null"),
        ),
        Index(
            "ix_approvals_lapsed_user_id",
            "lapsed_user_id",
            postgresql_where=text("lapsed_user_id is not null"),
        ),
        CheckConstraint("status in ('pending', 'approved', 'rejected')", name="status"),
        CheckConstraint("confidence between 0 and 100", name="confidence"),
        CheckConstraint("(status = 'pending') = (resolved_at is null)", name="resolved_at"),
    )

    board_id: Mapped[UUID] = mapped_column(ForeignKey("boards.id", ondelete="CASCADE"), index=True)
    board: Mapped[Board] = relationship(lazy="raise")
    task_id: Mapped[UUID | None] = mapped_column(
        ForeignKey("tasks.id", ondelete="SET NULL"), index=True
    )  # the first of its tasks
    task: Mapped[Task | None] = relationship(lazy="raise")
    agent_id: Mapped[UUID | None] = mapped_column(ForeignKey("agents.id", ondelete="SET NULL"))
    agent: Mapped[Agent | None] = relationship(lazy="raise")
    requested_by_user_id: Mapped[UUID | None] = mapped_column(
        ForeignKey("users.id", ondelete="SET NULL"), index=True
    )
    action_type: Mapped[str]
    requested_hash: Mapped[str | None]  # of the action as requested; None if that is not known
    action_hash: Mapped[str | None]  # of what was requested, and once approved of what was reviewed
    completes_tasks: Mapped[bool | None]  # None: as for its action type
    payload: Mapped[dict[str, Any] | None]
    is_tool_call: Mapped[bool] = mapped_column(
        default=False, server_default="false"
    )  # a client asks for it: its payload has the complete input, and is deleted after a time
    equality_hash: Mapped[str | None]  # of kind and payload; None if that is not known
    risk: Mapped[RiskLevel | None]  # that the policy applies; None for older ones: counts as high
    confidence: Mapped[float]
    rubric_scores: Mapped[dict[str, Any] | None]
    status: Mapped[ApprovalStatus] = mapped_column(default=ApprovalStatus.PENDING, index=True)
    decided_status: Mapped[ApprovalStatus | None]
    decided_by_user_id: Mapped[UUID | None] = mapped_column(
        ForeignKey("users.id", ondelete="SET NULL"), index=True
    )
    decided_at: Mapped[datetime | None]
    decision_note: Mapped[str | None]
    moves_tasks_to_done: Mapped[bool] = mapped_column(
        default=False, server_default="false"
    )  # whether its decider completes the tasks when the decision becomes final
    completion_error: Mapped[str | None]  # code of the rule that did not allow that
    finalizes_at: Mapped[datetime | None] = mapped_column(index=True)
    reminded_at: Mapped[datetime | None]  # when people were reminded that it waits
    clarification_requested_at: Mapped[datetime | None]
    request_count: Mapped[int] = mapped_column(
        default=1, server_default="1"
    )  # of identical requests
    expires_at: Mapped[datetime | None] = mapped_column(
        index=True
    )  # it cannot be approved and allows nothing after this time
    policy_verdict: Mapped[PolicyVerdict] = mapped_column(
        PolicyVerdictType, default=PolicyVerdict, nullable=True
    )
    is_decided_by_policy: Mapped[bool] = mapped_column(default=False, server_default="false")
    first_approver_id: Mapped[UUID | None] = mapped_column(
        ForeignKey("users.id", ondelete="SET NULL"), index=True
    )
    first_approved_at: Mapped[datetime | None]
    first_approval_note: Mapped[str | None]
    first_approval_hash: Mapped[str | None]  # of the action that the first one approved
    first_approval_completes_tasks: Mapped[bool | None]
    undone_by_user_id: Mapped[UUID | None] = mapped_column(
        ForeignKey("users.id", ondelete="SET NULL")
    )  # who had made the last decision that was undone; that person may use its note again
    undone_status: Mapped[ApprovalStatus | None]
    undone_note: Mapped[str | None]
    lapsed_user_id: Mapped[UUID | None] = mapped_column(
        ForeignKey("users.id", ondelete="SET NULL")
    )  # who made the last decision that counts no longer, because that person may not decide now
    lapsed_status: Mapped[ApprovalStatus | None]
    created_at: Mapped[datetime]
    resolved_at: Mapped[datetime | None]


class ApprovalTask(Base):
    """A link between an approval and one of its tasks, with the content that was reviewed.

    The content is that of the request, and from the approval on what was approved. `used_at` is
    when the task was moved to done with this approval, which is possible once.
    """

    __tablename__ = "approval_task_links"
    __table_args__ = (UniqueConstraint("approval_id", "task_id"),)

    approval_id: Mapped[UUID] = mapped_column(
        ForeignKey("approvals.id", ondelete="CASCADE"), index=True
    )
    approval: Mapped[Approval] = relationship(lazy="raise")
    task_id: Mapped[UUID] = mapped_column(ForeignKey("tasks.id", ondelete="CASCADE"), index=True)
    task: Mapped[Task] = relationship(lazy="raise")
    position: Mapped[int] = mapped_column(default=0)
    content: Mapped[dict[str, Any] | None]
    content_hash: Mapped[str | None]
    used_at: Mapped[datetime | None]
    created_at: Mapped[datetime]
