"""Gateways: external programs that run agents, and the connection to each."""

from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from sqlalchemy import CheckConstraint, ForeignKey, Index, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from models.base import Base
from models.installation import encrypted_column


class GatewayConnectionMixin(Base):
    """How to connect to a gateway. Only the key of this installation decrypts the secrets."""

    __abstract__ = True

    url: Mapped[str]
    allow_insecure_tls: Mapped[bool] = mapped_column(default=False)
    ca_certificates: Mapped[str | None]  # PEM; only what they have signed is trusted
    disable_device_pairing: Mapped[bool] = mapped_column(default=False)
    allows_private: Mapped[bool] = mapped_column(default=True)  # may have a private address
    # Set by an admin.
    encrypted_token: Mapped[str | None] = encrypted_column("gateways.token:{id}")
    # The seed of our device's key.
    encrypted_device: Mapped[str] = encrypted_column("gateways.device:{id}")
    # Issued by the gateway to our device.
    encrypted_device_token: Mapped[str | None] = encrypted_column("gateways.device_token:{id}")


class Gateway(GatewayConnectionMixin):
    """An OpenClaw gateway.

    `lease_holder` is the process that keeps a connection to it, at most until `lease_expires_at`.
    """

    __tablename__ = "gateways"
    __table_args__ = (
        UniqueConstraint("organization_id", "name"),
        CheckConstraint("(lease_holder is null) = (lease_expires_at is null)", name="lease"),
    )

    organization_id: Mapped[UUID] = mapped_column(
        ForeignKey("organizations.id", ondelete="CASCADE")
    )
    name: Mapped[str]
    url: Mapped[str] = mapped_column(index=True)
    workspace_root: Mapped[str]
    gateway_version: Mapped[str | None]  # from the last handshake
    checks: Mapped[list[Any] | None]  # the results of the connection checks at `checked_at`
    checked_at: Mapped[datetime | None]
    # What this version of the gateway does not support; see openclaw/capabilities.py.
    capabilities: Mapped[dict[str, Any] | None]
    lease_holder: Mapped[str | None]
    lease_expires_at: Mapped[datetime | None]
    version: Mapped[int] = mapped_column(default=1)
    created_at: Mapped[datetime]
    updated_at: Mapped[datetime]

    @property
    def session_key(self) -> str:
        """The session of the agent that manages this gateway."""
        return f"agent:mc-gateway-{self.id}:main"


class GatewayCleanup(GatewayConnectionMixin):
    """A deleted gateway from which agents of ours are yet to be removed.

    It has the id of the deleted gateway, because its secrets are encrypted for that id.
    """

    __tablename__ = "gateway_departures"

    agent_keys: Mapped[list[Any]]
    attempts: Mapped[int] = mapped_column(default=0)
    next_try_at: Mapped[datetime]
    last_error: Mapped[str | None]
    created_at: Mapped[datetime]


class ConfigChangeKind(StrEnum):
    """What happened to the entry of an agent in the configuration of its gateway."""

    ADDED = "added"
    CHANGED = "changed"
    REMOVED = "removed"


class GatewayConfigChange(Base):
    """What provisioning has written to the configuration of a gateway, as a unified diff.

    It is recorded before the gateway is called. Without `confirmed_at` the gateway has not
    confirmed it: the call is running, its answer was lost, or it was refused. Several writes of one
    kind to the entry of an agent that have the same cause are one row: the last one, with their
    number. Board, agent, cause and its actor are kept as ids when they are deleted.
    """

    __tablename__ = "gateway_config_changes"
    __table_args__ = (
        Index(None, "gateway_id", "id"),
        Index(None, "gateway_id", "agent_key"),
        Index(None, "gateway_id", "actor_id", "id"),
        CheckConstraint("kind in ('added', 'changed', 'removed')", name="kind"),
    )

    gateway_id: Mapped[UUID] = mapped_column(ForeignKey("gateways.id", ondelete="CASCADE"))
    agent_key: Mapped[str]  # the id of the agent on the gateway
    agent_id: Mapped[UUID | None]
    agent_name: Mapped[str | None]
    board_id: Mapped[UUID | None]
    kind: Mapped[ConfigChangeKind]
    diff: Mapped[str]
    cause_id: Mapped[UUID | None]  # an audit record; see config_change_causes
    actor_id: Mapped[UUID | None]  # the user or agent who acted in the cause
    writes: Mapped[int] = mapped_column(default=1, server_default="1")
    created_at: Mapped[datetime]
    confirmed_at: Mapped[datetime | None]
