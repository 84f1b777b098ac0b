"""How far people have read."""

from datetime import datetime
from enum import StrEnum
from uuid import UUID

from sqlalchemy import BigInteger, ForeignKey, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from models.base import Base


class ReadKind(StrEnum):
    """What is read on a board."""

    COMMENTS = "comments"  # of one task
    CHAT = "chat"
    APPROVALS = "approvals"


class ReadMarker(Base):
    """How far one person has read what is said about a task, in a board's chat, or is asked."""

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
    )  # of comments only; of those None is how far the board as a whole was looked at
    seen_seq: Mapped[int] = mapped_column(BigInteger)  # the number of the last event that was seen
    seen_at: Mapped[datetime]
