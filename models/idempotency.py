"""Answers that were given, kept for whoever asks the same again."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import Index, UniqueConstraint
from sqlalchemy.orm import Mapped

from models.base import Base


class IdempotencyKey(Base):
    """A request that its caller may send again, and the answer that it got.

    It keeps the caller's id without a foreign key: it goes by itself, a day later.
    """

    __tablename__ = "idempotency_keys"
    __table_args__ = (UniqueConstraint("caller_id", "key"), Index(None, "created_at"))

    caller_id: Mapped[UUID]  # of a person or an agent
    key: Mapped[str]
    fingerprint: Mapped[str]  # SHA-256 of what was asked, in hex
    answer: Mapped[str | None]  # sealed; null only while it is being made
    created_at: Mapped[datetime]
