"""Tasks of a board with their dependencies and comments, and the trash for deleted tasks."""

from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from sqlalchemy import CheckConstraint, ForeignKey, Index, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column, relationship

from models.agent import Agent
from models.base import Base, add_search_vector
from models.board import Board


class Status(StrEnum):
    """The columns of a board, from left to right."""

    INBOX = "inbox"
    IN_PROGRESS = "in_progress"
    REVIEW = "review"
    DONE = "done"

    @property
    def label(self) -> str:
        """The heading of the column on pages."""
        return self.value.replace("_", " ").capitalize()


class Priority(StrEnum):
    """How urgent a task is, from the least to the most."""

    LOW = "low"
    MEDIUM = "medium"
    HIGH = "high"


class Task(Base):
    """A task of a board."""

    __tablename__ = "tasks"
    __table_args__ = (
        Index(None, "board_id", "created_at"),
        Index(None, "board_id", "status", "created_at"),
        Index(None, "board_id", "assigned_agent_id", "created_at"),
        Index(None, "board_id", "updated_at"),
        Index(None, "board_id", "done_at"),
        CheckConstraint("status in ('inbox', 'in_progress', 'review', 'done')", name="status"),
    )

    board_id: Mapped[UUID] = mapped_column(ForeignKey("boards.id", ondelete="CASCADE"))
    board: Mapped[Board] = relationship(lazy="raise")
    title: Mapped[str]
    description: Mapped[str | None]
    status: Mapped[Status] = mapped_column(default=Status.INBOX, index=True)
    priority: Mapped[str] = mapped_column(default=Priority.MEDIUM, index=True)
    due_at: Mapped[datetime | None]
    in_progress_at: Mapped[datetime | None]
    previous_in_progress_at: Mapped[datetime | None]
    started_at: Mapped[datetime | None]  # of the first start, from which the cycle time counts
    done_at: Mapped[datetime | None]
    created_by_user_id: Mapped[UUID | None] = mapped_column(
        ForeignKey("users.id", ondelete="SET NULL"), index=True
    )
    assigned_agent_id: Mapped[UUID | None] = mapped_column(
        ForeignKey("agents.id", ondelete="SET NULL"), index=True
    )
    assignee: Mapped[Agent | None] = relationship(lazy="raise", foreign_keys=[assigned_agent_id])
    previous_assignee_id: Mapped[UUID | None] = mapped_column(
        ForeignKey("agents.id", ondelete="SET NULL"), index=True
    )  # the worker who moved it to review and gets it back if the lead rejects it
    auto_created: Mapped[bool] = mapped_column(default=False)
    auto_reason: Mapped[str | None]
    version: Mapped[int] = mapped_column(default=1)
    created_at: Mapped[datetime]
    updated_at: Mapped[datetime]


class TaskDependency(Base):
    """A task depends on another task of the same board."""

    __tablename__ = "task_dependencies"
    __table_args__ = (
        UniqueConstraint("task_id", "depends_on_task_id"),
        CheckConstraint("task_id <> depends_on_task_id", name="not_itself"),
    )

    board_id: Mapped[UUID] = mapped_column(ForeignKey("boards.id", ondelete="CASCADE"), index=True)
    task_id: Mapped[UUID] = mapped_column(ForeignKey("tasks.id", ondelete="CASCADE"), index=True)
    task: Mapped[Task] = relationship(lazy="raise", foreign_keys=[task_id])
    depends_on_task_id: Mapped[UUID] = mapped_column(
        ForeignKey("tasks.id", ondelete="CASCADE"), index=True
    )
    depends_on: Mapped[Task] = relationship(lazy="raise", foreign_keys=[depends_on_task_id])
    position: Mapped[int] = mapped_column(default=0)  # display order
    created_at: Mapped[datetime]


class Comment(Base):
    """A comment of a user or an agent on a task."""

    __tablename__ = "task_comments"
    __table_args__ = (Index(None, "task_id", "created_at"),)

    board_id: Mapped[UUID] = mapped_column(ForeignKey("boards.id", ondelete="CASCADE"), index=True)
    task_id: Mapped[UUID] = mapped_column(ForeignKey("tasks.id", ondelete="CASCADE"))
    task: Mapped[Task] = relationship(lazy="raise")
    message: Mapped[str]
    agent_id: Mapped[UUID | None] = mapped_column(
        ForeignKey("agents.id", ondelete="SET NULL"), index=True
    )
    user_id: Mapped[UUID | None] = mapped_column(ForeignKey("users.id", ondelete="SET NULL"))
    created_at: Mapped[datetime]


class DeletedTask(Base):
    """The rows of a deleted task, as JSON, until the trash is purged. They allow a restore."""

    __tablename__ = "trash"

    board_id: Mapped[UUID] = mapped_column(ForeignKey("boards.id", ondelete="CASCADE"), index=True)
    task_id: Mapped[UUID] = mapped_column(unique=True)
    rows: Mapped[dict[str, Any]]  # table name → its rows
    deleted_at: Mapped[datetime] = mapped_column(index=True)


add_search_vector(Task, title="title", text="description")
add_search_vector(Comment, text="message")
