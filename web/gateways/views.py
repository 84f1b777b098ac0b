"""Pages of gateways: the list, one gateway with its checks, its forms, and its config changes."""

from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from core.errors import TooMany
from core.http.request import get_settings, hit_gateway_limits, open_reader, open_transaction
from core.http.request_slots import release_slots
from core.paging import Paging
from models import ConfigChangeKind, Gateway, GatewayConfigChange
from services import agents, boards, gateway_status, gateways, organizations
from services.gateways import GatewayCreate, GatewayUpdate, provisioning, sync
from services.notifications import OpenedPage
from web.audit import AuditLine, build_audit_line
from web.auth.viewer import current_member
from web.gateways import presenter
from web.notifications.views import mark_page_read
from web.ui import forms
from web.ui.edit_conflicts import ConflictContext, render_conflict
from web.ui.edited_fields import check_edit
from web.ui.flash_cookies import redirect_deleted
from web.ui.layout import load_layout
from web.ui.object_forms import build_form_fields, list_edited_fields
from web.ui.render import is_part_request, render_page, render_part
from web.ui.translation import N_, _, pgettext, translate
from web.ui.unified_diff import parse_diff

TEMPLATE_FUNCTIONS: dict[str, Any] = {
    "describe_evidence": presenter.describe_status_evidence,
    "build_checks": presenter.build_checks,
    "list_unavailable": presenter.list_unavailable,
    "describe_status": presenter.describe_status,
    "list_ca_certificates": gateways.list_ca_certificates,
}

KIND_TEXTS = {
    ConfigChangeKind.ADDED: N_("Entry added"),
    ConfigChangeKind.CHANGED: N_("Entry changed"),
    ConfigChangeKind.REMOVED: N_("Entry removed"),
}

TOKEN_RECIPIENT = frozenset({"url", "allow_insecure_tls", "ca_certificates"})
"""The fields that decide which host receives the token."""


async def show_gateways(request: Request) -> Response:
    """Show all gateways of the organization; for htmx only the list."""
    layout = None if is_part_request(request) else await load_layout(request)
    async with open_reader(request) as source:
        summaries = await gateways.list_gateway_summaries(source, current_member(request))
    if layout is None:
        return render_part(
            request, "gateways/_table.html", summaries=summaries, apart=True, **TEMPLATE_FUNCTIONS
        )
    return render_page(
        request, "gateways/index.html", layout=layout, summaries=summaries, **TEMPLATE_FUNCTIONS
    )


async def show_new_gateway_form(request: Request) -> Response:
    """Show the form for a new gateway."""
    return await _render_new_form(request, forms.Form())


async def create_gateway(request: Request) -> Response:
    """Create a gateway, and check the connection. It is stored even if the check fails."""
    form = await forms.read_form(request)
    with form.catch_errors():
        fields = form.parse(GatewayCreate, {"token": form.value("token").strip() or None})
        async with open_transaction(request) as session:
            gateway = await gateways.create_gateway(
                session, current_member(request), gateway_connector(request), fields
            )
        await check_connection_if_allowed(request, gateway)
        return RedirectResponse(f"/gateways/{gateway.id}", 303)
    return await _render_new_form(request, form)


async def show_gateway(request: Request) -> Response:
    """Show a gateway and its connection checks; for htmx only its status."""
    await mark_page_read(request, OpenedPage(gateway_id=forms.path_id(request, "gateway_id")))
    return await _render_gateway(request, forms.Form())


async def check_gateway(request: Request) -> Response:
    """Check the connection of a gateway now."""
    async with open_reader(request) as source:
        gateway = await gateways.get_gateway(
            source, current_member(request), forms.path_id(request, "gateway_id")
        )
    await _check_connection(request, gateway)
    if is_part_request(request):
        return await _render_gateway(request, forms.Form())
    return RedirectResponse(f"/gateways/{gateway.id}", 303)


async def delete_gateway(request: Request) -> Response:
    """Delete a gateway without boards and agents, and redirect to the list."""
    form = await forms.read_form(request)
    with form.catch_errors():
        async with open_transaction(request) as session:
            member, id = current_member(request), forms.path_id(request, "gateway_id")
            gateway = await gateways.get_gateway(session, member, id)
            await gateways.delete_gateway(session, member, id)
        return redirect_deleted(request, "/gateways", gateway.name)
    return await _render_gateway(request, form)


async def _check_connection(request: Request, gateway: Gateway) -> None:
    """Check the connection of a gateway, and store the result. Raises TooMany and Conflict."""
    await hit_gateway_limits(request, gateway.organization_id, request.user.id)
    result = await gateways.ProbeResult.probe_gateway(gateway_connector(request), gateway)
    async with open_transaction(request) as session:
        await gateways.record_user_probe(session, current_member(request), gateway, result)


async def check_connection_if_allowed(request: Request, gateway: Gateway) -> None:
    """Check the connection unless the rate limit is reached; a worker then checks it soon."""
    with suppress(TooMany):
        await _check_connection(request, gateway)


async def _render_gateway(request: Request, form: forms.Form) -> Response:
    layout = None if is_part_request(request) else await load_layout(request)
    member, gateway_id = current_member(request), forms.path_id(request, "gateway_id")
    async with open_reader(request) as source:
        summary = await gateways.get_gateway_summary(source, member, gateway_id)
        readable = await boards.list_boards(source, member, Paging(), gateway_id=gateway_id)
        cards = await agents.list_agent_cards(
            source,
            member,
            gateway_id=gateway_id,
            offline_after=get_settings(request).offline_after,
        )
        token_set_at = await gateways.find_token_set_at(source, summary.gateway)
    context: dict[str, Any] = {
        "summary": summary,
        "boards": readable.items,
        "cards": cards,
        "token_set_at": token_set_at,
    }
    if layout is None:
        return render_part(
            request, "gateways/_overview.html", form.status, **context, **TEMPLATE_FUNCTIONS
        )
    context |= TEMPLATE_FUNCTIONS
    return render_page(
        request, "gateways/show.html", layout=layout, status=form.status, form=form, **context
    )


async def _render_new_form(request: Request, form: forms.Form) -> Response:
    organizations.require_admin(current_member(request))
    shown = list_edited_fields(GatewayCreate, Gateway(workspace_root="~/.openclaw"))
    return render_page(
        request,
        "gateways/new.html",
        layout=await load_layout(request),
        status=form.status,
        form=form,
        fields=build_form_fields(form, GatewayCreate, shown),
    )


def gateway_connector(request: Request) -> gateways.GatewayConnector:
    """Return the connector to gateways, for a request that then waits for one."""
    release_slots(request)
    connector: gateways.GatewayConnector = request.state.gateway_connector
    return connector


async def count_gateway_request(request: Request, summary: gateways.GatewaySummary) -> None:
    """Count a request to a gateway unless a worker is connected to it. Raises TooMany."""
    if summary.status is not gateway_status.GatewayStatus.CONNECTED:
        await hit_gateway_limits(request, summary.gateway.organization_id, request.user.id)


@dataclass(frozen=True)
class ConfigChangeLine:
    """A change on the page. `cause` is the last audited change that can have led to it."""

    change: GatewayConfigChange
    kind: str
    cause: AuditLine | None
    is_readable: bool
    has_agent: bool


async def show_config_changes(request: Request) -> Response:
    """Show what was written to the configuration of a gateway; for htmx only the list."""
    layout = None if is_part_request(request) else await load_layout(request)
    member = current_member(request)
    before = forms.parse_id(request.query_params.get("before"))
    async with open_reader(request) as source:
        summary = await gateways.get_gateway_summary(
            source, member, forms.path_id(request, "gateway_id")
        )
        page = await provisioning.load_config_log(source, member, summary.gateway, before)
    lines = [
        ConfigChangeLine(
            one.change,
            translate(KIND_TEXTS[one.change.kind]),
            build_audit_line(one.cause) if one.cause else None,
            one.is_readable,
            one.has_agent,
        )
        for one in page.changes
    ]
    context: dict[str, Any] = {
        "summary": summary,
        "before": before,
        "lines": lines,
        "earlier": page.earlier,
        "max_changes": provisioning.MAX_CHANGES_BY_ACTOR,
        "parse_diff": parse_diff,
        "config_file": sync.CONFIG_FILE,
    }
    if layout is None:
        return render_part(request, "gateways/_config_log.html", **context)
    return render_page(
        request, "gateways/config_log.html", layout=layout, **context, **TEMPLATE_FUNCTIONS
    )


async def show_edit_form(request: Request) -> Response:
    """Show the form that changes a gateway. It does not contain the token."""
    return await _render_edit_form(request, forms.Form())


async def update_gateway(request: Request) -> Response:
    """Update a gateway, and check the connection if its address or access has changed.

    An entered token is meant for the host that the form shows: it is not sent to another one.
    """
    form = await forms.read_form(request)
    member, gateway_id = current_member(request), forms.path_id(request, "gateway_id")
    with form.catch_errors():
        token = "" if form.is_on("without_token") else form.value("token").strip() or None
        fields = form.parse(GatewayUpdate, {"token": token})
        async with open_transaction(request) as session:
            gateway = await gateways.lock_gateway(session, member, gateway_id)
            relied_on = TOKEN_RECIPIENT if fields.token else frozenset()
            edited = list_edited_fields(GatewayUpdate, gateway)
            fields = fields.without(check_edit(form, edited, relied_on))
            connector = gateway_connector(request)
            await gateways.update_gateway(session, member, connector, gateway_id, fields)
        if gateway.checks is None:
            await check_connection_if_allowed(request, gateway)
        return RedirectResponse(f"/gateways/{gateway.id}", 303)
    if form.conflicts:
        return await _render_conflict(request, form)
    return await _render_edit_form(request, form)


async def _render_conflict(request: Request, form: forms.Form) -> Response:
    """Render both versions of the fields that the user and somebody else have changed."""
    async with open_reader(request) as source:
        gateway = await gateways.get_gateway(
            source, current_member(request), forms.path_id(request, "gateway_id")
        )
    states = {"true": pgettext("state", "On"), "": pgettext("state", "Off")}
    about = ConflictContext(
        title=gateway.name,
        back=f"/gateways/{gateway.id}/edit",
        organization_id=gateway.organization_id,
        object_id=gateway.id,
        names={"allow_insecure_tls": states},
        secrets={"token": _("Token")},
    )
    return await render_conflict(request, form, about)


async def _render_edit_form(request: Request, form: forms.Form) -> Response:
    layout = await load_layout(request)
    async with open_reader(request) as source:
        gateway = await gateways.get_gateway(
            source, current_member(request), forms.path_id(request, "gateway_id")
        )
        token_set_at = await gateways.find_token_set_at(source, gateway)
    edited = list_edited_fields(GatewayUpdate, gateway)
    return render_page(
        request,
        "gateways/edit.html",
        layout=layout,
        status=form.status,
        form=form,
        gateway=gateway,
        fields=build_form_fields(form, GatewayCreate, edited),
        shown={one.name: one.value for one in edited},
        token_set_at=token_set_at,
    )
