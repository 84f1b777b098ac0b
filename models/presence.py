"""Presence of users on boards."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import ForeignKey, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from models.base import Base


class Presence(Base):
    """A user who has, or had, a page of a board open: since when, and when it was last recorded."""

    __tablename__ = "presences"
    __table_args__ = (UniqueConstraint("board_id", "user_id"),)

    board_id: Mapped[UUID] = mapped_column(ForeignKey("boards.id", ondelete="CASCADE"))
    user_id: Mapped[UUID] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), index=True)
    since: Mapped[datetime]
    seen_at: Mapped[datetime]
