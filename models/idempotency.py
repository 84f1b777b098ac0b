"""Stored responses to requests with an idempotency key."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import Index, UniqueConstraint
from sqlalchemy.orm import Mapped

from models.base import Base
from models.encryption_key import encrypted_column


class IdempotencyKey(Base):
    """A request that its caller may send again, and the response to it.

    The caller's id is no foreign key: the row is deleted after a day anyway.
    """

    __tablename__ = "idempotency_keys"
    __table_args__ = (UniqueConstraint("caller_id", "key"), Index(None, "created_at"))

    caller_id: Mapped[UUID]  # of a user or an agent
    key: Mapped[str]
    fingerprint: Mapped[str]  # SHA-256 of what was asked, in hex
    # Null while in progress.
    encrypted_response: Mapped[str | None] = encrypted_column("idempotency:{caller_id}:{key}")
    created_at: Mapped[datetime]
