"""Links of tasks to issues, pull requests and checks of code hosts."""

from datetime import datetime
from enum import StrEnum
from uuid import UUID

from sqlalchemy import CheckConstraint, ForeignKey, Index, UniqueConstraint
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column, relationship

from models.base import Base
from models.task import Task


class LinkKind(StrEnum):
    """What a link leads to."""

    ISSUE = "issue"
    CHANGE = "change"  # a pull request or merge request
    CHECK = "check"


class TaskLink(Base):
    """A link of a task to something on a code host, with the state that the host has reported.

    `key` identifies what it leads to: the URL, or for checks the repository, branch and name.
    """

    __tablename__ = "task_links"
    __table_args__ = (
        UniqueConstraint("board_id", "key"),
        Index(None, "board_id", "commit"),
        Index(None, "task_id", "updated_at"),
        CheckConstraint("kind in ('issue', 'change', 'check')", name="kind"),
    )

    board_id: Mapped[UUID] = mapped_column(ForeignKey("boards.id", ondelete="CASCADE"))
    task_id: Mapped[UUID] = mapped_column(ForeignKey("tasks.id", ondelete="CASCADE"))
    task: Mapped[Task] = relationship(lazy="raise")
    kind: Mapped[LinkKind]
    key: Mapped[str]
    repository: Mapped[str]  # its name
    reference: Mapped[str]  # such as #12, or the branch of a check
    title: Mapped[str]
    url: Mapped[str]
    state: Mapped[str]
    commit: Mapped[str | None]  # the hash of the last commit of a change
    checks: Mapped[dict[str, str]] = mapped_column(JSONB)  # of that commit: name → state
    checks_state: Mapped[str | None]  # of all these checks
    created_at: Mapped[datetime]
    updated_at: Mapped[datetime]
