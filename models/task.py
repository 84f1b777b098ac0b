"""Tasks with their dependencies, comments, tags, watchers and links, and the deleted ones."""

import secrets
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from typing import Any
from uuid import UUID

from sqlalchemy import (
    CheckConstraint,
    Column,
    ForeignKey,
    Index,
    Integer,
    Numeric,
    String,
    Table,
    UniqueConstraint,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column, relationship

from models.agent import Agent
from models.base import Base, add_search_vector
from models.board import Board
from models.user import User


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


OPEN_STATUSES = (Status.INBOX, Status.IN_PROGRESS, Status.REVIEW)


class Priority(StrEnum):
    """How urgent a task is, from the least to the most."""

    LOW = "low"
    MEDIUM = "medium"
    HIGH = "high"


IS_IN_PROGRESS = text("status = 'in_progress'")
URGENT_STATUSES = "array['in_progress', 'review', 'inbox']"
URGENT_PRIORITIES = "array['high', 'medium', 'low']"
"""The most urgent first, in the words of the index."""
PRIORITY_PLACE = f"array_position({URGENT_PRIORITIES}, priority)"
IS_OPEN = "status <> 'done'"
RANK_NOW = "extract(epoch from clock_timestamp()) * 1000000 + random()::numeric"
RANK_DIGITS = 12  # after the decimal point; tasks of the same microsecond differ in them


def rank_at(moment: datetime) -> Decimal:
    """Return the rank of a task that enters a column at this time: above all earlier ones."""
    microseconds = (moment - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)
    return microseconds + Decimal(secrets.randbelow(10**RANK_DIGITS)).scaleb(-RANK_DIGITS)


def _initial_rank(context: Any) -> Decimal:
    return rank_at(context.get_current_parameters()["created_at"])


class Task(Base):
    """A task of a board."""

    __tablename__ = "tasks"
    __table_args__ = (
        Index(None, "board_id", "created_at"),
        Index(None, "board_id", "status", "created_at"),
        Index(None, "board_id", "assigned_agent_id", "created_at"),
        Index(None, "board_id", "updated_at"),
        Index(None, "board_id", "done_at"),
        Index("ix_tasks_done_at", "done_at", postgresql_where=text("done_at is not null")),
        Index(None, "board_id", "status", "rank"),
        Index(
            "ix_tasks_list",
            "board_id",
            "status",
            "due_at",
            text("created_at DESC"),
            text("id DESC"),
        ),
        Index("ix_tasks_in_progress", "updated_at", postgresql_where=IS_IN_PROGRESS),
        Index("ix_tasks_due", "board_id", "due_at", postgresql_where=text("due_at is not null")),
        Index(
            "ix_tasks_work_of_agents",
            "assigned_agent_id",
            "in_progress_at",
            "id",
            postgresql_where=IS_IN_PROGRESS,
        ),
        Index(
            "ix_tasks_workers_of_boards",
            "board_id",
            "assigned_agent_id",
            postgresql_where=IS_IN_PROGRESS,
        ),
        Index(
            "ix_tasks_urgent",
            "board_id",
            text(f"array_position({URGENT_STATUSES}, status)"),
            text(PRIORITY_PLACE),
            text("updated_at desc"),
            text("created_at desc"),
            text("id desc"),
        ),
        Index(
            "ix_tasks_undated",
            "board_id",
            text(PRIORITY_PLACE),
            text("created_at desc"),
            "id",
            postgresql_where=text(f"due_at is null and {IS_OPEN}"),
        ),
        Index("ix_tasks_stale", "board_id", postgresql_where=text("stale_since is not null")),
        Index(
            "ix_tasks_blocked",
            "board_id",
            "status",
            "rank",
            postgresql_where=text("open_dependency_count > 0"),
        ),
        CheckConstraint("status in ('inbox', 'in_progress', 'review', 'done')", name="status"),
        Index(
            "ix_tasks_due_of_people",
            "due_at",
            postgresql_where=text("assigned_user_id is not null and status <> 'done'"),
        ),
        Index(
            "ix_tasks_of_people",
            "assigned_user_id",
            "due_at",
            postgresql_where=text("assigned_user_id is not null and status <> 'done'"),
        ),
        CheckConstraint(
            "assigned_agent_id is null or assigned_user_id is null", name="one_assignee"
        ),
    )

    board_id: Mapped[UUID] = mapped_column(ForeignKey("boards.id", ondelete="CASCADE"))
    board: Mapped[Board] = relationship(lazy="raise")
    title: Mapped[str]
    description: Mapped[str | None]
    status: Mapped[Status] = mapped_column(default=Status.INBOX)
    rank: Mapped[Decimal] = mapped_column(
        Numeric, default=_initial_rank, server_default=text(RANK_NOW)
    )  # in the manual order of its column; the highest is the first
    priority: Mapped[str] = mapped_column(default=Priority.MEDIUM, index=True)
    due_at: Mapped[datetime | None]
    in_progress_at: Mapped[datetime | None]
    previous_in_progress_at: Mapped[datetime | None]
    started_at: Mapped[datetime | None]  # of the first start, from which the cycle time counts
    done_at: Mapped[datetime | None]
    stale_since: Mapped[datetime | None]  # when the worker has noticed that nothing happens
    stale_notified_at: Mapped[datetime | None]  # when people were notified of it
    created_by_user_id: Mapped[UUID | None] = mapped_column(
        ForeignKey("users.id", ondelete="SET NULL"), index=True
    )
    assigned_agent_id: Mapped[UUID | None] = mapped_column(
        ForeignKey("agents.id", ondelete="SET NULL"), index=True
    )
    assignee: Mapped[Agent | None] = relationship(lazy="raise", foreign_keys=[assigned_agent_id])
    assigned_user_id: Mapped[UUID | None] = mapped_column(
        ForeignKey("users.id", ondelete="SET NULL"), index=True
    )
    assigned_user: Mapped[User | None] = relationship(lazy="raise", foreign_keys=[assigned_user_id])
    previous_assignee_id: Mapped[UUID | None] = mapped_column(
        ForeignKey("agents.id", ondelete="SET NULL"), index=True
    )  # the worker who moved it to review and gets it back if the lead rejects it
    claimed_run: Mapped[str | None] = mapped_column(String(200))  # of the agent that has started it
    claimed_run_at: Mapped[datetime | None]  # when this run last named itself
    auto_created: Mapped[bool] = mapped_column(default=False)
    auto_reason: Mapped[str | None]
    version: Mapped[int] = mapped_column(default=1)
    created_at: Mapped[datetime]
    updated_at: Mapped[datetime]


assert isinstance(Task.__table__, Table)
OPEN_DEPENDENCY_COUNT = Column(
    "open_dependency_count", Integer, nullable=False, server_default=text("0")
)
"""The number of a task's dependencies that are not done. Triggers maintain it (migration 0056), so
it is not an attribute of the model: nothing reads it with a row, and nothing writes it."""
Task.__table__.append_column(OPEN_DEPENDENCY_COUNT)


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
    __table_args__ = (Index(None, "task_id", "created_at"), Index(None, "board_id", "created_at"))

    board_id: Mapped[UUID] = mapped_column(ForeignKey("boards.id", ondelete="CASCADE"), index=True)
    task_id: Mapped[UUID] = mapped_column(ForeignKey("tasks.id", ondelete="CASCADE"))
    task: Mapped[Task] = relationship(lazy="raise")
    message: Mapped[str]
    agent_id: Mapped[UUID | None] = mapped_column(
        ForeignKey("agents.id", ondelete="SET NULL"), index=True
    )
    user_id: Mapped[UUID | None] = mapped_column(
        ForeignKey("users.id", ondelete="SET NULL"), index=True
    )
    created_at: Mapped[datetime]


class TaskDescription(Base):
    """A version of the description of a task. There are none until it is first changed."""

    __tablename__ = "task_descriptions"
    __table_args__ = (Index(None, "task_id", "created_at"),)

    task_id: Mapped[UUID] = mapped_column(ForeignKey("tasks.id", ondelete="CASCADE"))
    task: Mapped[Task] = relationship(lazy="raise")
    text: Mapped[str | None]
    agent_id: Mapped[UUID | None] = mapped_column(
        ForeignKey("agents.id", ondelete="SET NULL"), index=True
    )
    user_id: Mapped[UUID | None] = mapped_column(
        ForeignKey("users.id", ondelete="SET NULL"), index=True
    )
    created_at: Mapped[datetime]


class DeletedTask(Base):
    """The rows of a deleted task, as JSON, until the trash is purged. They allow a restore."""

    __tablename__ = "trash"
    __table_args__ = (Index(None, "board_id", "deleted_at"),)

    board_id: Mapped[UUID] = mapped_column(ForeignKey("boards.id", ondelete="CASCADE"))
    task_id: Mapped[UUID] = mapped_column(unique=True)
    rows: Mapped[dict[str, Any]]  # table name → its rows
    deleted_at: Mapped[datetime] = mapped_column(index=True)


class BulkTaskChange(Base):
    """A change of several tasks that the user who made it can undo, for a limited time."""

    __tablename__ = "bulk_task_changes"

    board_id: Mapped[UUID] = mapped_column(ForeignKey("boards.id", ondelete="CASCADE"), index=True)
    user_id: Mapped[UUID] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), index=True)
    is_deletion: Mapped[bool]
    tasks: Mapped[list[dict[str, Any]]] = mapped_column(JSONB)  # those that were changed, in order
    created_at: Mapped[datetime] = mapped_column(index=True)


add_search_vector(Task, title="title", text="description")
add_search_vector(Comment, text="message")


class Tag(Base):
    """A label for tasks. Its colour has six hex digits."""

    __tablename__ = "tags"
    __table_args__ = (UniqueConstraint("organization_id", "slug"),)

    organization_id: Mapped[UUID] = mapped_column(
        ForeignKey("organizations.id", ondelete="CASCADE"), index=True
    )
    name: Mapped[str]
    slug: Mapped[str]
    color: Mapped[str] = mapped_column(default="9e9e9e")
    description: Mapped[str | None]
    created_at: Mapped[datetime]
    updated_at: Mapped[datetime]


class TagAssignment(Base):
    """A tag of a task; `position` is the display order."""

    __tablename__ = "tag_assignments"
    __table_args__ = (UniqueConstraint("task_id", "tag_id"),)

    task_id: Mapped[UUID] = mapped_column(ForeignKey("tasks.id", ondelete="CASCADE"), index=True)
    task: Mapped[Task] = relationship(lazy="raise")
    tag_id: Mapped[UUID] = mapped_column(ForeignKey("tags.id", ondelete="CASCADE"), index=True)
    tag: Mapped[Tag] = relationship(lazy="raise")
    position: Mapped[int] = mapped_column(default=0)
    created_at: Mapped[datetime]


class TaskWatcher(Base):
    """A user watches a task."""

    __tablename__ = "task_watchers"
    __table_args__ = (UniqueConstraint("task_id", "user_id"),)

    task_id: Mapped[UUID] = mapped_column(ForeignKey("tasks.id", ondelete="CASCADE"))
    user_id: Mapped[UUID] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), index=True)
    created_at: Mapped[datetime]


class LinkKind(StrEnum):
    """What a link leads to."""

    ISSUE = "issue"
    CHANGE = "change"  # a pull request or merge request
    CHECK = "check"


class TaskLink(Base):
    """A link of a task to something on a code host, with the state that the host has reported.

    `key` identifies what it leads to: the URL, or for checks the repository, branch and name.
    """

    __tablename__ = "task_links"
    __table_args__ = (
        UniqueConstraint("board_id", "key"),
        Index(None, "board_id", "commit"),
        Index(None, "task_id", "updated_at"),
        CheckConstraint("kind in ('issue', 'change', 'check')", name="kind"),
    )

    board_id: Mapped[UUID] = mapped_column(ForeignKey("boards.id", ondelete="CASCADE"))
    task_id: Mapped[UUID] = mapped_column(ForeignKey("tasks.id", ondelete="CASCADE"))
    task: Mapped[Task] = relationship(lazy="raise")
    kind: Mapped[LinkKind]
    key: Mapped[str]
    repository: Mapped[str]  # its name
    reference: Mapped[str]  # such as #12, or the branch of a check
    title: Mapped[str]
    url: Mapped[str]
    state: Mapped[str]
    commit: Mapped[str | None]  # the hash of the last commit of a change
    checks: Mapped[dict[str, str]] = mapped_column(JSONB)  # of that commit: name → state
    checks_state: Mapped[str | None]  # of all these checks
    created_at: Mapped[datetime]
    updated_at: Mapped[datetime]
