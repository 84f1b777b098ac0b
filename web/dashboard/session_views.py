"""The sessions with the fullest contexts on the connected gateways, for the dashboard of admins.

The gateways are queried after the page is shown, all at the same time.
"""

import asyncio
from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

from starlette.requests import Request
from starlette.responses import Response

from core.http.request import open_reader
from services import gateways, organizations
from services.gateways import GatewaySummary, SessionOwners
from web.auth.viewer import current_member
from web.dashboard import panels
from web.dashboard.address import DashboardAddress
from web.gateways.session_presenter import SessionRow, build_session_rows
from web.gateways.session_views import query_gateway
from web.ui.render import render_part

MAX_GATEWAYS = 5  # that are queried
MAX_SESSIONS = 5  # that are shown


class GatewaySession(NamedTuple):
    """A session, and the gateway that it is on."""

    summary: GatewaySummary
    row: SessionRow
    is_main: bool  # of the agent that manages the gateway


class GatewayProblem(NamedTuple):
    """A gateway that did not reply, and why."""

    summary: GatewaySummary
    text: str


async def show_sessions(request: Request) -> Response:
    """Show the fullest sessions. Raises Forbidden for members who are not admins."""
    member = current_member(request)
    organizations.require_admin(member)
    address = DashboardAddress.from_query(request.query_params)
    async with open_reader(request) as source:
        board_ids = await panels.load_board_ids(source, member, address)
        summaries = await gateways.list_gateway_summaries(source, member)
        connected = [one for one in summaries if one.status == "connected"][:MAX_GATEWAYS]
        owners = [
            await gateways.load_session_owners(source, member.user, one.gateway)
            for one in connected
        ]
    found = await asyncio.gather(*map(partial(_load_sessions, request), connected, owners))
    sessions = [one for rows, _problem in found for one in rows]
    if board_ids is not None:
        sessions = [
            one for one in sessions if one.row.owner and one.row.owner.agent.board_id in board_ids
        ]
    sessions.sort(key=lambda one: one.row.context_percent or 0, reverse=True)
    return render_part(
        request,
        "dashboard/_sessions.html",
        address=address,
        is_loaded=True,
        sessions=sessions[:MAX_SESSIONS],
        problems=[problem for _rows, problem in found if problem],
        has_connection=bool(connected),
    )


async def _load_sessions(
    request: Request, summary: GatewaySummary, owners: SessionOwners
) -> tuple[Sequence[GatewaySession], GatewayProblem | None]:
    """Query a gateway; return its sessions whose context is known and that the member may read."""
    main_key = summary.gateway.session_key
    query = partial(gateways.list_sessions, main_key=main_key)
    result, problem = await query_gateway(request, summary, query)
    if result is None:
        return [], GatewayProblem(summary, problem)
    rows = build_session_rows(result, owners)
    return [
        GatewaySession(summary, row, row.key == main_key)
        for row in rows
        if row.context_percent is not None and not row.is_hidden
    ], None
