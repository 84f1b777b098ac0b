"""Stored responses to requests with an idempotency key."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import Index, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from models.base import Base


class IdempotencyKey(Base):
    """A request that its caller may send again, and the response to it.

    The caller's id is no foreign key: the row is deleted after a day anyway.
    """

    __tablename__ = "idempotency_keys"
    __table_args__ = (UniqueConstraint("caller_id", "key"), Index(None, "created_at"))

    caller_id: Mapped[UUID]  # of a user or an agent
    key: Mapped[str]
    fingerprint: Mapped[str]  # SHA-256 of what was asked, in hex
    response: Mapped[str | None] = mapped_column("answer")  # encrypted; null while in progress
    created_at: Mapped[datetime]
