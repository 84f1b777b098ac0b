"""Prepare records of the audit for display."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pydantic_core

from models import AuditRecord
from services.audit import AuditAction, CommunicationRecord
from services.events import AUDITED_KINDS, EVENT_DEFINITIONS
from web.activity.event_texts import describe_event
from web.approvals.sentences import translate_question
from web.ui.translation import N_, _, translate

ACTION_TEXTS: Mapping[str, str] = {
    **{
        type: definition.audit_text
        for type, definition in EVENT_DEFINITIONS.items()
        if definition.audit_text is not None
    },
    AuditAction.ORGANIZATION_DELETED: N_("organization deleted"),
    AuditAction.MEMBER_ADDED: N_("member added"),
    AuditAction.CHANNEL_CREATED: N_("notification channel created"),
    AuditAction.CHANNEL_UPDATED: N_("notification channel updated"),
    AuditAction.CHANNEL_DELETED: N_("notification channel deleted"),
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
    **AUDITED_KINDS,
    "account": N_("Account"),
    "audit": N_("Audit"),
    "channel": N_("Notification channel"),
    "identity": N_("Identity provider"),
    "installation": N_("Installation"),
    "password": N_("Password"),
    "request": N_("Refused request"),
    "session": N_("Session"),
    "sign_in": N_("Sign-in"),
    "token": N_("Token"),
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


def list_action_options(chosen: str) -> list[tuple[str, str]]:
    """Return the groups of actions with their texts, sorted by text, and the chosen action."""
    groups = [(group, translate(text)) for group, text in GROUP_TEXTS.items()]
    options = [("", _("All actions")), *sorted(groups, key=lambda group: group[1])]
    if chosen and chosen not in GROUP_TEXTS:
        options.append((chosen, describe_action(chosen)))
    return options


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
