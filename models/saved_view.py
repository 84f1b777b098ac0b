"""Saved views of boards, and the views with which users open boards."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import ForeignKey, Index, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

from models.base import Base


class SavedView(Base):
    """A named query of a board page: filters, sort order and columns."""

    __tablename__ = "saved_views"
    __table_args__ = (
        Index(
            "uq_saved_views_name",
            *("board_id", "user_id", text("lower(name)")),
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
