"""The page of the people of an organization, and stopping all agents."""

from typing import Any

from pydantic import BaseModel
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from core.clock import now
from core.http.request import get_settings, open_reader, open_transaction
from core.paging import Paging
from services import organizations
from services.organizations import AgentStop
from web.auth.one_time_links import build_link
from web.auth.viewer import current_member
from web.organizations import presenter
from web.organizations.forms import ROLE_NAMES
from web.ui import flash_cookies, forms
from web.ui.layout import load_layout
from web.ui.render import is_part_request, redirect_to_page, render_page, render_part
from web.ui.translation import translate

PAGE_SIZE = 50  # members


async def redirect_to_people(request: Request) -> Response:
    """Redirect from the address of the organization to its people."""
    return RedirectResponse("/people", 303)


async def show_people(request: Request) -> Response:
    """Show the members, and to admins the pending invites, and the link of a new one once."""
    member, offset = current_member(request), forms.parse_offset(request.query_params)
    token = flash_cookies.read_secret(request)
    layout = await load_layout(request)
    async with open_reader(request) as source:
        found = await organizations.list_members(source, member, Paging(PAGE_SIZE, offset))
        tab_counts = await organizations.count_sections(source, member)
        context: dict[str, Any] = {"members": found, "invites": [], "last_active": {}, "names": {}}
        if member.is_admin:
            invites = await organizations.list_pending_invites(source, member, Paging())
            context["invites"] = await organizations.load_invite_details(source, invites.items)
            context["names"] = await organizations.list_board_names(source, member)
            members = [one.member for one in found.items]
            context["last_active"] = await organizations.list_last_active(source, members)
    names = context.pop("names")
    rows = presenter.build_member_rows(member, found.items, names, context.pop("last_active"))
    response = render_page(
        request,
        "people/index.html",
        layout=layout,
        rows=rows,
        page_size=PAGE_SIZE,
        tab_counts=tab_counts,
        role_names={role: translate(name) for role, name in ROLE_NAMES.items()},
        describe_invite=lambda one: presenter.describe_access(one.invite, one.board_access, names),
        now=now(),
        link=build_link(get_settings(request).base_url, "/invite", token) if token else "",
        **context,
    )
    return flash_cookies.forget_secret(request, response)


class StopForm(BaseModel):
    """Why all agents are stopped."""

    reason: forms.OptionalLine = None


async def stop_agents(request: Request) -> Response:
    """Stop all agents of the organization."""
    fields = (await forms.read_form(request)).parse(StopForm)
    async with open_transaction(request) as session:
        stop = await organizations.stop_agents(
            session, current_member(request), reason=fields.reason
        )
    return await _render_stop(request, stop)


async def resume_agents(request: Request) -> Response:
    """Resume all agents of the organization."""
    async with open_transaction(request) as session:
        await organizations.resume_agents(session, current_member(request))
    return await _render_stop(request, None)


async def _render_stop(request: Request, stop: AgentStop | None) -> Response:
    if not is_part_request(request):
        return redirect_to_page(request, "agents")
    layout = await load_layout(request)
    return render_part(request, "_stop_banner.html", agent_stop=stop, viewer=layout)
