"""Failed attempts to authenticate, counted for all processes."""

from datetime import datetime

from sqlalchemy.orm import Mapped, mapped_column

from models.base import Base


class FailedAttempts(Base):
    """The failed attempts of one account, credential, device or network.

    The table is not logged: after a crash of the database the counts are empty, which does no harm.
    """

    __tablename__ = "failed_attempts"
    __table_args__ = ({"prefixes": ["UNLOGGED"]},)

    key_hash: Mapped[str] = mapped_column(unique=True)  # SHA-256 of what is counted, in hex
    level: Mapped[float]  # failures; it decreases over time
    updated_at: Mapped[datetime] = mapped_column(index=True)
    next_at: Mapped[datetime]  # when the next attempt above the limit may be verified
