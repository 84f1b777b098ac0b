"""Agents: programs that work on boards, and the tokens by which they are known."""

from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any
from uuid import UUID

from sqlalchemy import ForeignKey, Index
from sqlalchemy.orm import Mapped, mapped_column, relationship

from models.base import Base
from models.board import Board


class AgentStatus(StrEnum):
    """Where an agent stands. Heartbeats may report other words, which are kept as they are."""

    PROVISIONING = "provisioning"
    ONLINE = "online"
    OFFLINE = "offline"
    UPDATING = "updating"
    DELETING = "deleting"


class Agent(Base):
    """A program that works on one board, or, without a board, looks after a gateway.

    The board's lead hands out its tasks. `status` is what was last known; what is true now,
    `status_at` says.
    """

    __tablename__ = "agents"
    __table_args__ = (
        Index(
            "uq_agents_one_lead_per_board",
            "board_id",
            unique=True,
            postgresql_where="is_board_lead",
        ),
        Index(
            "uq_agents_one_main_per_gateway",
            "gateway_id",
            unique=True,
            postgresql_where="board_id is null",
        ),
    )

    organization_id: Mapped[UUID] = mapped_column(
        ForeignKey("organizations.id", ondelete="CASCADE"), index=True
    )
    board_id: Mapped[UUID | None] = mapped_column(
        ForeignKey("boards.id", ondelete="CASCADE"), index=True
    )
    board: Mapped[Board | None] = relationship(lazy="raise")
    gateway_id: Mapped[UUID | None] = mapped_column(ForeignKey("gateways.id"), index=True)
    name: Mapped[str] = mapped_column(index=True)
    status: Mapped[str] = mapped_column(default=AgentStatus.PROVISIONING, index=True)
    openclaw_session_id: Mapped[str | None] = mapped_column(index=True)
    agent_token_hash: Mapped[str | None]  # PBKDF2, of an agent that was imported
    heartbeat_config: Mapped[dict[str, Any] | None]
    identity_profile: Mapped[dict[str, Any] | None]
    identity_template: Mapped[str | None]
    soul_template: Mapped[str | None]
    is_board_lead: Mapped[bool] = mapped_column(default=False)
    last_seen_at: Mapped[datetime | None]
    created_at: Mapped[datetime]
    updated_at: Mapped[datetime]

    def status_at(self, moment: datetime, *, offline_after: timedelta) -> str:
        """Return what is true of this agent at a moment (contract, agents 2.5)."""
        if self.status in (AgentStatus.DELETING, AgentStatus.UPDATING):
            return self.status
        if self.last_seen_at is None:
            return AgentStatus.PROVISIONING
        if moment - self.last_seen_at > offline_after:
            return AgentStatus.OFFLINE
        return self.status


class AgentToken(Base):
    """A token that was given to an agent. The older ones die when a newer one is first used."""

    __tablename__ = "agent_tokens"

    agent_id: Mapped[UUID] = mapped_column(ForeignKey("agents.id", ondelete="CASCADE"), index=True)
    agent: Mapped[Agent] = relationship(lazy="raise")
    prefix: Mapped[str] = mapped_column(index=True)
    secret_hash: Mapped[str]  # SHA-256 of the token, in hex
    created_at: Mapped[datetime]
    first_used_at: Mapped[datetime | None]
