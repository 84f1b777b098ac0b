"""Onboarding: the conversation that turns a goal into a board with a lead."""

from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, CheckConstraint, ForeignKey, Identity, Index
from sqlalchemy.orm import Mapped, mapped_column, relationship

from models.base import Base
from models.board import Board


class OnboardingStatus(StrEnum):
    """The status of an onboarding conversation."""

    ACTIVE = "active"  # questions and answers
    COMPLETED = "completed"  # the agent has sent a draft
    CONFIRMED = "confirmed"  # a user has confirmed the goal
    CANCELLED = "cancelled"  # ended or restarted by a user


class OnboardingRole(StrEnum):
    """The author of a message: the user, or the agent that asks the questions."""

    USER = "user"
    ASSISTANT = "assistant"


class OnboardingSession(Base):
    """An onboarding conversation of a board. A board has at most one that is open."""

    __tablename__ = "board_onboarding_sessions"
    __table_args__ = (
        Index(
            "uq_board_onboarding_sessions_one_open",
            "board_id",
            unique=True,
            postgresql_where="status in ('active', 'completed')",
        ),
        CheckConstraint(
            "status in ('active', 'completed', 'confirmed', 'cancelled')", name="status"
        ),
    )

    board_id: Mapped[UUID] = mapped_column(ForeignKey("boards.id", ondelete="CASCADE"), index=True)
    board: Mapped[Board] = relationship(lazy="raise")
    session_key: Mapped[str] = mapped_column(default="")  # of the gateway's main agent, or ""
    status: Mapped[OnboardingStatus] = mapped_column(default=OnboardingStatus.ACTIVE)
    draft_goal: Mapped[dict[str, Any] | None]
    created_at: Mapped[datetime]
    updated_at: Mapped[datetime]


class OnboardingMessage(Base):
    """A message of an onboarding conversation. It is never changed."""

    __tablename__ = "board_onboarding_messages"
    __table_args__ = (Index(None, "session_id", "seq"),)

    session_id: Mapped[UUID] = mapped_column(
        ForeignKey("board_onboarding_sessions.id", ondelete="CASCADE")
    )
    session: Mapped[OnboardingSession] = relationship(lazy="raise")
    seq: Mapped[int] = mapped_column(BigInteger, Identity(), unique=True)
    role: Mapped[OnboardingRole]
    content: Mapped[str]
    created_at: Mapped[datetime]
