"""Souls: ready-made characters for agents, and the directories that they come from."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import ForeignKey, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column, relationship

from models.base import Base, searched

LIBRARY = "library"  # the address of the directory that ships with the product


class SoulDirectory(Base):
    """Where souls come from: the library, or a directory elsewhere that is asked now and then."""

    __tablename__ = "soul_directories"

    address: Mapped[str] = mapped_column(unique=True)
    edition: Mapped[str | None]  # of the library: a fingerprint of all that is in it
    fetched_at: Mapped[datetime | None]  # when it last told what it has
    tried_at: Mapped[datetime | None]  # when somebody last set out to ask it
    failed_at: Mapped[datetime | None]  # since when it does not answer; None while it does


class Soul(Base):
    """A character that an agent can take on, as Markdown."""

    __tablename__ = "souls"
    __table_args__ = (UniqueConstraint("directory_id", "handle", "slug"),)

    directory_id: Mapped[UUID] = mapped_column(
        ForeignKey("soul_directories.id", ondelete="CASCADE")
    )
    directory: Mapped[SoulDirectory] = relationship(lazy="raise")
    handle: Mapped[str]  # who wrote it
    slug: Mapped[str]
    title: Mapped[str]
    description: Mapped[str]
    content: Mapped[str | None]  # None until somebody asks for it
    fetched_at: Mapped[datetime | None]


searched(Soul, title="title", text="content")
