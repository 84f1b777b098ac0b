"""The page of all components in every state, for developers."""

from typing import Any

from markupsafe import Markup
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from core.http.request import get_settings
from models import Member, Status
from services.agents import AgentCard
from services.approvals import UndecidedApproval
from web.agents.presenter import describe_evidence
from web.dashboard.charts import format_value
from web.dashboard.views import DashboardQuery
from web.design import approvals, examples, tasks
from web.design.boards import BoardExamples
from web.ui.layout import load_layout
from web.ui.list_addresses import TableOrder
from web.ui.markdown import render_markdown
from web.ui.render import ERROR_TEMPLATES, environment, render_page
from web.ui.unified_diff import parse_diff

ERRORS = {
    403: "You can read this board but not change it.",
    404: "Page not found, or no access.",
    500: "Something went wrong on the server.",
    503: "The database does not answer.",
}
COLOURS = (
    *("canvas", "lane", "surface", "card", "raised", "line", "line-2", "edge"),
    *("ink", "ink-2", "ink-3", "accent", "accent-solid", "accent-wash", "accent-line"),
    *("signal", "signal-text", "signal-wash", "signal-line"),
    *("danger", "danger-solid", "danger-wash", "danger-line"),
    *("good", "good-wash", "good-line", "plum"),
    *("series-1", "series-2", "series-3", "series-4"),
)
"""Roles of colours in static/app.css."""


class ExampleTexts(dict[str, Markup]):
    """The HTML of the examples in Markdown, rendered when a template shows one."""

    def __missing__(self, text: str) -> Markup:
        """Render a text."""
        return render_markdown(text).html


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
    lead = cards[1].agent
    shown_approvals = approvals.build_approvals(lead, request.user)
    waiting = shown_approvals[0].view.detail
    pending = UndecidedApproval(waiting.approval.id, lead.id, True, waiting.task_ids)
    return {
        "board": examples.build_board(),
        "agent_cards": cards,
        "agent_order": TableOrder("/agents", "board", "board"),
        "agents_by_id": {card.agent.id: card.agent for card in cards},
        "lead": lead,
        "last_calls": [examples.minutes_ago(minutes) for minutes in (2, 9, 14, 47)],
        "statuses": list(Status),
        "colours": COLOURS,
        "today": examples.minutes_ago(0),
        "overdue_day": examples.days_ago(2),
        "bulk_assignees": [("", [(card.agent.id, card.agent.name) for card in cards])],
        "shown_approvals": shown_approvals,
        "figures": {"figures": examples.build_key_metrics(), "waiting_count": 2},
        "address": DashboardQuery(),
        "diff": parse_diff(approvals.DIFF, "changes")[0],
        "error_pages": [_render_error_block(code, message) for code, message in ERRORS.items()],
        "describe_evidence": describe_evidence,
        "format_value": format_value,
        "formatted": ExampleTexts(),
        **_render_board(BoardExamples(cards, pending)),
        **tasks.build_task_context(cards[0].agent, request.user.id),
        **tasks.build_talk_context(cards[0].agent, request.auth.member),
        **_render_feed(cards[0], request.auth.member),
    }


def _render_board(board_examples: BoardExamples) -> dict[str, Markup]:
    """Render cards, columns and the list as the pages of a board do."""
    return {
        "task_cards": board_examples.render_cards(),
        "columns": _render("boards/_columns.html", board_examples.build_column_context()),
        "task_list": _render("boards/_task_table.html", board_examples.build_list_context()),
    }


def _render_feed(card: AgentCard, member: Member) -> dict[str, Any]:
    """Render the rows of the activity; the first one has the mark that a script sets."""
    lines = tasks.build_feed(card.agent, member)
    shared = {"cards_by_agent": {card.agent.id: card}, "formatted": ExampleTexts()}
    rows = [_render("activity/_line.html", {"line": line, **shared}) for line in lines]
    rows[0] = Markup(str(rows[0]).replace(" data-v=", " data-fresh data-v=", 1))  # noqa: S704 (a template)
    return {"feed": Markup().join(rows), "feed_target": lines[1].event.id}


def _render(template: str, context: dict[str, Any]) -> Markup:
    return Markup(environment.get_template(template).render(context))  # noqa: S704 (a template)


def _render_error_block(code: int, message: str) -> Markup:
    """Render the content of an error page without the layout around it."""
    template = environment.get_template(ERROR_TEMPLATES.get(code, "errors/error.html"))
    context = template.new_context({"message": message, "code": code, "other_organization": None})
    return Markup("".join(template.blocks["content"](context)))  # noqa: S704 (a template)


ROUTES = [Route("/design", show_components)]
