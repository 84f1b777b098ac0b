"""Former and present contents of agents' files."""

from datetime import datetime
from enum import StrEnum
from uuid import UUID

from sqlalchemy import CheckConstraint, ForeignKey, Index
from sqlalchemy.orm import Mapped, mapped_column

from models.base import Base


class FileAuthor(StrEnum):
    """Who wrote a version of a file."""

    USER = "user"
    AGENT = "agent"  # a lead, through the API
    SYNC = "sync"  # provisioning, from the templates
    GATEWAY = "gateway"  # found there: the agent, or a person on its machine, has changed it


class AgentFileVersion(Base):
    """A content that a file of an agent has had. Tokens in it are replaced by labels.

    Of AGENTS.md it is the part that Mission Control does not write.
    """

    __tablename__ = "agent_file_versions"
    __table_args__ = (
        Index(None, "agent_id", "name", "created_at"),
        CheckConstraint("author in ('user', 'agent', 'sync', 'gateway')", name="author"),
    )

    agent_id: Mapped[UUID] = mapped_column(ForeignKey("agents.id", ondelete="CASCADE"))
    name: Mapped[str]
    content: Mapped[str]
    digest: Mapped[str]  # SHA-256 of the content, in hex
    author: Mapped[FileAuthor]
    user_id: Mapped[UUID | None] = mapped_column(
        ForeignKey("users.id", ondelete="SET NULL"), index=True
    )
    created_at: Mapped[datetime]
