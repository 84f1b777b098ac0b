"""Gateways: where agents run that are not programs of their own, and how each is reached."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import CheckConstraint, ForeignKey, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from models.base import Base


class Reached(Base):
    """How a gateway is reached. What is sealed in its row, only this installation's key opens."""

    __abstract__ = True

    url: Mapped[str]
    allow_insecure_tls: Mapped[bool] = mapped_column(default=False)
    disable_device_pairing: Mapped[bool] = mapped_column(default=False)
    sealed_token: Mapped[str | None]  # the one that the gateway's owner chose
    sealed_device: Mapped[str]  # the seed of the key by which the gateway knows us
    sealed_device_token: Mapped[str | None]  # the one that the gateway gave to that device


class Gateway(Reached):
    """An OpenClaw gateway.

    `held_by` is the process that keeps a connection to it, until `held_until` at the latest.
    """

    __tablename__ = "gateways"
    __table_args__ = (
        UniqueConstraint("organization_id", "name"),
        CheckConstraint("(held_by is null) = (held_until is null)", name="held"),
    )

    organization_id: Mapped[UUID] = mapped_column(
        ForeignKey("organizations.id", ondelete="CASCADE")
    )
    name: Mapped[str]
    url: Mapped[str] = mapped_column(index=True)
    workspace_root: Mapped[str]
    gateway_version: Mapped[str | None]  # as it told at the last handshake
    checks: Mapped[list[Any] | None]  # the rungs of the ladder, as they stood at `checked_at`
    checked_at: Mapped[datetime | None]
    held_by: Mapped[str | None]
    held_until: Mapped[datetime | None]
    version: Mapped[int] = mapped_column(default=1)
    created_at: Mapped[datetime]
    updated_at: Mapped[datetime]

    @property
    def session_key(self) -> str:
        """The session of the agent that looks after this gateway (contract, agents 14.1)."""
        return f"agent:mc-gateway-{self.id}:main"


class GatewayDeparture(Reached):
    """A gateway that is known here no more, and has agents of ours that are still to be removed.

    It has the id that the gateway had, for which its secrets are sealed.
    """

    __tablename__ = "gateway_departures"

    agent_keys: Mapped[list[Any]]
    attempts: Mapped[int] = mapped_column(default=0)
    next_try_at: Mapped[datetime]
    last_error: Mapped[str | None]
    created_at: Mapped[datetime]
