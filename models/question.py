"""Questions that workers ask people."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import CheckConstraint, ForeignKey, Index, text
from sqlalchemy.orm import Mapped, mapped_column, relationship

from models.base import Base
from models.task import Task


class AgentQuestion(Base):
    """A question of a worker, and the answer of a user."""

    __tablename__ = "agent_questions"
    __table_args__ = (
        Index("ix_agent_questions_open", "board_id", postgresql_where=text("answered_at is null")),
        CheckConstraint("(answer is null) = (answered_at is null)", name="answer"),
    )

    board_id: Mapped[UUID] = mapped_column(ForeignKey("boards.id", ondelete="CASCADE"), index=True)
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
