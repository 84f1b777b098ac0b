"""Pages of the first steps: the organization, the first board, and the first agent."""

from typing import Any

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from core.http.request import get_settings, open_reader, open_transaction
from models import Agent, Board, Member
from services import agents, boards, coding_sessions, organizations
from services.boards import BoardCreate
from services.coding_sessions import CLIENT_NAMES
from services.organizations import OrganizationCreate
from web.agents import setup
from web.agents.connection_views import connection_path
from web.agents.forms import NewAgentForm
from web.boards.forms import BOARD_RULES, RULE_EXAMPLES, parse_new_board
from web.ui import flash_cookies, forms
from web.ui.edited_fields import EditedField
from web.ui.layout import load_layout
from web.ui.object_forms import build_form_fields
from web.ui.render import is_part_request, render_page, render_part
from web.ui.translation import _

WELCOME_STEPS = ("organization", "board", "agent", "call")


async def show_welcome(request: Request) -> Response:
    """Show the first open step; with `?step=organization` the first step again."""
    member = _find_admin(request)
    requested = request.query_params.get("step")
    step = "organization" if requested == "organization" else await _find_next_step(request)
    if step == "call":
        assert member is not None
        async with open_reader(request) as source:
            agent = await agents.find_first_agent(source, member)
            assert agent is not None
            found = await coding_sessions.CONNECTIONS.first(source, agent_id=agent.id)
        path = connection_path(agent, found.client) if found else _first_call_path(agent)
        return RedirectResponse(path, 303)
    if step is None:
        return RedirectResponse("/boards", 303)
    return await _render_step(request, step, forms.Form())


async def name_organization(request: Request) -> Response:
    """Create the organization of the user, or rename the active one."""
    form, member = await forms.read_form(request), _find_admin(request)
    with form.catch_errors():
        fields = form.parse(OrganizationCreate)
        async with open_transaction(request) as session:
            if member is None:
                await organizations.create_organization(session, request.user, fields)
            else:
                await organizations.rename_organization(session, member, fields)
        return RedirectResponse("/welcome", 303)
    return await _render_step(request, "organization", form)


async def create_first_board(request: Request) -> Response:
    """Create the first board."""
    form, member = await forms.read_form(request), _find_admin(request)
    if member is None:
        return RedirectResponse("/welcome", 303)
    with form.catch_errors():
        fields = parse_new_board(form)
        async with open_transaction(request) as session:
            await boards.create_board(session, member, fields)
        return RedirectResponse("/welcome", 303)
    return await _render_step(request, "board", form)


async def create_first_agent(request: Request) -> Response:
    """Create the first agent, and redirect to the page that shows its token once."""
    form, member = await forms.read_form(request), _find_admin(request)
    if member is None:
        return RedirectResponse("/welcome", 303)
    with form.catch_errors():
        fields = form.parse(NewAgentForm)
        async with open_transaction(request) as session:
            agent, token = await setup.create_agent(session, member, fields)
        path = _first_call_path(agent)
        if token is None:
            return RedirectResponse(path, 303)
        return flash_cookies.redirect_with_secret(request, path, token)
    return await _render_step(request, "agent", form)


async def show_first_call(request: Request) -> Response:
    """Wait for the first call of an agent; for htmx only whether it has called."""
    member = _find_admin(request)
    if member is None:
        return RedirectResponse("/welcome", 303)
    is_part = is_part_request(request)
    async with open_reader(request) as source:
        agent_setup = await setup.load_agent_setup(
            source,
            member,
            forms.path_id(request, "agent_id"),
            get_settings(request),
            token=None if is_part else flash_cookies.read_secret(request),
        )
    context = setup.setup_context(agent_setup, _first_call_path(agent_setup.card.agent))
    if is_part:
        return render_part(request, "welcome/_call_update.html", steps=WELCOME_STEPS, **context)
    response = await _render_welcome(request, "call", **context)
    return flash_cookies.forget_secret(request, response)


async def _find_next_step(request: Request) -> str | None:
    """Return the first open step, or None."""
    member = _find_admin(request)
    if member is None:
        return "organization"
    async with open_reader(request) as source:
        if await boards.find_changeable_board(source, member) is None:
            return "board"
        agent = await agents.find_first_agent(source, member)
    if agent is None:
        return "agent"
    return None if agent.last_seen_at else "call"


async def _render_step(request: Request, step: str, form: forms.Form) -> Response:
    member = _find_admin(request)
    board = None
    if member is not None:
        async with open_reader(request) as source:
            board = await boards.find_changeable_board(source, member)
    if step == "agent" and board is None:
        step = "board"
    first_task = EditedField("first_task", "", _("Say hello and describe what you can do"))
    fields = (
        build_form_fields(form, NewAgentForm, [first_task])
        if step == "agent"
        else build_form_fields(form, BoardCreate)
    )
    return await _render_welcome(
        request,
        step,
        board,
        form=form,
        fields=fields,
        rules=BOARD_RULES,
        examples=RULE_EXAMPLES,
        client_names=CLIENT_NAMES,
        board_id=board.id if board else None,
    )


async def _render_welcome(
    request: Request, step: str, board: Board | None, **more: Any
) -> Response:
    member, ended = _find_admin(request), None
    if member is None:
        async with open_reader(request) as source:
            ended = await organizations.find_ended_membership(source, request.user)
    return render_page(
        request,
        "welcome/show.html",
        ended=ended,
        layout=None if member is None else await load_layout(request),
        status=more["form"].status if "form" in more else 200,
        steps=WELCOME_STEPS,
        step=step,
        organization=member.organization if member else None,
        is_unnamed=member is not None and organizations.has_default_name(member.organization),
        board=board,
        **more,
    )


def _first_call_path(agent: Agent) -> str:
    return f"/welcome/agents/{agent.id}"


def _find_admin(request: Request) -> Member | None:
    """Return the membership of the user, if any. Raises Forbidden unless it is that of an admin."""
    member: Member | None = request.auth.member
    if member is not None:
        organizations.require_admin(member)
    return member
