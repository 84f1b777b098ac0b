"""Boards with their goal and task rules, and board groups."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import CheckConstraint, ForeignKey, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column, relationship

from models.base import Base, OrderedJson, add_search_vector
from models.organization import Organization

DEFAULT_STALE_MINUTES = 240
DEFAULT_REMINDER_MINUTES = 60


class BoardGroup(Base):
    """A group of boards that share memory."""

    __tablename__ = "board_groups"
    __table_args__ = (UniqueConstraint("organization_id", "slug"),)

    organization_id: Mapped[UUID] = mapped_column(
        ForeignKey("organizations.id", ondelete="CASCADE"), index=True
    )
    name: Mapped[str]
    slug: Mapped[str]
    description: Mapped[str | None]
    created_at: Mapped[datetime]
    updated_at: Mapped[datetime]


class Board(Base):
    """A board: a goal, tasks, and the rules for changes of task statuses."""

    __tablename__ = "boards"
    __table_args__ = (
        UniqueConstraint("organization_id", "slug"),
        CheckConstraint("max_agents >= 0", name="max_agents"),
    )

    organization_id: Mapped[UUID] = mapped_column(
        ForeignKey("organizations.id", ondelete="CASCADE"), index=True
    )
    organization: Mapped[Organization] = relationship(lazy="raise")
    name: Mapped[str]
    slug: Mapped[str] = mapped_column(index=True)
    description: Mapped[str] = mapped_column(default="")
    gateway_id: Mapped[UUID | None] = mapped_column(ForeignKey("gateways.id"), index=True)
    board_group_id: Mapped[UUID | None] = mapped_column(
        ForeignKey("board_groups.id", ondelete="SET NULL"), index=True
    )
    board_type: Mapped[str] = mapped_column(default="goal", index=True)
    objective: Mapped[str | None]
    success_metrics: Mapped[dict[str, Any] | None] = mapped_column(OrderedJson)
    target_date: Mapped[datetime | None]
    goal_confirmed: Mapped[bool] = mapped_column(default=False)
    goal_source: Mapped[str | None]
    require_approval_for_done: Mapped[bool] = mapped_column(default=True)
    require_review_before_done: Mapped[bool] = mapped_column(default=False)
    comment_required_for_review: Mapped[bool] = mapped_column(default=False)
    block_status_changes_with_pending_approval: Mapped[bool] = mapped_column(default=False)
    only_lead_can_change_status: Mapped[bool] = mapped_column(default=False)
    workers_may_ask_people: Mapped[bool] = mapped_column(
        default=False, server_default=text("false")
    )
    max_agents: Mapped[int] = mapped_column(default=1)
    stale_after_minutes: Mapped[int | None] = mapped_column(
        default=DEFAULT_STALE_MINUTES, server_default=text(str(DEFAULT_STALE_MINUTES))
    )  # without activity, for tasks in progress; None: never
    remind_after_minutes: Mapped[int | None] = mapped_column(
        default=DEFAULT_REMINDER_MINUTES, server_default=text(str(DEFAULT_REMINDER_MINUTES))
    )  # of approvals that nobody decides; None: never
    paused_at: Mapped[datetime | None]  # its agents are not woken while this is set
    version: Mapped[int] = mapped_column(default=1)
    created_at: Mapped[datetime]
    updated_at: Mapped[datetime]


add_search_vector(Board, title="name", text="description", more="objective")
