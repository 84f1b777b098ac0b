"""Souls: ready-made characters for agents, and the directories that contain them."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import ForeignKey, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column, relationship

from models.base import Base, add_search_vector

LIBRARY = "library"  # the address of the directory that is bundled with the product


class SoulDirectory(Base):
    """A source of souls: the bundled library, or a remote directory that is fetched when needed."""

    __tablename__ = "soul_directories"

    address: Mapped[str] = mapped_column(unique=True)
    edition: Mapped[str | None]  # of the library: a hash of its content
    fetched_at: Mapped[datetime | None]  # the last time its listing was fetched
    tried_at: Mapped[datetime | None]  # the last time a process started to fetch it
    failed_at: Mapped[datetime | None]  # the time of the failure; None while it responds


class Soul(Base):
    """A character for an agent, as Markdown."""

    __tablename__ = "souls"
    __table_args__ = (UniqueConstraint("directory_id", "handle", "slug"),)

    directory_id: Mapped[UUID] = mapped_column(
        ForeignKey("soul_directories.id", ondelete="CASCADE")
    )
    directory: Mapped[SoulDirectory] = relationship(lazy="raise")
    handle: Mapped[str]  # the author
    slug: Mapped[str]
    title: Mapped[str]
    description: Mapped[str]
    content: Mapped[str | None]  # None: not fetched yet
    fetched_at: Mapped[datetime | None]


add_search_vector(Soul, title="title", text="content")
