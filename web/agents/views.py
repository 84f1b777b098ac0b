"""Pages of agents: the list, one agent, its forms, tokens, messages and runs."""

from collections.abc import Sequence
from typing import Any

from pydantic import BaseModel
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from core.db.reads import Source
from core.http.request import get_settings, open_reader, open_transaction
from models import Board
from services import agents, boards, gateways, organizations
from services.gateways.sync import AgentConfigChange
from web.agents import setup
from web.agents.forms import NewAgentForm
from web.agents.presenter import (
    SORT_KEYS,
    config_context,
    count_by_filter,
    describe_evidence,
    filter_agents,
    list_profile_options,
)
from web.agents.provisioning import build_progress
from web.agents.setup import AgentSetup, setup_context
from web.auth.viewer import current_member
from web.ui import flash_cookies, forms
from web.ui.edited_fields import EditedField
from web.ui.flash_cookies import redirect_deleted, redirect_with_notice
from web.ui.layout import load_layout
from web.ui.list_addresses import TableOrder
from web.ui.object_forms import build_form_fields
from web.ui.render import is_part_request, render_page, render_part
from web.ui.translation import _


async def show_agents(request: Request) -> Response:
    """Show the agents of all boards that the member can read."""
    layout = await load_layout(request)
    return render_page(
        request, "agents/index.html", layout=layout, **await _load_agent_list(request)
    )


async def show_agents_table(request: Request) -> Response:
    """Show the current table of agents."""
    return render_part(request, "agents/_table.html", apart=True, **await _load_agent_list(request))


async def show_new_agent_form(request: Request) -> Response:
    """Show the form for a new agent."""
    return await render_new_form(request, forms.Form())


async def create_agent(request: Request) -> Response:
    """Create an agent, and redirect to the page that shows its token once."""
    form = await forms.read_form(request)
    with form.catch_errors():
        fields = form.parse(NewAgentForm)
        async with open_transaction(request) as session:
            agent, token = await setup.create_agent(session, current_member(request), fields)
        if token is None:
            return RedirectResponse(f"/agents/{agent.id}", 303)
        return flash_cookies.redirect_with_secret(request, f"/agents/{agent.id}/calls", token)
    return await render_new_form(request, form)


class AgentTokenForm(BaseModel):
    """The lifetime of a new token in days (0: without an end), and whether older ones end now."""

    days: int | None = None
    ends_old: forms.Switch = False


async def issue_token(request: Request) -> Response:
    """Issue a new token for an agent, and redirect to the page that shows it once.

    With `ends_old` the older tokens end now. The token of an agent on a gateway is written there
    and never shown.
    """
    agent_id = forms.path_id(request, "agent_id")
    form = await forms.read_form(request)
    fields = form.parse(AgentTokenForm)
    async with open_transaction(request) as session:
        member = current_member(request)
        _, token = await agents.issue_token(session, member, agent_id, **fields.model_dump())
    if token is None:
        return RedirectResponse(f"/agents/{agent_id}", 303)
    return flash_cookies.redirect_with_secret(request, f"/agents/{agent_id}/calls", token)


async def show_first_call(request: Request) -> Response:
    """Show how an agent calls the API; for htmx only whether it has called."""
    async with open_reader(request) as source:
        agent_setup = await setup.load_agent_setup(
            source,
            current_member(request),
            forms.path_id(request, "agent_id"),
            get_settings(request),
            token=None if is_part_request(request) else flash_cookies.read_secret(request),
        )
    if is_part_request(request):
        return render_first_call_status(
            request, agent_setup, f"/agents/{agent_setup.card.agent.id}/calls"
        )
    response = await _render_first_call(request, agent_setup)
    return flash_cookies.forget_secret(request, response)


async def delete_agent(request: Request) -> Response:
    """Delete or unlink an agent, and redirect to the list."""
    force = bool((await forms.read_form(request)).value("force"))
    async with open_transaction(request) as session:
        agent = await agents.get_agent(
            session, current_member(request), forms.path_id(request, "agent_id")
        )
        is_pending = await agents.delete_agent(session, request.user, agent.id, force=force)
    if is_pending:
        text = _("“%(name)s” is being deleted", name=agent.name)
        return redirect_with_notice(request, "/agents", text)
    if agent.is_linked or (force and agent.desired_state is not None):
        text = _("Unlinked “%(name)s”", name=agent.name)
        return redirect_with_notice(request, "/agents", text)
    return redirect_deleted(request, "/agents", agent.name)


async def _load_agent_list(request: Request) -> dict[str, Any]:
    """Load the agents that match the filters of the address."""
    query = request.query_params
    board_id = forms.parse_id(query.get("board"))
    member = current_member(request)
    offline_after = setup.offline_threshold(get_settings(request))
    async with open_reader(request) as source:
        if board_id is None:
            cards = await agents.list_agent_cards(source, member, offline_after=offline_after)
        else:
            board = (await boards.get_board_permissions(source, member, board_id)).board
            cards = await agents.list_board_agent_cards(source, board, offline_after=offline_after)
        agent_gateways = await gateways.load_agent_gateways(source, [card.agent for card in cards])
    kind, search = query.get("state", ""), query.get("q", "")[:200]
    filters = {"board": str(board_id or ""), "q": search, "state": kind}
    order = TableOrder.from_query("/agents", query, SORT_KEYS, filters)
    return {
        "cards": order.sort_rows(filter_agents(cards, kind, search), SORT_KEYS),
        "order": order,
        "filter_counts": count_by_filter(cards),
        "kind": kind,
        "search": search,
        "board_id": board_id,
        "describe_evidence": describe_evidence,
        "progress_of": lambda agent: build_progress(agent, agent_gateways.get(agent.gateway_id)),
    }


async def render_new_form(
    request: Request,
    form: forms.Form,
    config_changes: Sequence[AgentConfigChange] | None = None,
) -> Response:
    """Render the form for a new agent, and what it changes on gateways as far as that is known."""
    organizations.require_admin(current_member(request))
    board = EditedField("board_id", "", request.query_params.get("board", ""))
    return await render_agent_form(request, "agents/new.html", form, config_changes, [board])


async def render_agent_form(
    request: Request,
    template: str,
    form: forms.Form,
    config_changes: Sequence[AgentConfigChange] | None,
    edited: Sequence[EditedField],
    **more: Any,
) -> Response:
    """Render a page with the form of an agent, and the boards that it can be on.

    `edited` are the values before the form was submitted.
    """
    layout = await load_layout(request)
    async with open_reader(request) as source:
        found = await list_writable_boards(request, source)
    shown = {one.name: one.value for one in edited}
    return render_page(
        request,
        template,
        layout=layout,
        status=form.status,
        form=form,
        fields=build_form_fields(form, NewAgentForm, edited),
        shown=shown,
        options=list_profile_options(shown),
        board_options=[(board.id, board.name) for board in found],
        has_gateways=any(board.gateway_id for board in found),
        **config_context(config_changes),
        **more,
    )


async def list_writable_boards(request: Request, source: Source) -> list[Board]:
    """Return the boards that the member can change."""
    summaries = await boards.list_board_summaries(source, current_member(request))
    return [one.board for one in summaries if one.can_write]


async def _render_first_call(request: Request, agent_setup: AgentSetup) -> Response:
    """Render the first-call page; redirect to the page of an agent that a gateway provisions."""
    if agent_setup.card.agent.desired_state is not None:
        return RedirectResponse(f"/agents/{agent_setup.card.agent.id}", 303)
    layout = await load_layout(request)
    more = setup.setup_context(agent_setup, f"/agents/{agent_setup.card.agent.id}/calls")
    return render_page(request, "agents/first_call.html", layout=layout, **more)


async def retry_provisioning(request: Request) -> Response:
    """Provision an agent on its gateway again."""
    form = await forms.read_form(request)
    agent_id = forms.path_id(request, "agent_id")
    wake, overwrite = (bool(form.value(name)) for name in ("wake", "overwrite"))
    async with open_transaction(request) as session:
        await agents.reprovision_agent(
            session, current_member(request), agent_id, wake=wake, overwrite=overwrite
        )
    return RedirectResponse(f"/agents/{agent_id}", 303)


async def pause_agent(request: Request) -> Response:
    """Pause an agent."""
    agent_id = forms.path_id(request, "agent_id")
    async with open_transaction(request) as session:
        await agents.pause_agent(session, current_member(request), agent_id)
    return RedirectResponse(f"/agents/{agent_id}", 303)


async def release_agent(request: Request) -> Response:
    """Release an agent that a circuit breaker holds, or resume a paused one."""
    agent_id = forms.path_id(request, "agent_id")
    async with open_transaction(request) as session:
        await agents.release_agent(session, current_member(request), agent_id)
    return RedirectResponse(f"/agents/{agent_id}", 303)


def render_first_call_status(request: Request, agent_setup: AgentSetup, path: str) -> Response:
    """Render whether the agent has called."""
    return render_part(
        request, "agents/_first_call_status.html", **setup_context(agent_setup, path)
    )
