"""Counters and hourly roll-ups, which triggers of the database maintain (migration 0032).

They are changed in the transaction of what they count, and only read by services. Rows about
events have no foreign key to boards, because events are kept when their board is deleted.
"""

from datetime import datetime
from decimal import Decimal
from uuid import UUID

from sqlalchemy import BigInteger, ForeignKey, Index, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

from models.base import Base, new_id
from models.event import EventType
from models.notification import NotificationKind
from models.task import Status


def _unique(table: str, *columns: str) -> UniqueConstraint:
    return UniqueConstraint(*columns, name=f"uq_{table}_key", postgresql_nulls_not_distinct=True)


class CounterMixin:
    """A row of counters. The database inserts it, so it also creates the id."""

    id: Mapped[UUID] = mapped_column(
        primary_key=True,
        default=new_id,
        server_default=text("gen_random_uuid()"),
        sort_order=-1,
    )


class EventCounterMixin(CounterMixin):
    """A number of events of an organization."""

    organization_id: Mapped[UUID] = mapped_column(
        ForeignKey("organizations.id", ondelete="CASCADE"), index=True
    )
    count: Mapped[int] = mapped_column(BigInteger)


class BoardCounts(CounterMixin, Base):
    """The numbers of a board's tasks by status, of its approvals, and of the comments on its tasks.

    And those of its notes and chat messages that are not blank. A board without a row has none of
    all this. `undecided` and `decided` count a decision that can still be undone as decided;
    `pending` counts it as pending, as agents see it.
    """

    __tablename__ = "board_counts"
    __table_args__ = (
        Index(
            "ix_board_counts_undecided",
            "board_id",
            postgresql_where=text("undecided_approvals > 0"),
        ),
    )

    board_id: Mapped[UUID] = mapped_column(ForeignKey("boards.id", ondelete="CASCADE"), unique=True)
    inbox_tasks: Mapped[int] = mapped_column(server_default="0")
    in_progress_tasks: Mapped[int] = mapped_column(server_default="0")
    review_tasks: Mapped[int] = mapped_column(server_default="0")
    done_tasks: Mapped[int] = mapped_column(server_default="0")
    pending_approvals: Mapped[int] = mapped_column(server_default="0")
    approved_approvals: Mapped[int] = mapped_column(server_default="0")
    rejected_approvals: Mapped[int] = mapped_column(server_default="0")
    undecided_approvals: Mapped[int] = mapped_column(server_default="0")
    decided_approvals: Mapped[int] = mapped_column(server_default="0")
    comments: Mapped[int] = mapped_column(server_default="0")
    notes: Mapped[int] = mapped_column(server_default="0")
    chat_messages: Mapped[int] = mapped_column(server_default="0")


class OrganizationCounts(CounterMixin, Base):
    """The number of comments, messages and chat of an organization: its events with an origin."""

    __tablename__ = "organization_counts"

    organization_id: Mapped[UUID] = mapped_column(
        ForeignKey("organizations.id", ondelete="CASCADE"), unique=True
    )
    communication: Mapped[int] = mapped_column(BigInteger, server_default="0")


class BoardGroupCounts(CounterMixin, Base):
    """The numbers of a group's notes and chat messages that are not blank.

    A group without a row has none.
    """

    __tablename__ = "board_group_counts"

    board_group_id: Mapped[UUID] = mapped_column(
        ForeignKey("board_groups.id", ondelete="CASCADE"), unique=True
    )
    notes: Mapped[int] = mapped_column(server_default="0")
    chat_messages: Mapped[int] = mapped_column(server_default="0")


class TagCount(CounterMixin, Base):
    """The number of tasks of a board that have a tag. Without a row there are none."""

    __tablename__ = "tag_counts"
    __table_args__ = (UniqueConstraint("tag_id", "board_id"),)

    tag_id: Mapped[UUID] = mapped_column(ForeignKey("tags.id", ondelete="CASCADE"))
    board_id: Mapped[UUID] = mapped_column(ForeignKey("boards.id", ondelete="CASCADE"), index=True)
    tasks: Mapped[int]


class EventCount(EventCounterMixin, Base):
    """The number of events of a type on a board, or without a board in the organization."""

    __tablename__ = "event_counts"
    __table_args__ = (_unique("event_counts", "organization_id", "board_id", "type"),)

    board_id: Mapped[UUID | None]
    type: Mapped[EventType]


class AgentEventCount(EventCounterMixin, Base):
    """The same for the events of one agent."""

    __tablename__ = "agent_event_counts"
    __table_args__ = (
        _unique("agent_event_counts", "agent_id", "organization_id", "board_id", "type"),
    )

    agent_id: Mapped[UUID]
    board_id: Mapped[UUID | None]
    type: Mapped[EventType]


class NotificationCount(CounterMixin, Base):
    """The number of notifications of a user of a kind in an organization, by board and group."""

    __tablename__ = "notification_counts"
    __table_args__ = (
        _unique(
            "notification_counts",
            "user_id",
            "organization_id",
            "kind",
            "board_id",
            "board_group_id",
        ),
    )

    user_id: Mapped[UUID] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"))
    organization_id: Mapped[UUID] = mapped_column(
        ForeignKey("organizations.id", ondelete="CASCADE"), index=True
    )
    kind: Mapped[NotificationKind]
    board_id: Mapped[UUID | None] = mapped_column(
        ForeignKey("boards.id", ondelete="CASCADE"), index=True
    )
    board_group_id: Mapped[UUID | None] = mapped_column(
        ForeignKey("board_groups.id", ondelete="CASCADE"), index=True
    )
    count: Mapped[int] = mapped_column(BigInteger)


class TaskMoveHour(EventCounterMixin, Base):
    """The number of tasks of a board that changed from one status to another in an hour.

    A created or restored task has left no status, and a deleted one has entered none.
    """

    __tablename__ = "task_move_hours"
    __table_args__ = (
        _unique("task_move_hours", "board_id", "hour", "left_status", "entered_status"),
    )

    board_id: Mapped[UUID]
    hour: Mapped[datetime]  # its start
    left_status: Mapped[Status | None]
    entered_status: Mapped[Status | None]


class MessageHour(EventCounterMixin, Base):
    """The number of events with which messages of a board were completed in an hour.

    Rows with `only_failed` count failures alone. `previous_hour` is the hour of the event before,
    of the same message and of the same kind of row. With it a message can be counted once in any
    period: by the first of its events in the period, which is the one whose `previous_hour` is
    earlier.
    """

    __tablename__ = "message_hours"
    __table_args__ = (_unique("message_hours", "board_id", "only_failed", "hour", "previous_hour"),)

    board_id: Mapped[UUID]
    only_failed: Mapped[bool]
    hour: Mapped[datetime]  # its start
    previous_hour: Mapped[datetime | None]  # None: it is the first event


class DoneTaskHour(CounterMixin, Base):
    """The number of a board's done tasks by the hour in which they were done.

    `cycle_hours` is the sum of their hours from start to end, of the `tasks` whose hours have
    `scale` decimal places, so that a mean is rounded exactly as the mean of the tasks themselves.
    Tasks that were never started have no scale.
    """

    __tablename__ = "done_task_hours"
    __table_args__ = (_unique("done_task_hours", "board_id", "hour", "scale"),)

    board_id: Mapped[UUID] = mapped_column(ForeignKey("boards.id", ondelete="CASCADE"))
    hour: Mapped[datetime]  # its start
    scale: Mapped[int | None]
    tasks: Mapped[int]
    cycle_hours: Mapped[Decimal | None]
