"""The page of the audit, and its export."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import tzinfo
from typing import Any
from urllib.parse import urlencode
from uuid import UUID

from starlette.datastructures import QueryParams
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from core.db.reads import Source
from core.http.request import open_reader, open_transaction
from core.paging import Paging
from models import AuditRecord, EventOrigin, Member
from services import agents, audit, organizations
from services.audit import AuditFilters
from web.audit.presenter import build_audit_line, build_communication_line, list_action_options
from web.auth.viewer import current_member
from web.ui import forms, time_format
from web.ui.layout import load_layout
from web.ui.render import render_page
from web.ui.translation import _

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
        values = vars(replace(self, **changes))
        parameters = {name: value for name, value in values.items() if value}
        return f"?{urlencode(parameters)}" if parameters else ""


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
        actor_options = await _list_actor_options(source, member, address.actor, shown)
        may_read_installation = await audit.may_read_installation(source, member)
    return render_page(
        request,
        "audit/index.html",
        layout=layout,
        lines=[build_audit_line(record) for record in shown],
        address=address,
        actor_options=actor_options,
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
        actor_options = await _list_actor_options(source, member, address.actor, origins)
        may_read_installation = await audit.may_read_installation(source, member)
    return render_page(
        request,
        "audit/communication.html",
        layout=layout,
        lines=[build_communication_line(record) for record in shown],
        address=address,
        actor_options=actor_options,
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


async def _list_actor_options(
    source: Source, member: Member, chosen: str, shown: Sequence[AuditRecord | EventOrigin]
) -> list[tuple[str, str]]:
    """Return the members and agents, and the chosen actor, who may not be there any more."""
    members = await organizations.list_members(source, member, Paging())
    cards = await agents.list_agent_cards(source, member)
    people = [(str(one.member.user_id), one.member.user.display_name) for one in members.items]
    programs = [(str(card.agent.id), card.agent.name) for card in cards]
    options = [("", _("Everybody")), *people, *programs]
    if chosen not in dict(options):
        name = next((record.actor_name for record in shown if record.actor_name), None)
        options.append((chosen, name or _("Unknown")))
    return options
