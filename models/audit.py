"""The audit: an append-only record of who changed what, for each organization."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, CheckConstraint, Index, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from models.base import Base


class AuditRecord(Base):
    """An entry of the audit. All values are plain: they remain when the objects are deleted.

    The records of an organization form a chain, and so do those without an organization, which
    concern the installation. A trigger sets `sequence`, `at`, `previous_hash` and `hash`, and
    others reject every change: see docs/audit.md.
    """

    __tablename__ = "audit_records"
    __table_args__ = (
        UniqueConstraint("organization_id", "sequence", postgresql_nulls_not_distinct=True),
        Index(None, "organization_id", "actor_id", "sequence"),
        Index(None, "organization_id", "action", "sequence"),
        Index(None, "organization_id", "object_id", "sequence"),
        CheckConstraint("sequence > 0", name="sequence"),
    )

    organization_id: Mapped[UUID | None]  # None: the installation
    sequence: Mapped[int] = mapped_column(BigInteger)  # 1, 2, 3 … in each chain
    at: Mapped[datetime]
    actor_kind: Mapped[str]  # user, agent, operator (on the command line), system or anonymous
    actor_id: Mapped[UUID | None]
    actor_name: Mapped[str | None]  # at that time, like all names here
    credential: Mapped[str | None]  # the kind of credential, such as "session"
    credential_id: Mapped[str | None]  # the id of a session, or the stored prefix of a token
    address: Mapped[str | None]  # the IP address of the caller
    action: Mapped[str]  # an event type, or an AuditAction
    object_kind: Mapped[str]
    object_id: Mapped[str | None]
    object_name: Mapped[str | None]
    cause: Mapped[str | None]  # "request:ID", "message:ID", "approval:ID" or "task:ID"
    event_id: Mapped[UUID | None]  # the event about the same change
    before: Mapped[dict[str, Any] | None]
    after: Mapped[dict[str, Any] | None]
    previous_hash: Mapped[str]  # of the record before this one; 64 zeros for the first
    hash: Mapped[str]  # SHA-256 of the canonical JSON of all other columns, in hex
