"""Pages of a coding agent's sessions: the list, one session with its calls, and permissions."""

from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from core.db.reads import Source
from core.http.request import open_reader, open_transaction
from core.paging import Paging
from services import boards, coding_sessions, tool_calls
from services.agents import AgentCard
from web.agents.gate import gate_functions
from web.agents.views import load_card, tab_context
from web.auth.viewer import current_member
from web.ui import forms
from web.ui.flash_cookies import redirect_with_notice
from web.ui.layout import load_layout
from web.ui.render import is_part_request, render_page, render_part
from web.ui.translation import _

SESSIONS_ON_PAGE = 25
CALLS_ON_PAGE = 50
GRANTS_ON_PAGE = 25


async def show_sessions(request: Request) -> Response:
    """Show the sessions and permissions of an agent; for htmx only those."""
    layout = None if is_part_request(request) else await load_layout(request)
    paging = Paging(SESSIONS_ON_PAGE, forms.parse_offset(request.query_params))
    async with open_reader(request) as source:
        card = await load_card(request, source)
        context: dict[str, Any] = {
            **gate_functions(),
            "ungated": await coding_sessions.find_ungated_calls(source, card.agent),
            "page": await coding_sessions.list_sessions(source, card.agent, paging),
            "grants": await tool_calls.list_newest_grants(source, card.agent, GRANTS_ON_PAGE),
            "can_revoke": await _can_change_board(request, source, card),
            **tab_context(card, "sessions"),
        }
    if layout is None:
        return render_part(request, "agents/_sessions.html", **context)
    return render_page(request, "agents/sessions.html", layout=layout, **context)


async def show_session(request: Request) -> Response:
    """Show one session with its calls; for htmx only that."""
    layout = None if is_part_request(request) else await load_layout(request)
    paging = Paging(CALLS_ON_PAGE, forms.parse_offset(request.query_params))
    session_id = forms.path_id(request, "session_id")
    async with open_reader(request) as source:
        card = await load_card(request, source)
        summary = await coding_sessions.get_session(source, card.agent, session_id)
        calls = await tool_calls.list_calls(source, card.agent, paging, session_id=session_id)
    context: dict[str, Any] = {
        **gate_functions(),
        "summary": summary,
        "page": calls,
        **tab_context(card, "sessions"),
    }
    if layout is None:
        return render_part(request, "agents/_session.html", **context)
    return render_page(request, "agents/session.html", layout=layout, **context)


async def revoke_grant(request: Request) -> Response:
    """End a permission of an agent."""
    agent_id, grant_id = (forms.path_id(request, name) for name in ("agent_id", "grant_id"))
    async with open_transaction(request) as session:
        card = await load_card(request, session)
        await tool_calls.end_grant(session, request.user, card.agent, grant_id)
    return redirect_with_notice(
        request, f"/agents/{agent_id}/sessions#permissions", _("Permission revoked")
    )


async def _can_change_board(request: Request, source: Source, card: AgentCard) -> bool:
    if card.agent.board_id is None:
        return False
    member = current_member(request)
    found = await boards.get_board_permissions(source, member, card.agent.board_id)
    return found.can_write
