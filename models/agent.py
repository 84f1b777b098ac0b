"""Agents: programs that work on boards, and the tokens by which they are known."""

from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any
from uuid import UUID

from sqlalchemy import ForeignKey, Index, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column, relationship

from models.base import Base
from models.board import Board
from models.gateway import Gateway


class AgentStatus(StrEnum):
    """Where an agent stands. Heartbeats may report other words, which are kept as they are."""

    PROVISIONING = "provisioning"
    ONLINE = "online"
    OFFLINE = "offline"
    UPDATING = "updating"
    DELETING = "deleting"


class DesiredState(StrEnum):
    """What an agent's gateway is to do with it."""

    RUNNING = "running"
    GONE = "gone"


class Step(StrEnum):
    """What is to be done next for an agent on its gateway, in this order, or to be rid of it."""

    CREATE = "create"
    LISTED = "listed"
    NAME = "name"
    FILES = "files"
    HEARTBEAT = "heartbeat"
    SCRATCH = "scratch"
    WAKE = "wake"
    CHECK_IN = "check_in"
    REMOVE = "remove"


class Agent(Base):
    """A program that works on one board, or, without a board, looks after a gateway.

    The board's lead hands out its tasks. `status` is what was last known; what is true now,
    `status_at` says.

    An agent that lives on a gateway is brought there step by step: `generation` counts what was
    asked for, `observed_generation` is what the gateway has, and `step` is what is to be done
    next, if anything. docs/decisions/provisioning.md says how.
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
        Index(
            "uq_agents_linked_once",
            "gateway_id",
            "openclaw_session_id",
            unique=True,
            postgresql_where="is_linked",
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
    gateway: Mapped[Gateway | None] = relationship(lazy="raise")
    name: Mapped[str] = mapped_column(index=True)
    status: Mapped[str] = mapped_column(default=AgentStatus.PROVISIONING, index=True)
    openclaw_session_id: Mapped[str | None] = mapped_column(index=True)
    agent_token_hash: Mapped[str | None]  # PBKDF2, of an agent that was imported
    heartbeat_config: Mapped[dict[str, Any] | None]
    identity_profile: Mapped[dict[str, Any] | None]
    identity_template: Mapped[str | None]
    soul_template: Mapped[str | None]
    is_board_lead: Mapped[bool] = mapped_column(default=False)
    is_linked: Mapped[bool] = mapped_column(default=False)  # others made it; we write nothing there
    last_seen_at: Mapped[datetime | None]
    listed_at: Mapped[datetime | None]  # when its gateway had it, as far as we have looked
    desired_state: Mapped[DesiredState | None]  # None: on no gateway, or linked
    generation: Mapped[int] = mapped_column(default=0)
    observed_generation: Mapped[int] = mapped_column(default=0)
    step: Mapped[Step | None]
    step_attempts: Mapped[int] = mapped_column(default=0)
    next_step_at: Mapped[datetime | None]
    step_deadline_at: Mapped[datetime | None]
    provision_failure: Mapped[dict[str, Any] | None]  # step, code, reason, command
    wants_wake: Mapped[bool] = mapped_column(default=False)
    woken_at: Mapped[datetime | None]
    wake_attempts: Mapped[int] = mapped_column(default=0)
    checkin_deadline_at: Mapped[datetime | None]
    written: Mapped[dict[str, Any]] = mapped_column(default=dict)  # what its gateway got last
    created_at: Mapped[datetime]
    updated_at: Mapped[datetime]

    @property
    def gateway_key(self) -> str | None:
        """The id of this agent on its gateway: the second part of its session's key."""
        parts = (self.openclaw_session_id or "").split(":")
        return parts[1] or None if len(parts) > 1 else None

    @property
    def session_key(self) -> str | None:
        """The session of this agent on its gateway, if it has one (contract, agents 14.1)."""
        if self.gateway_id is None:
            return None
        if self.board_id is None:
            return f"agent:mc-gateway-{self.gateway_id}:main"
        name = f"lead-{self.board_id}" if self.is_board_lead else f"mc-{self.id}"
        return f"agent:{name}:main"

    @property
    def is_kept(self) -> bool:
        """Whether it counts as a sign of life that its gateway has it.

        It does where an agent calls only when something waits for it. One that was woken in vain
        has shown that it is not there, and one whose heart is to beat calls by itself.
        """
        if self.listed_at is None or self.provision_failure is not None:
            return False
        is_quiet = (self.heartbeat_config or {}).get("quiet") is not False
        was_there = self.last_seen_at is not None and self.observed_generation > 0
        return self.is_linked or (is_quiet and was_there)

    @property
    def known_at(self) -> datetime | None:
        """When there was the last sign of it: a call of its own, or that its gateway has it."""
        signs = [self.last_seen_at, self.listed_at if self.is_kept else None]
        return max((sign for sign in signs if sign is not None), default=None)

    def status_at(self, moment: datetime, *, offline_after: timedelta) -> str:
        """Return what is true of this agent at a moment (contract, agents 2.5)."""
        if self.desired_state is DesiredState.GONE:
            return AgentStatus.DELETING
        if self.status in (AgentStatus.DELETING, AgentStatus.UPDATING):
            return self.status
        known_at = self.known_at
        if known_at is None:
            return AgentStatus.OFFLINE if self.provision_failure else AgentStatus.PROVISIONING
        if moment - known_at > offline_after:
            return AgentStatus.OFFLINE
        if self.is_kept and self.status in (AgentStatus.OFFLINE, AgentStatus.PROVISIONING):
            return AgentStatus.ONLINE
        return self.status


class AgentToken(Base):
    """A token that was given to an agent. The older ones die when a newer one is first used."""

    __tablename__ = "agent_tokens"

    agent_id: Mapped[UUID] = mapped_column(ForeignKey("agents.id", ondelete="CASCADE"), index=True)
    agent: Mapped[Agent] = relationship(lazy="raise")
    prefix: Mapped[str] = mapped_column(index=True)
    secret_hash: Mapped[str]  # SHA-256 of the token, in hex
    sealed: Mapped[str | None]  # the token, where it is written into files on a gateway
    created_at: Mapped[datetime]
    first_used_at: Mapped[datetime | None]


class GatewayLeftover(Base):
    """An agent that is still to be removed from a gateway, while there is no row of it any more."""

    __tablename__ = "gateway_leftovers"
    __table_args__ = (UniqueConstraint("gateway_id", "agent_key"),)

    gateway_id: Mapped[UUID] = mapped_column(ForeignKey("gateways.id", ondelete="CASCADE"))
    agent_key: Mapped[str]
    attempts: Mapped[int] = mapped_column(default=0)
    next_try_at: Mapped[datetime]
    last_error: Mapped[str | None]
    created_at: Mapped[datetime]
