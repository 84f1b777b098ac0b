"""The page of all components in every state, for developers."""

from typing import Any

from markupsafe import Markup
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from core.http.request import get_settings
from models import Status
from web.agents.presenter import describe_evidence
from web.boards.address import BoardAddress
from web.dashboard.address import DashboardAddress
from web.dashboard.value_format import format_value
from web.design import approvals, examples
from web.ui.layout import load_layout
from web.ui.render import ERROR_TEMPLATES, environment, render_page
from web.ui.table_order import TableOrder
from web.ui.unified_diff import parse_diff

ERRORS = {
    403: "You can read this board but not change it.",
    404: "Page not found, or no access.",
    500: "Something went wrong on the server.",
    503: "The database does not answer.",
}


async def show_components(request: Request) -> Response:
    """Show all components with examples; only in development."""
    if not get_settings(request).is_development:
        raise HTTPException(404)
    layout = await load_layout(request)
    return render_page(
        request, "design/show.html", layout=layout, live_url=None, **_build_context(request)
    )


def _build_context(request: Request) -> dict[str, Any]:
    """Return the example objects, under the names that the templates of pages use."""
    cards = examples.build_agent_cards()
    shown_approvals = approvals.build_approvals(cards[1].agent, request.user)
    chat = examples.build_chat(request.user.id, cards[0].agent)
    pending = shown_approvals[0].view.detail
    return {
        "board": examples.build_board(),
        "agent_cards": cards,
        "agent_order": TableOrder("/agents", "board", "board"),
        "agents_by_id": {card.agent.id: card.agent for card in cards},
        "lead": cards[1].agent,
        "last_calls": [examples.minutes_ago(minutes) for minutes in (2, 9, 14, 47)],
        "task_cards": examples.render_cards(cards, pending, BoardAddress()),
        "statuses": list(Status),
        "bulk_assignees": [("", [(card.agent.id, card.agent.name) for card in cards])],
        "shown_approvals": shown_approvals,
        "chat_messages": chat.items,
        "notes": chat,
        "history": examples.build_history(cards[0].agent),
        "figures": {"figures": examples.build_figures()},
        "address": DashboardAddress(),
        "diff": parse_diff(approvals.DIFF, "changes")[0],
        "error_pages": [_render_error_block(code, message) for code, message in ERRORS.items()],
        "describe_evidence": describe_evidence,
        "format_value": format_value,
    }


def _render_error_block(code: int, message: str) -> Markup:
    """Render the content of an error page without the layout around it."""
    template = environment.get_template(ERROR_TEMPLATES.get(code, "errors/error.html"))
    context = template.new_context({"message": message, "code": code, "other_organization": None})
    return Markup("".join(template.blocks["content"](context)))  # noqa: S704 (a template)


ROUTES = [Route("/design", show_components)]
