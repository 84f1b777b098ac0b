"""Tags: an organization's labels for tasks."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import ForeignKey, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column, relationship

from models.base import Base
from models.task import Task


class Tag(Base):
    """A label for tasks. Its colour has six hex digits."""

    __tablename__ = "tags"
    __table_args__ = (UniqueConstraint("organization_id", "slug"),)

    organization_id: Mapped[UUID] = mapped_column(
        ForeignKey("organizations.id", ondelete="CASCADE"), index=True
    )
    name: Mapped[str]
    slug: Mapped[str]
    color: Mapped[str] = mapped_column(default="9e9e9e")
    description: Mapped[str | None]
    created_at: Mapped[datetime]
    updated_at: Mapped[datetime]


class TagAssignment(Base):
    """A tag of a task; `position` is the display order."""

    __tablename__ = "tag_assignments"
    __table_args__ = (UniqueConstraint("task_id", "tag_id"),)

    task_id: Mapped[UUID] = mapped_column(ForeignKey("tasks.id", ondelete="CASCADE"), index=True)
    task: Mapped[Task] = relationship(lazy="raise")
    tag_id: Mapped[UUID] = mapped_column(ForeignKey("tags.id", ondelete="CASCADE"), index=True)
    tag: Mapped[Tag] = relationship(lazy="raise")
    position: Mapped[int] = mapped_column(default=0)
    created_at: Mapped[datetime]
