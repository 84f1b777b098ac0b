"""Boards and their groups, saved views of them, and what users have read and see of them."""

from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, CheckConstraint, ForeignKey, Index, UniqueConstraint, text
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
        Index(
            "ix_boards_names",
            "organization_id",
            text("lower(name)"),
            text("created_at desc"),
            "id",
        ),
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


class SavedView(Base):
    """A named query of a board page: filters, sort order and columns."""

    __tablename__ = "saved_views"
    __table_args__ = (
        Index(
            "uq_saved_views_name",
            "board_id",
            "user_id",
            text("lower(name)"),
            unique=True,
            postgresql_nulls_not_distinct=True,
        ),
    )

    board_id: Mapped[UUID] = mapped_column(ForeignKey("boards.id", ondelete="CASCADE"))
    user_id: Mapped[UUID | None] = mapped_column(
        ForeignKey("users.id", ondelete="CASCADE"), index=True
    )  # None: shared by all who can read the board
    name: Mapped[str]
    query: Mapped[str]  # without a question mark; parsed again when it is used
    version: Mapped[int] = mapped_column(default=1)  # of the query
    created_at: Mapped[datetime]
    updated_at: Mapped[datetime]


class DefaultView(Base):
    """The saved view that a user sees first on a board."""

    __tablename__ = "default_views"
    __table_args__ = (UniqueConstraint("user_id", "board_id"),)

    user_id: Mapped[UUID] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"))
    board_id: Mapped[UUID] = mapped_column(ForeignKey("boards.id", ondelete="CASCADE"), index=True)
    view_id: Mapped[UUID] = mapped_column(
        ForeignKey("saved_views.id", ondelete="CASCADE"), index=True
    )


class BoardShortcut(Base):
    """A board that a user has pinned to the sidebar, or opened: one of the two is set."""

    __tablename__ = "board_shortcuts"
    __table_args__ = (
        UniqueConstraint("user_id", "board_id"),
        Index(None, "user_id", "opened_at"),
        CheckConstraint("pin_position is not null or opened_at is not null", name="reason"),
    )

    user_id: Mapped[UUID] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"))
    board_id: Mapped[UUID] = mapped_column(ForeignKey("boards.id", ondelete="CASCADE"), index=True)
    pin_position: Mapped[int | None]  # among the pinned boards; None: not pinned
    opened_at: Mapped[datetime | None]  # None: never since it was pinned


class ReadKind(StrEnum):
    """The kind of content of a board that a marker refers to."""

    COMMENTS = "comments"  # of one task
    CHAT = "chat"
    APPROVALS = "approvals"


class ReadMarker(Base):
    """How far a user has read the comments of a task, the chat or the approvals of a board."""

    __tablename__ = "read_markers"
    __table_args__ = (
        UniqueConstraint(
            "user_id",
            "board_id",
            "kind",
            "task_id",
            name="uq_read_markers_one_each",
            postgresql_nulls_not_distinct=True,
        ),
    )

    user_id: Mapped[UUID] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"))
    board_id: Mapped[UUID] = mapped_column(ForeignKey("boards.id", ondelete="CASCADE"), index=True)
    kind: Mapped[ReadKind]
    task_id: Mapped[UUID | None] = mapped_column(
        ForeignKey("tasks.id", ondelete="CASCADE"), index=True
    )  # only for comments; None: the comments of all tasks of the board
    seen_seq: Mapped[int] = mapped_column(BigInteger)  # the number of the last event that was read
    seen_at: Mapped[datetime]


class Presence(Base):
    """A user who has, or had, a page of a board open: since when, and when it was last recorded."""

    __tablename__ = "presences"
    __table_args__ = (UniqueConstraint("board_id", "user_id"),)

    board_id: Mapped[UUID] = mapped_column(ForeignKey("boards.id", ondelete="CASCADE"))
    user_id: Mapped[UUID] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), index=True)
    since: Mapped[datetime]
    seen_at: Mapped[datetime]
