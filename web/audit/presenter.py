"""Prepare records of the audit for display."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pydantic_core

from models import AuditRecord, EventType
from services.audit import AuditAction, CommunicationRecord
from web.activity.event_texts import describe_event
from web.approvals.sentences import translate_question
from web.ui.translation import N_, _, translate

ACTION_TEXTS: Mapping[str, str] = {
    EventType.ORGANIZATION_CREATED: N_("organization created"),
    EventType.ORGANIZATION_UPDATED: N_("organization updated"),
    EventType.ORGANIZATION_RULES_UPDATED: N_("rules of the organization changed"),
    EventType.ORGANIZATION_STOPPED: N_("all agents stopped"),
    EventType.ORGANIZATION_RESUMED: N_("all agents resumed"),
    AuditAction.ORGANIZATION_DELETED: N_("organization deleted"),
    EventType.MEMBER_JOINED: N_("member joined"),
    AuditAction.MEMBER_ADDED: N_("member added"),
    EventType.MEMBER_UPDATED: N_("member updated"),
    EventType.MEMBER_REMOVED: N_("member removed"),
    EventType.MEMBER_PASSWORD_LINKED: N_("password link created for a member"),
    EventType.MEMBER_PASSWORD_CHANGED: N_("password changed with a link"),
    EventType.INVITE_CREATED: N_("invitation created"),
    EventType.INVITE_REVOKED: N_("invitation revoked"),
    EventType.TAG_CREATED: N_("tag created"),
    EventType.TAG_UPDATED: N_("tag updated"),
    EventType.TAG_DELETED: N_("tag deleted"),
    EventType.CUSTOM_FIELD_CREATED: N_("custom field created"),
    EventType.CUSTOM_FIELD_UPDATED: N_("custom field updated"),
    EventType.CUSTOM_FIELD_DELETED: N_("custom field deleted"),
    EventType.BOARD_GROUP_CREATED: N_("board group created"),
    EventType.BOARD_GROUP_UPDATED: N_("board group updated"),
    EventType.BOARD_GROUP_DELETED: N_("board group deleted"),
    EventType.GROUP_MEMORY_CREATED: N_("note of a board group created"),
    EventType.GROUP_MEMORY_UPDATED: N_("note of a board group updated"),
    EventType.GROUP_MEMORY_DELETED: N_("note of a board group deleted"),
    EventType.GATEWAY_CREATED: N_("gateway created"),
    EventType.GATEWAY_UPDATED: N_("gateway updated"),
    EventType.GATEWAY_DELETED: N_("gateway deleted"),
    EventType.GATEWAY_GRANT_REVOCATION_REQUESTED: N_("revocation of a standing grant requested"),
    EventType.GATEWAY_GRANT_REVOKED: N_("standing grant revoked"),
    EventType.GATEWAY_REQUEST_ASKED: N_("gateway request received"),
    EventType.GATEWAY_REQUEST_ANSWERED: N_("gateway request answered"),
    EventType.GATEWAY_REQUEST_LOST: N_("gateway request lost"),
    EventType.GATEWAY_REQUEST_EXPIRED: N_("gateway request expired"),
    EventType.GATEWAY_REQUEST_CANCELLED: N_("gateway request withdrawn"),
    EventType.BOARD_CREATED: N_("board created"),
    EventType.BOARD_UPDATED: N_("board updated"),
    EventType.BOARD_DELETED: N_("board deleted"),
    EventType.BOARD_PAUSED: N_("agents of a board paused"),
    EventType.BOARD_RESUMED: N_("agents of a board resumed"),
    EventType.BOARD_WEBHOOK_CREATED: N_("webhook of a board created"),
    EventType.BOARD_WEBHOOK_UPDATED: N_("webhook of a board updated"),
    EventType.BOARD_WEBHOOK_DELETED: N_("webhook of a board deleted"),
    EventType.SAVED_VIEW_CREATED: N_("shared view saved"),
    EventType.SAVED_VIEW_UPDATED: N_("shared view updated"),
    EventType.SAVED_VIEW_DELETED: N_("shared view deleted"),
    EventType.BOARD_MEMORY_CREATED: N_("note of a board created"),
    EventType.BOARD_MEMORY_UPDATED: N_("note of a board updated"),
    EventType.BOARD_MEMORY_DELETED: N_("note of a board deleted"),
    EventType.ONBOARDING_STARTED: N_("board setup started"),
    EventType.ONBOARDING_CONFIRMED: N_("board setup confirmed"),
    AuditAction.CHANNEL_CREATED: N_("notification channel created"),
    AuditAction.CHANNEL_UPDATED: N_("notification channel updated"),
    AuditAction.CHANNEL_DELETED: N_("notification channel deleted"),
    EventType.WEBHOOK_ENDPOINT_CREATED: N_("webhook created"),
    EventType.WEBHOOK_ENDPOINT_UPDATED: N_("webhook updated"),
    EventType.WEBHOOK_ENDPOINT_DELETED: N_("webhook deleted"),
    EventType.WEBHOOK_SECRET_ROTATED: N_("secret of a webhook rotated"),
    EventType.WEBHOOK_ENDPOINT_DISABLED: N_("webhook disabled after failures"),
    EventType.SKILL_PACK_CREATED: N_("skill pack created"),
    EventType.SKILL_PACK_UPDATED: N_("skill pack updated"),
    EventType.SKILL_PACK_FETCHED: N_("update of a skill pack fetched"),
    EventType.SKILL_PACK_SYNCED: N_("skills of a pack updated"),
    EventType.SKILL_PACK_DELETED: N_("skill pack deleted"),
    EventType.SKILL_CREATED: N_("skill created"),
    EventType.SKILL_UPDATED: N_("skill updated"),
    EventType.SKILL_DELETED: N_("skill deleted"),
    EventType.SKILL_INSTALL_REQUESTED: N_("installation of a skill requested"),
    EventType.SKILL_REMOVAL_REQUESTED: N_("removal of a skill requested"),
    EventType.SKILL_INSTALLED: N_("skill installed"),
    EventType.SKILL_REMOVED: N_("skill removed"),
    EventType.SKILL_REQUEST_FAILED: N_("request about a skill failed"),
    EventType.TASK_CREATED: N_("task created"),
    EventType.TASK_UPDATED: N_("task updated"),
    EventType.TASK_STATUS_CHANGED: N_("task status changed"),
    EventType.TASK_DELETED: N_("task deleted"),
    EventType.TASK_RESTORED: N_("task restored"),
    EventType.APPROVAL_POLICY_UPDATED: N_("approval policy updated"),
    EventType.APPROVAL_REQUESTED: N_("approval requested"),
    EventType.APPROVAL_REQUESTS_HELD: N_("approval requests refused"),
    EventType.APPROVAL_DECIDED: N_("approval decided"),
    EventType.APPROVAL_FIRST_APPROVED: N_("approved by the first of two people"),
    EventType.APPROVAL_UNDONE: N_("decision undone"),
    EventType.APPROVAL_LAPSED: N_("decision no longer counted"),
    EventType.APPROVAL_APPROVED: N_("request approved"),
    EventType.APPROVAL_REJECTED: N_("request rejected"),
    EventType.APPROVAL_REOPENED: N_("approval reopened"),
    EventType.APPROVAL_CLARIFICATION_REQUESTED: N_("question about an approval asked"),
    EventType.AGENT_CREATED: N_("agent created"),
    EventType.AGENT_UPDATED: N_("agent updated"),
    EventType.AGENT_DELETED: N_("agent deleted"),
    EventType.AGENT_STATUS_CHANGED: N_("deletion of an agent requested"),
    EventType.AGENT_HELD: N_("agent held by a circuit breaker"),
    EventType.AGENT_RELEASED: N_("agent released"),
    EventType.AGENT_PAUSED: N_("agent paused"),
    EventType.AGENT_RESUMED: N_("agent resumed"),
    EventType.AGENT_TOKEN_ISSUED: N_("agent token issued"),
    EventType.AGENT_SOUL_UPDATED: N_("SOUL.md of an agent updated"),
    EventType.AGENT_LOST: N_("agent lost"),
    EventType.AGENT_DELETE_FAILED: N_("agent could not be deleted"),
    AuditAction.SESSION_STARTED: N_("session started"),
    AuditAction.SESSION_RENEWED: N_("session renewed"),
    AuditAction.SESSION_ENDED: N_("session ended"),
    AuditAction.SIGN_IN_FAILED: N_("sign-in failed"),
    AuditAction.SIGN_IN_LIMITED: N_("sign-in blocked after too many attempts"),
    AuditAction.TOKEN_CREATED: N_("token created"),
    AuditAction.TOKEN_REVOKED: N_("token revoked"),
    AuditAction.TOKEN_REJECTED: N_("token rejected"),
    AuditAction.PASSWORD_CHANGED: N_("password changed"),
    AuditAction.IDENTITY_CONNECTED: N_("identity provider connected"),
    AuditAction.ACCOUNT_CREATED: N_("account created"),
    AuditAction.ACCOUNT_RENAMED: N_("account renamed"),
    AuditAction.ACCOUNT_DELETED: N_("account deleted"),
    AuditAction.REQUEST_REFUSED: N_("request refused"),
    AuditAction.FIRST_OWNER_CREATED: N_("first owner created"),
    AuditAction.FIRST_RUN_LINK_CREATED: N_("setup link created"),
    AuditAction.BACKUP_CREATED: N_("backup created"),
    AuditAction.BACKUP_RESTORED: N_("backup restored"),
    AuditAction.ADDRESS_CHANGED: N_("address changed"),
    AuditAction.KEY_ROTATED: N_("secret key replaced"),
    AuditAction.SECRETS_REMOVED: N_("secrets of a lost key removed"),
    AuditAction.AUDIT_EXPORTED: N_("audit exported"),
    AuditAction.CHAIN_DELETED: N_("audit of an organization deleted"),
}

GROUP_TEXTS: Mapping[str, str] = {
    "account": N_("Account"),
    "agent": N_("Agent"),
    "approval": N_("Approval"),
    "approval_policy": N_("Approval policy"),
    "audit": N_("Audit"),
    "board": N_("Board"),
    "board_group": N_("Board group"),
    "board_webhook": N_("Webhook of a board"),
    "channel": N_("Notification channel"),
    "custom_field": N_("Custom field"),
    "gateway": N_("Gateway"),
    "gateway_request": N_("Gateway request"),
    "identity": N_("Identity provider"),
    "installation": N_("Installation"),
    "invite": N_("Invitation"),
    "member": N_("Member"),
    "organization": N_("Organization"),
    "password": N_("Password"),
    "request": N_("Refused request"),
    "saved_view": N_("Saved view"),
    "session": N_("Session"),
    "sign_in": N_("Sign-in"),
    "skill": N_("Skill"),
    "skill_pack": N_("Skill pack"),
    "tag": N_("Tag"),
    "task": N_("Task"),
    "token": N_("Token"),
    "webhook_endpoint": N_("Webhook"),
}
"""The parts before the dot of all actions that are audited."""

ACTOR_NAMES = {
    "system": N_("The system"),
    "operator": N_("The operator"),
    "anonymous": N_("Not signed in"),
}

CREDENTIAL_NAMES = {
    "session": N_("in a browser"),
    "password": N_("with the password"),
    "link": N_("with a one-time link"),
    "api_token": N_("with an API token"),
    "local_token": N_("with the local token"),
    "provider_token": N_("through the identity provider"),
    "agent_token": N_("with an agent token"),
    "webhook": N_("with the secret of a webhook"),
    "command_line": N_("on the command line"),
    "worker": N_("by the worker"),
    "none": N_("without a credential"),
}

MISSING = object()


def describe_action(action: str) -> str:
    """Return the text of an action, or of a group of actions."""
    text = ACTION_TEXTS.get(action) or GROUP_TEXTS.get(action)
    return translate(text) if text else action.replace(".", " ").replace("_", " ")


def list_groups() -> list[tuple[str, str]]:
    """Return the groups of actions with their texts, sorted by text."""
    groups = ((group, translate(text)) for group, text in GROUP_TEXTS.items())
    return sorted(groups, key=lambda group: group[1])


@dataclass(frozen=True)
class ChangedValue:
    """A value before and after the change, as text; None if it did not exist."""

    name: str
    before: str | None
    after: str | None


@dataclass(frozen=True)
class AuditLine:
    """A record on the page."""

    record: AuditRecord
    actor: str
    action: str
    target: str
    credential: str
    changes: list[ChangedValue]


def build_audit_line(record: AuditRecord) -> AuditLine:
    """Build the line of a record."""
    return AuditLine(
        record=record,
        actor=_name_actor(record.actor_kind, record.actor_name, record.credential),
        action=describe_action(record.action),
        target=_describe_target(record),
        credential=translate(CREDENTIAL_NAMES.get(record.credential or "", "")),
        changes=_list_changes(record.before or {}, record.after or {}),
    )


@dataclass(frozen=True)
class CommunicationLine:
    """A comment, a message or a chat message on the page, with its origin."""

    record: CommunicationRecord
    actor: str
    action: str
    credential: str


def build_communication_line(record: CommunicationRecord) -> CommunicationLine:
    """Build the line of an event that is not in the chain."""
    origin = record.origin
    return CommunicationLine(
        record=record,
        actor=_name_actor(origin.actor_kind, origin.actor_name, origin.credential),
        action=describe_event(record.event),
        credential=translate(CREDENTIAL_NAMES.get(origin.credential, "")),
    )


def _name_actor(kind: str, name: str | None, credential: str | None) -> str:
    if name:
        return name
    return _("A webhook") if credential == "webhook" else translate(ACTOR_NAMES.get(kind, kind))


def _describe_target(record: AuditRecord) -> str:
    """Name the object; the question of an approval in the reader's language."""
    if record.object_kind == "approval" and record.object_name:
        return translate_question(record.object_name, record.after or {})
    return record.object_name or (record.object_id or "")[:8]


def _list_changes(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[ChangedValue]:
    names = [*before, *(name for name in after if name not in before)]
    return [
        ChangedValue(
            name,
            _format_value(before.get(name, MISSING)),
            _format_value(after.get(name, MISSING)),
        )
        for name in names
    ]


def _format_value(value: Any) -> str | None:
    if value is MISSING:
        return None
    if isinstance(value, str):
        return value
    return _("none") if value is None else pydantic_core.to_json(value).decode()
