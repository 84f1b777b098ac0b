"""Read markers of users."""

from datetime import datetime
from enum import StrEnum
from uuid import UUID

from sqlalchemy import BigInteger, ForeignKey, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from models.base import Base


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
            *("user_id", "board_id", "kind", "task_id"),
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
