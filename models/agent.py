"""Agents: programs that work on boards, their provisioning, tokens and files."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any
from uuid import UUID

from sqlalchemy import (
    CheckConstraint,
    ForeignKey,
    Index,
    SQLColumnExpression,
    TypeDecorator,
    UniqueConstraint,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.ext.hybrid import hybrid_property
from sqlalchemy.orm import Mapped, mapped_column, relationship

from models.base import Base
from models.board import Board
from models.gateway import Gateway
from models.installation import encrypted_column
from models.organization import Organization

WITHOUT_HEARTBEAT_KEY = "no_heartbeat"  # of the stored JSON, for queries


@dataclass(frozen=True, kw_only=True)
class ProvisioningState:
    """What provisioning has done for an agent on its gateway. The default is: nothing.

    A file has several digests while it is written: after an interruption either content may be
    there. `step_times` says when each step of the latest pass was completed, by its name.
    """

    is_created_by_us: bool = False  # otherwise the gateway had the agent before
    file_digests: Mapping[str, Sequence[str]] = field(default_factory=dict)  # by file name
    kept_files: Sequence[str] = ()  # the agent changed them, so they are not written
    token_id: str | None = None  # of the AgentToken that belongs into AGENTS.md
    step_times: Mapping[str, datetime] = field(default_factory=dict)
    is_without_heartbeat: bool = False  # its entry on the gateway has no heartbeat of ours
    lost_at: datetime | None = None  # when the gateway lost the agent, and it was created again
    is_imported: bool = False  # its workspace has files that another product has written

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> "ProvisioningState":
        """Read the stored JSON; missing and malformed parts have their defaults."""
        if not stored or not isinstance(stored, Mapping):
            return cls()
        times = {step: _parse_time(at) for step, at in _mapping(stored.get("done_at")).items()}
        return cls(
            is_created_by_us=bool(stored.get("made")),
            file_digests=_mapping(stored.get("files")),
            kept_files=tuple(kept) if isinstance(kept := stored.get("kept"), list) else (),
            token_id=stored.get("token"),
            step_times={step: at for step, at in times.items() if at is not None},
            is_without_heartbeat=bool(stored.get(WITHOUT_HEARTBEAT_KEY)),
            lost_at=_parse_time(stored.get("lost_at")),
            is_imported=bool(stored.get("imported")),
        )

    def to_json(self) -> dict[str, Any]:
        """Return the stored JSON. Default values have no key."""
        stored = {
            "made": self.is_created_by_us,
            "files": {name: list(digests) for name, digests in self.file_digests.items()},
            "kept": list(self.kept_files),
            "token": self.token_id,
            "done_at": {str(step): at.isoformat() for step, at in self.step_times.items()},
            WITHOUT_HEARTBEAT_KEY: self.is_without_heartbeat,
            "lost_at": self.lost_at and self.lost_at.isoformat(),
            "imported": self.is_imported,
        }
        return {key: value for key, value in stored.items() if value}


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _parse_time(value: object) -> datetime | None:
    try:
        return datetime.fromisoformat(value) if isinstance(value, str) else None
    except ValueError:
        return None


class ProvisioningStateType(TypeDecorator[ProvisioningState]):
    """A column of JSON that is read and written as a ProvisioningState."""

    impl = JSONB(none_as_null=True)
    cache_ok = True

    def process_bind_param(self, value: ProvisioningState | None, dialect: Any) -> Any:
        """Convert to JSON."""
        return None if value is None else value.to_json()

    def process_result_value(self, value: Any, dialect: Any) -> ProvisioningState | None:
        """Convert from JSON."""
        return None if value is None else ProvisioningState.from_json(value)


NEVER_CALLED = "never_called"  # in events: the status changes because the first call is missing
CLIENT_CLOSED = "client_closed"  # in events: a coding agent is silent, which is normal


class AgentStatus(StrEnum):
    """The stored status of an agent. Heartbeats may report other values, which are kept."""

    PROVISIONING = "provisioning"
    ONLINE = "online"
    OFFLINE = "offline"
    UPDATING = "updating"
    DELETING = "deleting"


class DesiredState(StrEnum):
    """Whether an agent should exist on its gateway."""

    RUNNING = "running"
    GONE = "gone"


class ProvisioningStep(StrEnum):
    """The steps of provisioning, in their order; REMOVE is the only step of a removal.

    HEARTBEAT completes the entry in the configuration, which has no heartbeat of ours; SCRATCH sets
    the text of the heartbeats that the gateway may give the agent. The values are part of the API.
    """

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
    """A program that works on one board, or, without a board, manages a gateway.

    The board's lead assigns its tasks. `status` is the last stored status;
    `services.agents.compute_status` returns the current one.

    An agent on a gateway is provisioned step by step: `generation` counts the requested changes,
    `observed_generation` is what the gateway has, and `step` is the next step, if there is one.
    docs/decisions/provisioning.md gives the details.
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
            "ix_agents_words",
            text("words_of_agent(name, identity_profile)"),
            postgresql_using="gin",
        ),
        Index("ix_agents_newest", "organization_id", "created_at", "id"),
        Index("ix_agents_names", "organization_id", text("lower(name)"), "id"),
        Index("ix_agents_names_on_board", "board_id", text("lower(name)"), "id"),
        Index(
            "uq_agents_linked_once",
            "gateway_id",
            "openclaw_session_id",
            unique=True,
            postgresql_where="is_linked",
        ),
        CheckConstraint("(held_at is null) = (hold is null)", name="hold"),
    )

    organization_id: Mapped[UUID] = mapped_column(
        ForeignKey("organizations.id", ondelete="CASCADE"), index=True
    )
    organization: Mapped[Organization] = relationship(lazy="raise")
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
    token_days: Mapped[int | None]  # the lifetime of a new token; None: without an end
    token_expires_at: Mapped[datetime | None]  # of its newest token
    heartbeat_config: Mapped[dict[str, Any] | None]
    identity_profile: Mapped[dict[str, Any] | None]
    identity_template: Mapped[str | None]
    soul_template: Mapped[str | None]
    is_board_lead: Mapped[bool] = mapped_column(default=False)
    is_linked: Mapped[bool] = mapped_column(default=False)  # created by others; not provisioned
    last_seen_at: Mapped[datetime | None]
    listed_at: Mapped[datetime | None]  # when its gateway last listed it
    desired_state: Mapped[DesiredState | None]  # None: without a gateway, or linked
    generation: Mapped[int] = mapped_column(default=0)
    observed_generation: Mapped[int] = mapped_column(default=0)
    step: Mapped[ProvisioningStep | None]
    step_attempts: Mapped[int] = mapped_column(default=0)
    next_step_at: Mapped[datetime | None]
    step_deadline_at: Mapped[datetime | None]
    step_error: Mapped[dict[str, Any] | None]  # of the last attempt, while the step is retried
    next_heartbeat_at: Mapped[datetime | None]  # when its next heartbeat message is due
    provision_failure: Mapped[dict[str, Any] | None]  # step, code, reason, command
    held_at: Mapped[datetime | None]  # its messages wait while this is set
    hold: Mapped[dict[str, Any] | None]  # why: a circuit breaker or a person, with values
    released_at: Mapped[datetime | None]  # circuit breakers count what was later than this
    wants_wake: Mapped[bool] = mapped_column(default=False)
    woken_at: Mapped[datetime | None]
    wake_attempts: Mapped[int] = mapped_column(default=0)
    checkin_deadline_at: Mapped[datetime | None]
    provisioning_state: Mapped[ProvisioningState] = mapped_column(
        ProvisioningStateType, default=ProvisioningState
    )
    created_at: Mapped[datetime]
    updated_at: Mapped[datetime]

    @hybrid_property
    def gateway_key(self) -> str | None:
        """Return the id of this agent on its gateway: the second part of its session key."""
        parts = (self.openclaw_session_id or "").split(":")
        return parts[1] or None if len(parts) > 1 else None

    @gateway_key.inplace.expression
    @classmethod
    def _gateway_key_expression(cls) -> SQLColumnExpression[str]:
        return func.split_part(cls.openclaw_session_id, ":", 2)

    @property
    def display_name(self) -> str:
        """The name that users see, as for an actor that is a user."""
        return self.name

    @property
    def role(self) -> str | None:
        """The role in its profile, if any."""
        role = (self.identity_profile or {}).get("role")
        return role.strip() or None if isinstance(role, str) else None

    @property
    def session_key(self) -> str | None:
        """The session key of this agent on its gateway, or None."""
        if self.gateway_id is None:
            return None
        if self.board_id is None:
            return f"agent:mc-gateway-{self.gateway_id}:main"
        name = f"lead-{self.board_id}" if self.is_board_lead else f"mc-{self.id}"
        return f"agent:{name}:main"

    def compute_token_end(self, issued_at: datetime) -> datetime | None:
        """Return when a token ends that is issued at this time, or None."""
        return issued_at + timedelta(days=self.token_days) if self.token_days else None

    @property
    def calls_only_for_messages(self) -> bool:
        """Whether it calls only when something waits for it: unless it is configured otherwise."""
        return (self.heartbeat_config or {}).get("quiet") is not False

    @property
    def is_confirmed_by_gateway(self) -> bool:
        """Whether the listing by its gateway counts as a sign of life.

        It does for agents that call only when something waits for them. It does not after a wake-up
        without a response, nor for agents that send heartbeats by themselves.
        """
        if self.listed_at is None or self.provision_failure is not None:
            return False
        was_there = self.last_seen_at is not None and self.observed_generation > 0
        return self.is_linked or (self.calls_only_for_messages and was_there)

    @property
    def last_confirmed_at(self) -> datetime | None:
        """The time of its last sign of life: a call, or a listing by its gateway if that counts."""
        signs = [self.last_seen_at, self.listed_at if self.is_confirmed_by_gateway else None]
        return max((sign for sign in signs if sign is not None), default=None)

    @property
    def is_uncalled(self) -> bool:
        """Whether it has to call by itself, because no gateway starts it, and never has."""
        is_stored = self.created_at is not None
        return is_stored and self.desired_state is None and self.last_confirmed_at is None


AGENT_LOCK_ORDER = (Agent.board_id, Agent.id)
"""The order in which several agents are locked; those without a board are the last."""

AGENT_NAME_COLUMNS = ("id", "name", "identity_profile")
"""The columns for the name, the emoji and the role of an agent, in statements that choose columns.
The templates of its files can be long.
"""


class AgentToken(Base):
    """A token of an agent. Older tokens are ended when a newer one is first used."""

    __tablename__ = "agent_tokens"

    agent_id: Mapped[UUID] = mapped_column(ForeignKey("agents.id", ondelete="CASCADE"), index=True)
    agent: Mapped[Agent] = relationship(lazy="raise")
    prefix: Mapped[str] = mapped_column(index=True)
    secret_hash: Mapped[str]  # SHA-256 of the token, in hex
    # Set only for tokens that are written into files on a gateway.
    encrypted_token: Mapped[str | None] = encrypted_column("agent_tokens.sealed:{id}")
    created_at: Mapped[datetime]
    first_used_at: Mapped[datetime | None]
    expires_at: Mapped[datetime | None]  # None: it does not expire
    ended_at: Mapped[datetime | None]  # kept for a time, so that its use can be explained


class OrphanedGatewayAgent(Base):
    """An agent that is yet to be removed from a gateway, while its row is deleted or changed."""

    __tablename__ = "gateway_leftovers"
    __table_args__ = (UniqueConstraint("gateway_id", "agent_key"),)

    gateway_id: Mapped[UUID] = mapped_column(ForeignKey("gateways.id", ondelete="CASCADE"))
    agent_key: Mapped[str]
    attempts: Mapped[int] = mapped_column(default=0)
    next_try_at: Mapped[datetime]
    last_error: Mapped[str | None]
    created_at: Mapped[datetime]


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
