"""Routes of the layout: the sidebar, switching the organization, and the home address."""

from uuid import UUID

from pydantic import BaseModel
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from core.http.request import open_transaction
from services import agents, approvals, onboarding, organizations
from services.gateways import requests
from web.auth.viewer import current_member
from web.ui import forms
from web.ui.layout import load_layout
from web.ui.render import layout_context, render_part


class OrganizationSwitchForm(BaseModel):
    """The organization to open."""

    organization_id: UUID


async def show_sidebar(request: Request) -> Response:
    """Show the current sidebar, and the tab bar of phones."""
    layout = await load_layout(request)
    return render_part(request, "_sidebar_update.html", **layout_context(request, layout))


async def switch_organization(request: Request) -> Response:
    """Open another organization, and redirect to its start page."""
    fields = (await forms.read_form(request)).parse(OrganizationSwitchForm)
    async with open_transaction(request) as session:
        await organizations.switch_organization(session, request.user, fields.organization_id)
    return RedirectResponse("/", 303)


async def redirect_home(request: Request) -> Response:
    """Redirect to the pending decisions, or to the boards if there are none."""
    async with open_transaction(request) as session:
        member = current_member(request)
        waiting = await approvals.count_undecided_approvals(session, member)
        waiting = waiting or await requests.count_waiting_by_board(session, member)
        waiting = waiting or await onboarding.list_pending_onboardings(session, member)
        held = [] if waiting else await agents.list_releasable_agent_ids(session, member)
    if held:
        return RedirectResponse("/agents?state=held", 303)
    return RedirectResponse("/approvals" if waiting else "/boards", 303)
