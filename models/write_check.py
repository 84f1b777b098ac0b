"""The table in which servers check that the database accepts writes."""

from datetime import datetime

from sqlalchemy.orm import Mapped, mapped_column

from models.base import Base


class WriteCheck(Base):
    """The last check. Rows with a long content are never committed: see services/readiness.py."""

    __tablename__ = "write_checks"

    content: Mapped[str] = mapped_column(default="")
    checked_at: Mapped[datetime]
