"""Requests that are kept, and how many of a caller a process may accept."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import ForeignKey, Index, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from models.base import Base
from models.installation import encrypted_column


class IdempotencyKey(Base):
    """A request that its caller may send again, and the response to it.

    The caller's id is not a foreign key: the row is deleted after a day anyway.
    """

    __tablename__ = "idempotency_keys"
    __table_args__ = (UniqueConstraint("caller_id", "key"), Index(None, "created_at"))

    caller_id: Mapped[UUID]  # of a user or an agent
    key: Mapped[str]
    fingerprint: Mapped[str]  # SHA-256 of what was asked, in hex
    # Null while in progress.
    encrypted_response: Mapped[str | None] = encrypted_column("idempotency:{caller_id}:{key}")
    created_at: Mapped[datetime]


class KeptForm(Base):
    """The fields of a form that was not processed, until its user has signed in."""

    __tablename__ = "kept_forms"

    user_id: Mapped[UUID] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), index=True)
    # Path and fields.
    encrypted_content: Mapped[str] = encrypted_column("kept_forms.content:{id}")
    created_at: Mapped[datetime] = mapped_column(index=True)


class LimitShare(Base):
    """What a process has claimed of the limit of a caller, for some seconds or minutes.

    The table is not logged: after a crash of the database every process claims again.
    """

    __tablename__ = "limit_shares"
    __table_args__ = (UniqueConstraint("key_hash", "process_id"), {"prefixes": ["UNLOGGED"]})

    key_hash: Mapped[str]  # SHA-256 of the limit and the caller, in hex
    process_id: Mapped[UUID]  # chosen by the process when it starts
    taken: Mapped[int]
    expires_at: Mapped[datetime] = mapped_column(index=True)
