"""The page of a gateway's standing grants: what automations run without asking, and revoking it."""

from dataclasses import dataclass
from typing import Any
from uuid import UUID

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from core.errors import UpstreamError
from core.http.request import open_reader, open_transaction
from services import gateways
from services.gateways import CommandGrant, GatewaySummary, SessionOwners, requests
from web.auth.viewer import current_member
from web.gateways.connection_texts import describe_upstream_error
from web.gateways.session_views import load_gateway_agents, query_gateway, waits_for_gateway
from web.gateways.views import TEMPLATE_FUNCTIONS, count_gateway_request, gateway_connector
from web.ui import forms
from web.ui.layout import load_layout
from web.ui.render import is_part_request, render_page, render_part
from web.ui.translation import N_, translate

STATE_TEXTS = {
    gateways.GrantState.ACTIVE: N_("Active"),
    gateways.GrantState.EXPIRED: N_("Expired"),
    gateways.GrantState.REVOKED: N_("Revoked"),
}


@dataclass(frozen=True)
class GrantRow:
    """A standing grant on the page, and the request whose approval created it."""

    grant: CommandGrant
    state: str
    request_id: UUID | None
    allowed_by: str | None


async def show_command_grants(request: Request) -> Response:
    """Show the standing grants of a gateway; for htmx only the list."""
    return await _render_grants(request, forms.Form())


async def revoke_command_grant(request: Request) -> Response:
    """Revoke a standing grant, and show the list."""
    form = await forms.read_form(request)
    with form.catch_errors():
        async with open_reader(request) as source:
            summary, owners = await load_gateway_agents(request, source)
        await _revoke(request, summary, owners, form.value("grant").strip())
        if not is_part_request(request):
            return RedirectResponse(f"/gateways/{summary.gateway.id}/grants?wait=1", 303)
        return await _render_grants(request, forms.Form())
    return await _render_grants(request, form)


async def _revoke(
    request: Request, summary: GatewaySummary, owners: SessionOwners, grant_id: str
) -> None:
    async def record(grant: CommandGrant, *, is_done: bool) -> None:
        async with open_transaction(request) as session:
            member, gateway = current_member(request), summary.gateway
            await gateways.record_revocation(session, member, gateway, grant, is_done=is_done)

    await count_gateway_request(request, summary)
    try:
        async with gateway_connector(request).connect(summary.gateway) as client:
            grant = await gateways.get_grant_to_revoke(client, owners, grant_id)
            if grant.state is not gateways.GrantState.ACTIVE:
                return
            await record(grant, is_done=False)
            grant, is_revoked = await gateways.revoke_command_grant(client, grant)
    except UpstreamError as error:
        error.text = describe_upstream_error(error)
        raise
    if is_revoked:
        await record(grant, is_done=True)


async def _render_grants(request: Request, form: forms.Form) -> Response:
    layout = None if is_part_request(request) else await load_layout(request)
    member, rows = current_member(request), list[GrantRow]()
    async with open_reader(request) as source:
        summary, owners = await load_gateway_agents(request, source)
    found, problem = None, ""
    is_loaded = layout is None or waits_for_gateway(request) or form.is_submitted
    if is_loaded:
        found, problem = await query_gateway(
            request, summary, lambda client: gateways.list_command_grants(client, owners)
        )
    if found is not None:
        ids = [grant.approval_id for grant in found.grants]
        async with open_reader(request) as source:
            allowed = await requests.load_requests_by_gateway_id(
                source, member, summary.gateway.id, ids
            )
        for grant in found.grants:
            asked = allowed.get(grant.approval_id)
            rows.append(
                GrantRow(
                    grant,
                    translate(STATE_TEXTS[grant.state]),
                    asked.id if asked else None,
                    asked.answered_by if asked else None,
                )
            )
    context: dict[str, Any] = {
        "summary": summary,
        "form": form,
        "rows": rows,
        "problem": problem,
        "is_loaded": is_loaded,
        "is_supported": found is None or found.is_supported,
        "is_complete": found is None or found.is_complete,
    }
    if layout is None:
        return render_part(request, "gateways/_grants.html", form.status, apart=True, **context)
    return render_page(
        request,
        "gateways/grants.html",
        layout=layout,
        status=form.status,
        **context,
        **TEMPLATE_FUNCTIONS,
    )
