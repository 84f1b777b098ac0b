"""Memory: the notes and the chat of boards and board groups, and questions to people."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import CheckConstraint, ForeignKey, Index, text
from sqlalchemy.orm import Mapped, mapped_column, relationship

from models.base import Base, add_search_vector
from models.board import Board, BoardGroup
from models.task import Task

IS_NOT_BLANK = text(r"content ~ '\S'")


class Note(Base):
    """A note or a chat message of a board."""

    __tablename__ = "board_memory"
    __table_args__ = (
        Index(None, "board_id", "is_chat", "created_at"),
        Index(
            "ix_board_memory_shown",
            "board_id",
            "created_at",
            "id",
            "is_chat",
            postgresql_where=IS_NOT_BLANK,
        ),
    )

    board_id: Mapped[UUID] = mapped_column(ForeignKey("boards.id", ondelete="CASCADE"), index=True)
    board: Mapped[Board] = relationship(lazy="raise")
    content: Mapped[str]
    tags: Mapped[list[Any] | None]
    is_chat: Mapped[bool] = mapped_column(default=False)
    source: Mapped[str | None]
    agent_id: Mapped[UUID | None]  # the author; no foreign key, so it remains after a deletion
    user_id: Mapped[UUID | None]
    version: Mapped[int] = mapped_column(default=1)
    created_at: Mapped[datetime]
    updated_at: Mapped[datetime]


class GroupNote(Base):
    """A note or a chat message of a board group."""

    __tablename__ = "board_group_memory"
    __table_args__ = (
        Index(None, "board_group_id", "is_chat", "created_at"),
        Index(
            "ix_board_group_memory_shown",
            "board_group_id",
            "created_at",
            "id",
            "is_chat",
            postgresql_where=IS_NOT_BLANK,
        ),
    )

    board_group_id: Mapped[UUID] = mapped_column(
        ForeignKey("board_groups.id", ondelete="CASCADE"), index=True
    )
    group: Mapped[BoardGroup] = relationship(lazy="raise")
    content: Mapped[str]
    tags: Mapped[list[Any] | None]
    is_chat: Mapped[bool] = mapped_column(default=False)
    source: Mapped[str | None]
    agent_id: Mapped[UUID | None]
    user_id: Mapped[UUID | None]
    version: Mapped[int] = mapped_column(default=1)
    created_at: Mapped[datetime]
    updated_at: Mapped[datetime]


class UserQuestionRecord(Base):
    """A question of a lead that the agent of a gateway asks a user; one note answers it."""

    __tablename__ = "user_questions"
    __table_args__ = (Index(None, "board_id", "correlation_id"),)

    board_id: Mapped[UUID] = mapped_column(ForeignKey("boards.id", ondelete="CASCADE"))
    main_agent_id: Mapped[UUID] = mapped_column(
        ForeignKey("agents.id", ondelete="CASCADE"), index=True
    )
    correlation_id: Mapped[str]
    created_at: Mapped[datetime]
    answered_at: Mapped[datetime | None]


add_search_vector(Note, text="content")
add_search_vector(GroupNote, text="content")


class AgentQuestion(Base):
    """A question of a worker, and the answer of a user."""

    __tablename__ = "agent_questions"
    __table_args__ = (
        Index(None, "board_id", "created_at"),
        Index("ix_agent_questions_open", "board_id", postgresql_where=text("answered_at is null")),
        CheckConstraint("(answer is null) = (answered_at is null)", name="answer"),
    )

    board_id: Mapped[UUID] = mapped_column(ForeignKey("boards.id", ondelete="CASCADE"))
    task_id: Mapped[UUID | None] = mapped_column(
        ForeignKey("tasks.id", ondelete="SET NULL"), index=True
    )
    task: Mapped[Task | None] = relationship(lazy="raise")
    agent_id: Mapped[UUID] = mapped_column(ForeignKey("agents.id", ondelete="CASCADE"), index=True)
    content: Mapped[str]
    correlation_id: Mapped[str | None]  # of the agent
    answer: Mapped[str | None]
    answered_by_user_id: Mapped[UUID | None] = mapped_column(
        ForeignKey("users.id", ondelete="SET NULL"), index=True
    )
    created_at: Mapped[datetime]
    answered_at: Mapped[datetime | None]
