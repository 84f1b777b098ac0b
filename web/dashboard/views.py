"""Pages of the dashboard, and its panels."""

from functools import partial
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from core.http.request import get_settings, open_reader
from services import organizations
from web.agents.presenter import format_duration
from web.agents.setup import offline_threshold
from web.auth.viewer import current_member
from web.dashboard import panels, session_views
from web.dashboard.address import RANGE_TEXTS, DashboardAddress
from web.dashboard.value_format import format_value
from web.gateways.presenter import describe_status, describe_status_evidence
from web.groups.presenter import list_all_groups
from web.ui.layout import PageLayout, load_layout
from web.ui.render import render_page, render_part
from web.ui.translation import translate

TEMPLATE_FUNCTIONS: dict[str, Any] = {
    "describe_evidence": describe_status_evidence,
    "describe_status": describe_status,
    "format_duration": format_duration,
    "format_value": format_value,
}


async def show_dashboard(request: Request) -> Response:
    """Show all panels that the member may see."""
    layout = await load_layout(request)
    member = current_member(request)
    names = panels.ADMIN_PANELS if member.is_admin else panels.PAGE_PANELS
    loaded = await _load_context(request, names, layout)
    async with open_reader(request) as source:
        groups = await list_all_groups(source, member)
    return render_page(
        request,
        "dashboard/index.html",
        layout=layout,
        groups=groups,
        ranges=[(key, translate(short)) for key, (short, _) in RANGE_TEXTS.items()],
        **loaded,
    )


async def show_summary(request: Request) -> Response:
    """Show the summary."""
    context = await _load_context(request, ["summary"], await load_layout(request))
    return render_part(request, "dashboard/_summary.html", **context)


async def show_figures(request: Request) -> Response:
    """Show the figures and the charts."""
    context = await _load_context(request, ["figures"], await load_layout(request))
    return render_part(request, "dashboard/_figures_update.html", **context)


async def show_approvals(request: Request) -> Response:
    """Show the newest pending approvals."""
    context = await _load_context(request, ["approvals"])
    return render_part(request, "dashboard/_approvals.html", **context)


async def show_gateways(request: Request) -> Response:
    """Show the gateways. Raises Forbidden for members who are not admins."""
    organizations.require_admin(current_member(request))
    context = await _load_context(request, ["gateways"])
    return render_part(request, "dashboard/_gateways.html", **context)


async def show_activity(request: Request) -> Response:
    """Show the newest events."""
    context = await _load_context(request, ["activity"])
    return render_part(request, "dashboard/_activity.html", **context)


async def show_news(request: Request) -> Response:
    """Show the number of events since those that are shown."""
    context = await _load_context(request, ["news"])
    return render_part(request, "dashboard/_news.html", **context)


async def _load_context(
    request: Request, names: list[str] | tuple[str, ...], layout: PageLayout | None = None
) -> dict[str, Any]:
    """Load panels for the address. Raises NotFound or Forbidden for its board or group."""
    member, address = current_member(request), DashboardAddress.from_query(request.query_params)
    async with open_reader(request) as source:
        board_ids = await panels.load_board_ids(source, member, address)
    offline_after = offline_threshold(get_settings(request))
    scope = panels.DashboardScope(member, address, board_ids, offline_after, layout)
    loaded = await panels.load_panels(partial(open_reader, request), scope, names)
    return {
        "address": address,
        "range_name": translate(RANGE_TEXTS[address.range][1]),
        "is_admin": member.is_admin,
        **TEMPLATE_FUNCTIONS,
        **loaded,
    }


ROUTES = [
    Route("/dashboard", show_dashboard, name="dashboard"),
    Route("/dashboard/summary", show_summary),
    Route("/dashboard/figures", show_figures),
    Route("/dashboard/approvals", show_approvals),
    Route("/dashboard/gateways", show_gateways),
    Route("/dashboard/sessions", session_views.show_sessions),
    Route("/dashboard/activity", show_activity),
    Route("/dashboard/activity/news", show_news),
]
"""The routes of the dashboard, for members."""
