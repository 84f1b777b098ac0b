"""Forms that were submitted without a valid session."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import ForeignKey
from sqlalchemy.orm import Mapped, mapped_column

from models.base import Base
from models.encryption_key import encrypted_column


class KeptForm(Base):
    """The fields of a form that was not processed, until its user has signed in."""

    __tablename__ = "kept_forms"

    user_id: Mapped[UUID] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), index=True)
    # Path and fields.
    encrypted_content: Mapped[str] = encrypted_column("kept_forms.content:{id}")
    created_at: Mapped[datetime] = mapped_column(index=True)
