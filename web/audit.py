"""The page of the audit, and its export."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import tzinfo
from typing import Any
from uuid import UUID

import pydantic_core
from starlette.datastructures import QueryParams
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from core.db.reads import Source
from core.http.request import open_reader, open_transaction
from models import AuditRecord, EventOrigin, Member
from services import audit, organizations
from services.audit import AuditAction, AuditFilters, CommunicationRecord
from services.events import AUDITED_KINDS, EVENT_DEFINITIONS
from services.pickers import PickerKind, PickerOption
from web.activity.event_texts import describe_event
from web.approvals.sentences import translate_question
from web.auth.viewer import current_member
from web.pickers import Chosen, ChosenOption, load_chosen
from web.ui import forms, time_format
from web.ui.layout import load_layout
from web.ui.list_addresses import build_query
from web.ui.render import render_page
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
    AuditAction.ORIGINAL_IMPORTED: N_("imported from the original"),
    AuditAction.AUDIT_EXPORTED: N_("audit exported"),
    AuditAction.CHAIN_DELETED: N_("audit of an organization deleted"),
    AuditAction.RECORDS_DROPPED: N_("old audit records dropped"),
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
    "operator": N_("The command line"),
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
    "unsigned_webhook": N_("with the address of a webhook, unsigned"),
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
    if credential in ("webhook", "unsigned_webhook"):
        return _("A webhook")
    return translate(ACTOR_NAMES.get(kind, kind))


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


PAGE_SIZE = 50  # records on a page
MAX_FILTER_LENGTH = 200  # characters
INSTALLATION = "installation"


@dataclass(frozen=True)
class AuditQuery:
    """Query parameters of the audit. Invalid parameters are ignored."""

    chain: str = ""  # "installation", or the organization
    actor: str = ""
    action: str = ""
    object: str = ""
    since: str = ""
    until: str = ""
    before: int = 0

    @classmethod
    def from_query(cls, query: QueryParams) -> "AuditQuery":
        """Parse the query of a request."""
        return cls(
            chain=INSTALLATION if query.get("chain") == INSTALLATION else "",
            actor=str(forms.parse_id(query.get("actor")) or ""),
            action=query.get("action", "").strip()[:MAX_FILTER_LENGTH],
            object=query.get("object", "").replace("\0", "").strip()[:MAX_FILTER_LENGTH],
            since=str(time_format.parse_day(query.get("since")) or ""),
            until=str(time_format.parse_day(query.get("until")) or ""),
            before=forms.parse_number(query.get("before")),
        )

    @property
    def is_filtered(self) -> bool:
        """Return whether a filter is set."""
        return any((self.actor, self.action, self.object, self.since, self.until))

    def build_filters(self, zone: tzinfo) -> AuditFilters:
        """Return the filters; days are those of the reader, and include the last one."""
        since, until = time_format.parse_day(self.since), time_format.parse_day(self.until)
        return AuditFilters(
            actor_id=forms.parse_id(self.actor),
            action=self.action,
            target=self.object,
            since=time_format.start_of_day(since, zone),
            until=time_format.start_of_day(until, zone, days_later=1),
            before=self.before or None,
        )

    def query_with(self, **changes: Any) -> str:
        """Return the query with some parameters changed."""
        return build_query(vars(replace(self, **changes)))


async def show_audit(request: Request) -> Response:
    """Show the records of the organization or of the installation, newest first."""
    member = current_member(request)
    organizations.require_admin(member)
    address = AuditQuery.from_query(request.query_params)
    filters = address.build_filters(time_format.get_time_zone(request.user.timezone))
    layout = await load_layout(request)
    async with open_reader(request) as source:
        chain = await _get_chain(source, member, address)
        records = await audit.list_latest_records(source, chain, filters, PAGE_SIZE + 1)
        shown = records[:PAGE_SIZE]
        chosen_actor = await _load_actor(source, member, address.actor, shown)
        may_read_installation = await audit.may_read_installation(source, member)
    return render_page(
        request,
        "audit/index.html",
        layout=layout,
        lines=[build_audit_line(record) for record in shown],
        address=address,
        chosen_actor=chosen_actor,
        action_options=list_action_options(address.action),
        earlier=shown[-1].sequence if len(records) > len(shown) else 0,
        may_read_installation=may_read_installation,
    )


async def show_communication(request: Request) -> Response:
    """Show who sent comments, messages and chat, with which credential and from where."""
    member = current_member(request)
    organizations.require_admin(member)
    query = AuditQuery.from_query(request.query_params)
    address = AuditQuery(actor=query.actor, before=query.before)
    actor_id = forms.parse_id(address.actor)
    layout = await load_layout(request)
    async with open_reader(request) as source:
        found = await audit.list_latest_communication(
            source, member.organization_id, actor_id, address.before, PAGE_SIZE + 1
        )
        shown = found[:PAGE_SIZE]
        origins = [record.origin for record in shown]
        chosen_actor = await _load_actor(source, member, address.actor, origins)
        may_read_installation = await audit.may_read_installation(source, member)
    return render_page(
        request,
        "audit/communication.html",
        layout=layout,
        lines=[build_communication_line(record) for record in shown],
        address=address,
        chosen_actor=chosen_actor,
        earlier=shown[-1].event.seq if len(found) > len(shown) else 0,
        may_read_installation=may_read_installation,
    )


async def export_audit(request: Request) -> Response:
    """Download the complete chain as JSON lines."""
    member = current_member(request)
    organizations.require_admin(member)
    address = AuditQuery.from_query(request.query_params)
    async with open_transaction(request) as session:
        chain = await _get_chain(session, member, address)
        header = await audit.prepare_export(session, chain, 0)
    lines = audit.stream_export(lambda: open_reader(request), chain, header)
    disposition = f'attachment; filename="audit-{address.chain or "organization"}.jsonl"'
    headers = {"Content-Disposition": disposition, "Cache-Control": "no-store"}
    return StreamingResponse(lines, media_type="application/x-ndjson", headers=headers)


async def _get_chain(source: Source, member: Member, address: AuditQuery) -> UUID | None:
    """Return the organization, or None for the installation. Raises Forbidden."""
    if address.chain == INSTALLATION:
        await audit.require_installation_reader(source, member)
        return None
    return member.organization_id


async def _load_actor(
    source: Source, member: Member, id: str, shown: Sequence[AuditRecord | EventOrigin]
) -> Chosen:
    """Return the chosen actor, who may not be there any more."""
    chosen = await load_chosen(source, member, PickerKind.ACTORS, "actor", forms.Form(), [id])
    name = next((record.actor_name for record in shown if record.actor_name), None)
    is_gone = name and chosen.options and chosen.options[0].option.kind == "word"
    return Chosen([ChosenOption(id, PickerOption("word", id, name))]) if is_gone else chosen
