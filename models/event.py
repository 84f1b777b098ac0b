"""Events, and the audit: an append-only record of who changed what."""

from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    ForeignKey,
    Identity,
    Index,
    UniqueConstraint,
    text,
)
from sqlalchemy.orm import Mapped, mapped_column

from models.base import Base


class EventType(StrEnum):
    """All event types. The values are part of the API."""

    ORGANIZATION_CREATED = "organization.created"
    ORGANIZATION_UPDATED = "organization.updated"
    ORGANIZATION_RULES_UPDATED = "organization.rules_updated"  # who may appoint admins
    ORGANIZATION_STOPPED = "organization.stopped"
    ORGANIZATION_RESUMED = "organization.resumed"
    MEMBER_JOINED = "member.joined"
    MEMBER_UPDATED = "member.updated"
    MEMBER_REMOVED = "member.removed"
    MEMBER_PASSWORD_LINKED = "member.password_linked"  # noqa: S105
    MEMBER_PASSWORD_CHANGED = "member.password_changed"  # noqa: S105
    INVITE_CREATED = "invite.created"
    INVITE_REVOKED = "invite.revoked"
    TAG_CREATED = "tag.created"
    TAG_UPDATED = "tag.updated"
    TAG_DELETED = "tag.deleted"
    CUSTOM_FIELD_CREATED = "custom_field.created"
    CUSTOM_FIELD_UPDATED = "custom_field.updated"
    CUSTOM_FIELD_DELETED = "custom_field.deleted"
    BOARD_GROUP_CREATED = "board_group.created"
    BOARD_GROUP_UPDATED = "board_group.updated"
    BOARD_GROUP_DELETED = "board_group.deleted"
    GROUP_MEMORY_CREATED = "board_group.memory_created"
    GROUP_MEMORY_UPDATED = "board_group.memory_updated"
    GROUP_MEMORY_DELETED = "board_group.memory_deleted"
    GATEWAY_CREATED = "gateway.created"
    GATEWAY_UPDATED = "gateway.updated"
    GATEWAY_DELETED = "gateway.deleted"
    GATEWAY_GRANT_REVOCATION_REQUESTED = "gateway.grant_revocation_requested"
    GATEWAY_GRANT_REVOKED = "gateway.grant_revoked"
    BOARD_CREATED = "board.created"
    BOARD_UPDATED = "board.updated"
    BOARD_DELETED = "board.deleted"
    BOARD_PAUSED = "board.paused"
    BOARD_RESUMED = "board.resumed"
    BOARD_WEBHOOK_CREATED = "board_webhook.created"
    BOARD_WEBHOOK_UPDATED = "board_webhook.updated"
    BOARD_WEBHOOK_DELETED = "board_webhook.deleted"
    BOARD_WEBHOOK_UNSIGNED_ALLOWED = "board_webhook.unsigned_allowed"
    BOARD_WEBHOOK_UNSIGNED_ENDED = "board_webhook.unsigned_ended"
    BOARD_WEBHOOK_RECEIVED = "board_webhook.received"  # a payload
    SAVED_VIEW_CREATED = "saved_view.created"  # only of shared views
    SAVED_VIEW_UPDATED = "saved_view.updated"
    SAVED_VIEW_DELETED = "saved_view.deleted"
    BOARD_MEMORY_CREATED = "board.memory_created"
    BOARD_MEMORY_UPDATED = "board.memory_updated"
    BOARD_MEMORY_DELETED = "board.memory_deleted"
    BOARD_LEAD_NOTIFIED = "board.lead_notified"
    BOARD_LEAD_NOTIFY_FAILED = "board.lead_notify_failed"
    GROUP_JOIN_NOTIFIED = "board.group.join.notified"
    GROUP_JOIN_NOTIFY_FAILED = "board.group.join.notify_failed"
    GROUP_LEAVE_NOTIFIED = "board.group.leave.notified"
    GROUP_LEAVE_NOTIFY_FAILED = "board.group.leave.notify_failed"
    ONBOARDING_STARTED = "board.onboarding_started"
    ONBOARDING_UPDATED = "board.onboarding_updated"
    ONBOARDING_CONFIRMED = "board.onboarding_confirmed"
    TASK_CREATED = "task.created"
    TASK_UPDATED = "task.updated"
    TASK_STATUS_CHANGED = "task.status_changed"
    TASK_REORDERED = "task.reordered"  # by hand, within its column
    TASK_COMMENT = "task.comment"
    TASK_LINK_UPDATED = "task.link_updated"  # to an issue, pull request or check
    TASK_STALE = "task.stale"  # in progress, and nothing happens
    TASK_ACTIVE = "task.active"  # again
    TASK_DELETED = "task.deleted"
    TASK_RESTORED = "task.restored"
    TASK_PURGED = "task.purged"  # from the trash, by a person
    TASK_LEAD_NOTIFIED = "task.lead_notified"
    TASK_LEAD_NOTIFY_FAILED = "task.lead_notify_failed"
    TASK_LEAD_UNASSIGNED_NOTIFIED = "task.lead_unassigned_notified"
    TASK_LEAD_UNASSIGNED_NOTIFY_FAILED = "task.lead_unassigned_notify_failed"
    TASK_ASSIGNEE_NOTIFIED = "task.assignee_notified"
    TASK_ASSIGNEE_NOTIFY_FAILED = "task.assignee_notify_failed"
    TASK_REWORK_NOTIFIED = "task.rework_notified"
    TASK_REWORK_NOTIFY_FAILED = "task.rework_notify_failed"
    APPROVAL_POLICY_UPDATED = "approval_policy.updated"
    APPROVAL_REQUESTED = "approval.requested"
    APPROVAL_REQUESTS_HELD = "approval.requests_held"
    APPROVAL_WAIT_CHANGED = "approval.wait_changed"  # a client waits for it, or no longer
    APPROVAL_DECIDED = "approval.decided"  # on a page; can still be undone
    APPROVAL_FIRST_APPROVED = "approval.first_approved"  # of two
    APPROVAL_UNDONE = "approval.undone"
    APPROVAL_LAPSED = "approval.lapsed"  # a decision whose person may no longer decide
    APPROVAL_APPROVED = "approval.approved"
    APPROVAL_REJECTED = "approval.rejected"
    APPROVAL_REOPENED = "approval.reopened"  # in older data only: decisions are final
    APPROVAL_CLARIFICATION_REQUESTED = "approval.asked_back"
    APPROVAL_LEAD_NOTIFIED = "approval.lead_notified"
    APPROVAL_LEAD_NOTIFY_FAILED = "approval.lead_notify_failed"
    AGENT_CREATED = "agent.created"
    AGENT_UPDATED = "agent.updated"
    AGENT_DELETED = "agent.deleted"
    AGENT_STATUS_CHANGED = "agent.status_changed"
    AGENT_HELD = "agent.held"  # by a circuit breaker
    AGENT_RELEASED = "agent.released"
    AGENT_PAUSED = "agent.paused"  # by a person
    AGENT_RESUMED = "agent.resumed"
    AGENT_TOKEN_ISSUED = "agent.token_issued"  # noqa: S105
    AGENT_SOUL_UPDATED = "agent.soul.updated"
    AGENT_PROVISIONED = "agent.provision.direct"
    AGENT_PROVISION_FAILED = "agent.provision.failed"
    AGENT_SYNCED = "agent.update.direct"
    AGENT_UPDATE_FAILED = "agent.update.failed"
    AGENT_WOKEN = "agent.wakeup.sent"
    AGENT_LOST = "agent.lost"
    AGENT_DELETE_FAILED = "agent.delete.failed"
    AGENT_CLIENT_CONNECTED = "agent.client_connected"  # its hook has called for the first time
    AGENT_CLIENT_DISCONNECTED = "agent.client_disconnected"  # its settings were restored
    AGENT_SESSION_CHANGED = "agent.session_changed"  # of its client: began, works, is idle, ended
    AGENT_TOOL_UNGATED = "agent.tool_ungated"  # a tool call ran without a request of the hook
    AGENT_TOOLS_UNGATED = "agent.tools_ungated"  # so many that not each of them is an event
    AGENT_GRANT_CREATED = "agent.grant_created"
    AGENT_GRANT_ENDED = "agent.grant_ended"
    NUDGE_SENT = "agent.nudge.sent"
    NUDGE_FAILED = "agent.nudge.failed"
    QUESTION_ASKED = "question.asked"
    QUESTION_ANSWERED = "question.answered"
    ASK_USER_SENT = "gateway.lead.ask_user.sent"
    ASK_USER_FAILED = "gateway.lead.ask_user.failed"
    LEAD_MESSAGE_SENT = "gateway.main.lead_message.sent"
    LEAD_MESSAGE_FAILED = "gateway.main.lead_message.failed"
    LEAD_BROADCAST_SENT = "gateway.main.lead_broadcast.sent"
    MESSAGE_QUEUED = "message.queued"
    MESSAGE_SENT = "message.sent"
    MESSAGE_ACKNOWLEDGED = "message.acknowledged"
    MESSAGE_FAILED = "message.failed"
    GATEWAY_REQUEST_ASKED = "gateway_request.asked"
    GATEWAY_REQUEST_ANSWERED = "gateway_request.answered"
    GATEWAY_REQUEST_DELIVERED = "gateway_request.delivered"
    GATEWAY_REQUEST_LOST = "gateway_request.lost"
    GATEWAY_REQUEST_EXPIRED = "gateway_request.expired"
    GATEWAY_REQUEST_CANCELLED = "gateway_request.cancelled"
    WEBHOOK_ENDPOINT_CREATED = "webhook_endpoint.created"
    WEBHOOK_ENDPOINT_UPDATED = "webhook_endpoint.updated"
    WEBHOOK_ENDPOINT_DELETED = "webhook_endpoint.deleted"
    WEBHOOK_SECRET_ROTATED = "webhook_endpoint.secret_rotated"  # noqa: S105
    WEBHOOK_ENDPOINT_DISABLED = "webhook_endpoint.disabled"  # by itself
    SKILL_PACK_CREATED = "skill_pack.created"
    SKILL_PACK_UPDATED = "skill_pack.updated"
    SKILL_PACK_FETCHED = "skill_pack.fetched"  # an update that waits to be accepted
    SKILL_PACK_SYNCED = "skill_pack.synced"  # its skills are those of an archive
    SKILL_PACK_DELETED = "skill_pack.deleted"
    SKILL_CREATED = "skill.created"
    SKILL_UPDATED = "skill.updated"
    SKILL_DELETED = "skill.deleted"
    SKILL_INSTALL_REQUESTED = "skill.install_requested"
    SKILL_REMOVAL_REQUESTED = "skill.removal_requested"
    SKILL_INSTALLED = "skill.installed"  # the gateway lists it
    SKILL_REMOVED = "skill.removed"  # the gateway does not list it any more
    SKILL_REQUEST_FAILED = "skill.request_failed"  # the gateway lists it, or not, against it
    RUN_STARTED = "run.started"
    RUN_CHANGED = "run.changed"
    RUN_ENDED = "run.ended"


class Event(Base):
    """A recorded change in an organization.

    The activity feed, the live pages and the agents' streams read this table. The ids have no
    foreign keys, because events are kept when the objects are deleted.
    """

    __tablename__ = "activity_events"
    __table_args__ = (
        Index(None, "organization_id", "seq"),
        Index(None, "board_id", "created_at"),
        Index(None, "board_id", "type", "created_at"),
        Index(None, "task_id", "created_at"),
        Index(None, "agent_id", "created_at"),
        Index(None, "type", "created_at"),
        Index(None, "board_id", "seq"),
        Index(None, "board_id", "type", "seq"),
        Index(None, "agent_id", "seq"),
        Index(
            "ix_activity_events_agent_deletions",
            "agent_id",
            "seq",
            postgresql_where=text("(type || '') = 'agent.deleted'"),
        ),
        Index("ix_activity_events_message_id", text("(data ->> 'message_id')")),
    )

    seq: Mapped[int] = mapped_column(BigInteger, Identity(), unique=True)
    type: Mapped[EventType]
    organization_id: Mapped[UUID] = mapped_column(
        ForeignKey("organizations.id", ondelete="CASCADE")
    )
    board_id: Mapped[UUID | None]
    task_id: Mapped[UUID | None]
    approval_id: Mapped[UUID | None]
    agent_id: Mapped[UUID | None]  # the acting or the affected agent
    user_id: Mapped[UUID | None]  # the acting user
    data: Mapped[dict[str, Any]]
    created_at: Mapped[datetime]


class EventOrigin(Base):
    """Who caused an event that the audit does not record, with which credential and from where.

    Comments, chat and messages are too many for the chain of the audit. It is a table of its own,
    so that no feed reads these values: only admins see them.
    """

    __tablename__ = "event_origins"

    id: Mapped[UUID] = mapped_column(  # of the event
        ForeignKey("activity_events.id", ondelete="CASCADE"), primary_key=True, sort_order=-1
    )
    actor_kind: Mapped[str]  # these columns have the same meaning in the audit
    actor_id: Mapped[UUID | None] = mapped_column(index=True)
    actor_name: Mapped[str | None]
    credential: Mapped[str]
    credential_id: Mapped[str | None]
    address: Mapped[str | None]
    cause: Mapped[str | None]


class EventCommit(Base):
    """A transaction that records events: its deferred trigger inserts them at the commit.

    The trigger deletes the row, so that other transactions never see one. The table is not logged.
    """

    __tablename__ = "event_commits"
    __table_args__ = ({"prefixes": ["UNLOGGED"]},)


class EventRetention(Base):
    """How far the deletion of old events of an organization is, and which ones are missing."""

    __tablename__ = "event_retention"

    organization_id: Mapped[UUID] = mapped_column(
        ForeignKey("organizations.id", ondelete="CASCADE"), unique=True
    )
    position: Mapped[int] = mapped_column(BigInteger)  # the last event that this pass looked at
    deleted_seq: Mapped[int] = mapped_column(BigInteger)  # the number of the last deleted event
    deleted_at: Mapped[datetime | None]  # the time of that event
    completed_at: Mapped[datetime | None]  # the end of the last pass; None: one is in progress


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
        Index(
            "ix_audit_records_of_installation",
            "sequence",
            postgresql_where=text("organization_id is null"),
        ),
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


class AuditAnchor(Base):
    """Where a chain of the audit begins after its first records were dropped.

    Triggers allow it only together with the deletion of these records: see docs/audit.md.
    """

    __tablename__ = "audit_anchors"
    __table_args__ = (
        UniqueConstraint("organization_id", "sequence", postgresql_nulls_not_distinct=True),
    )

    organization_id: Mapped[UUID | None]  # None: the installation
    sequence: Mapped[int] = mapped_column(BigInteger)  # of the last dropped record
    hash: Mapped[str]  # of that record, and the `previous_hash` of the first one that is left
    record_count: Mapped[int] = mapped_column(BigInteger)  # records that were dropped at once
    dropped_at: Mapped[datetime]
