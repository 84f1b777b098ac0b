"""Approval policies: rules that decide whether requests of agents need people, and how many."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from sqlalchemy import ForeignKey, Index, TypeDecorator, UniqueConstraint
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from models.base import Base
from models.coding_agent import CodingClient, ToolAction
from models.organization import Role


class PolicyEffect(StrEnum):
    """What happens to an approval request that a rule matches."""

    ALLOW = "allow"
    ASK_ONE = "ask_one"
    ASK_TWO = "ask_two"  # two different people, neither of whom is the requester
    DENY = "deny"


class RiskLevel(StrEnum):
    """The risk that an agent states in a request. Members are in ascending order."""

    LOW = "low"
    MEDIUM = "medium"
    HIGH = "high"
    CRITICAL = "critical"


@dataclass(frozen=True, kw_only=True)
class WeeklyWindow:
    """A part of each week. A window whose end is not after its start ends on the next day."""

    time_zone: str  # IANA name
    starts_at: int = 0  # minutes after midnight
    ends_at: int = 0
    weekdays: Sequence[int] = ()  # of the start, Monday is 0; empty: every day

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> "WeeklyWindow":
        """Read the stored JSON."""
        fields: dict[str, Any] = {**stored, "weekdays": tuple(stored.get("weekdays", ()))}
        return cls(**fields)

    def to_json(self) -> dict[str, Any]:
        """Return the stored JSON."""
        return vars(self) | {"weekdays": list(self.weekdays)}


@dataclass(frozen=True, kw_only=True)
class PolicyRule:
    """A rule of a policy. An empty condition matches every request.

    A rule with a condition about tools matches only tool calls of coding agents.
    """

    id: UUID
    name: str
    effect: PolicyEffect
    kinds: Sequence[str] = ()  # kinds of action; a trailing * matches any ending
    agent_ids: Sequence[UUID] = ()
    risk_at_least: RiskLevel | None = None
    risk_at_most: RiskLevel | None = None
    confidence_below: float | None = None  # 0 to 100
    tag_ids: Sequence[UUID] = ()  # one of the tasks has one of these tags
    time_window: WeeklyWindow | None = None
    clients: Sequence[CodingClient] = ()
    tools: Sequence[str] = ()  # names; a trailing * matches any ending
    actions: Sequence[ToolAction] = ()
    commands: Sequence[str] = ()  # words; a trailing * matches further words
    paths: Sequence[str] = ()
    hosts: Sequence[str] = ()
    expires_after: int | None = None  # seconds until a request without a decision is rejected
    decider_role: Role = Role.MEMBER  # or a higher role
    decider_ids: Sequence[UUID] = ()  # only these users; empty: everybody with the role
    requires_recent_sign_in: bool = False  # of the people who decide
    is_enabled: bool = True

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> "PolicyRule":
        """Read the stored JSON. Raises KeyError, TypeError or ValueError if it is malformed."""
        ids = {key: tuple(UUID(id) for id in stored.get(key, ())) for key in ID_LISTS}
        window, least, most = (
            stored.get(key) for key in ("time_window", "risk_at_least", "risk_at_most")
        )
        return cls(
            id=UUID(stored["id"]),
            name=stored["name"],
            effect=PolicyEffect(stored["effect"]),
            kinds=tuple(stored.get("kinds", ())),
            risk_at_least=RiskLevel(least) if least else None,
            risk_at_most=RiskLevel(most) if most else None,
            confidence_below=stored.get("confidence_below"),
            clients=tuple(map(CodingClient, stored.get("clients", ()))),
            tools=tuple(stored.get("tools", ())),
            actions=tuple(map(ToolAction, stored.get("actions", ()))),
            commands=tuple(stored.get("commands", ())),
            paths=tuple(stored.get("paths", ())),
            hosts=tuple(stored.get("hosts", ())),
            time_window=WeeklyWindow.from_json(window) if window else None,
            expires_after=stored.get("expires_after"),
            decider_role=Role(stored.get("decider_role", Role.MEMBER)),
            requires_recent_sign_in=stored.get("requires_recent_sign_in", False),
            is_enabled=stored.get("is_enabled", True),
            **ids,
        )

    def to_json(self) -> dict[str, Any]:
        """Return the stored JSON."""
        window = self.time_window.to_json() if self.time_window else None
        ids = {key: [str(id) for id in getattr(self, key)] for key in ID_LISTS}
        texts = {key: list(getattr(self, key)) for key in ("kinds", *TOOL_CONDITIONS)}
        return vars(self) | ids | texts | {"id": str(self.id), "time_window": window}


ID_LISTS = ("agent_ids", "tag_ids", "decider_ids")
TOOL_CONDITIONS = ("clients", "tools", "actions", "commands", "paths", "hosts")
"""The conditions about tool calls. A rule with one of them matches no other requests."""


@dataclass(frozen=True, kw_only=True)
class PolicyVerdict:
    """What a policy says about a request. Without a matching rule one person is asked."""

    effect: PolicyEffect = PolicyEffect.ASK_ONE
    rule_name: str | None = None
    expires_after: int | None = None  # seconds
    decider_role: Role = Role.MEMBER
    decider_ids: Sequence[UUID] = ()
    requires_recent_sign_in: bool = False

    @property
    def required_approvals(self) -> int:
        """How many people must approve."""
        return 2 if self.effect is PolicyEffect.ASK_TWO else 1

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> "PolicyVerdict":
        """Read the stored JSON."""
        return cls(
            effect=PolicyEffect(stored["effect"]),
            rule_name=stored["rule_name"],
            expires_after=stored["expires_after"],
            decider_role=Role(stored["decider_role"]),
            decider_ids=tuple(UUID(id) for id in stored["decider_ids"]),
            requires_recent_sign_in=stored.get("requires_recent_sign_in", False),
        )

    def to_json(self) -> dict[str, Any]:
        """Return the stored JSON."""
        return vars(self) | {"decider_ids": [str(id) for id in self.decider_ids]}


class PolicyVerdictType(TypeDecorator[PolicyVerdict]):
    """A column of JSON that is read and written as a verdict; null is the default verdict."""

    impl = JSONB(none_as_null=True)
    cache_ok = True

    def process_bind_param(self, value: PolicyVerdict | None, dialect: Any) -> Any:
        """Convert to JSON."""
        return None if value in (None, PolicyVerdict()) else value.to_json()

    def process_result_value(self, value: Any, dialect: Any) -> PolicyVerdict:
        """Convert from JSON."""
        return PolicyVerdict() if value is None else PolicyVerdict.from_json(value)


class PolicyRulesType(TypeDecorator[Sequence[PolicyRule]]):
    """A column of JSON that is read and written as a sequence of rules."""

    impl = JSONB(none_as_null=True)
    cache_ok = True

    def process_bind_param(self, value: Sequence[PolicyRule] | None, dialect: Any) -> Any:
        """Convert to JSON."""
        return None if value is None else [rule.to_json() for rule in value]

    def process_result_value(self, value: Any, dialect: Any) -> Sequence[PolicyRule] | None:
        """Convert from JSON."""
        return None if value is None else [PolicyRule.from_json(one) for one in value]


class ApprovalPolicy(Base):
    """The rules of an organization or of one of its boards, in the order of evaluation."""

    __tablename__ = "approval_policies"
    __table_args__ = (
        UniqueConstraint("board_id"),
        Index(
            "uq_approval_policies_organization_id",
            "organization_id",
            unique=True,
            postgresql_where="board_id is null",
        ),
    )

    organization_id: Mapped[UUID] = mapped_column(
        ForeignKey("organizations.id", ondelete="CASCADE"), index=True
    )
    board_id: Mapped[UUID | None] = mapped_column(ForeignKey("boards.id", ondelete="CASCADE"))
    rules: Mapped[Sequence[PolicyRule]] = mapped_column(PolicyRulesType)
    version: Mapped[int] = mapped_column(default=1)
    updated_by_user_id: Mapped[UUID | None] = mapped_column(
        ForeignKey("users.id", ondelete="SET NULL"), index=True
    )
    updated_at: Mapped[datetime]
