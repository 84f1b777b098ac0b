"""Pages of agents: the list, one agent with its tabs, forms, tokens and the first call.

Before an agent is saved, the page shows what that changes in the configuration of a gateway. Files
and the soul are in `file_views`.
"""

from collections.abc import Sequence
from typing import Annotated, Any

from pydantic import BaseModel
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from core.clock import now
from core.db.reads import Source
from core.fields import BlankToNone
from core.http.request import get_settings, open_reader, open_transaction
from core.paging import Paging
from models import Agent, CodingClient
from services import activity, agents, boards, gateways, identity, messages, organizations, pickers
from services.activity import ActivityFilters
from services.agents import AgentCard, AgentFilters, AgentSort
from services.coding_sessions import CLIENT_NAMES
from services.gateways import files, runs, sync
from services.gateways.sync import AgentConfigChange
from services.notifications import OpenedPage
from services.pickers import PickerKind, PickerPlace
from web.activity.event_texts import describe_event
from web.agents import setup
from web.agents.connection_views import connection_path, parse_client
from web.agents.forms import AgentEditForm, NewAgentForm, list_edited_fields
from web.agents.gate import load_gate
from web.agents.messages import load_messages
from web.agents.presenter import (
    HELD_FILTER,
    config_context,
    describe_evidence,
    describe_run,
    find_filter_states,
    format_duration,
    list_filter_options,
    list_profile_options,
    load_agent_run,
)
from web.agents.provisioning import build_progress
from web.agents.setup import setup_context
from web.auth.viewer import current_member
from web.notifications.views import mark_page_read
from web.pickers import load_chosen, load_value_names
from web.ui import flash_cookies, forms
from web.ui.edit_conflicts import ConflictContext, render_conflict
from web.ui.edited_fields import EditedField, check_edit
from web.ui.flash_cookies import redirect_deleted, redirect_with_notice
from web.ui.layout import load_layout
from web.ui.list_addresses import KeysetTable, TableOrder, parse_list_position, parse_place
from web.ui.object_forms import build_form_fields
from web.ui.posted_forms import allow_repetition
from web.ui.render import is_part_request, render_page, render_part
from web.ui.time_format import reader_zone
from web.ui.translation import _, ngettext

PAGE_SIZE = 50  # agents
LIST_PICKERS = {"board": PickerKind.BOARDS, "gateway": PickerKind.GATEWAYS}


async def show_agents(request: Request) -> Response:
    """Show a page of the agents that the member can see; for htmx only the table."""
    is_part = is_part_request(request)
    layout = None if is_part else await load_layout(request)
    context = await _load_agent_list(request)
    if layout is None:
        return render_part(request, "agents/_table.html", apart=True, **context)
    return render_page(request, "agents/index.html", layout=layout, **context)


async def _load_agent_list(request: Request) -> dict[str, Any]:
    """Load the page of agents at the place and with the filters of the address."""
    query, member = request.query_params, current_member(request)
    kind, search, place = query.get("state", ""), forms.parse_search(query), parse_place(query)
    chosen = {name: forms.parse_id(query.get(name)) for name in ("board", "gateway")}
    if not member.is_admin:
        chosen["gateway"] = None
    filters = {name: str(id or "") for name, id in chosen.items()}
    order = TableOrder.from_query(
        "/agents", query, AgentSort, {**filters, "q": search, "state": kind}
    )
    async with open_reader(request) as source:
        if chosen["board"] is not None:
            await boards.get_board(source, member, chosen["board"])
        found = await agents.list_agent_page(
            source,
            member,
            PAGE_SIZE,
            place,
            AgentFilters(
                words=search.split(),
                states=find_filter_states(kind),
                board_id=chosen["board"],
                gateway_id=chosen["gateway"],
                is_held=kind == HELD_FILTER,
            ),
            sort=AgentSort(order.sort.removeprefix("-")),
            is_descending=order.sort.startswith("-"),
            offline_after=get_settings(request).offline_after,
        )
        shown = [card.agent for card in found.page.items]
        agent_gateways = await gateways.load_agent_gateways(source, shown)
        pickers = {
            name: await load_chosen(source, member, picker, name, forms.Form(), [chosen[name]])
            for name, picker in LIST_PICKERS.items()
        }
    return {
        "table": KeysetTable(order, place, found.page, found.total),
        "order": order,
        "state_options": list_filter_options(kind, found.counts),
        "kind": kind,
        "search": search,
        "chosen": pickers,
        "board_id": chosen["board"],
        "describe_evidence": describe_evidence,
        "progress_of": lambda agent: build_progress(agent, agent_gateways.get(agent.gateway_id)),
    }


async def show_new_agent_form(request: Request) -> Response:
    """Show what can do the work of a new agent, and then the form for it."""
    if "client" in request.query_params:
        return await _render_new_form(request, forms.Form())
    member, layout = current_member(request), await load_layout(request)
    organizations.require_admin(member)
    async with open_reader(request) as source:
        on_gateway = await pickers.find_first_option(
            source, PickerPlace(member), PickerKind.GATEWAY_BOARDS
        )
    return render_page(
        request,
        "agents/choose.html",
        layout=layout,
        client_names=CLIENT_NAMES,
        board_id=forms.parse_id(request.query_params.get("board")),
        has_gateways=on_gateway is not None,
    )


async def create_agent(request: Request) -> Response:
    """Create an agent, and redirect to the page that shows its token once."""
    form = await forms.read_form(request)
    with form.catch_errors():
        fields = form.parse(NewAgentForm)
        async with open_transaction(request) as session:
            agent, token = await setup.create_agent(session, current_member(request), fields)
        return _redirect_with_token(request, agent, token, fields.client)
    return await _render_new_form(request, form)


def _redirect_with_token(
    request: Request, agent: Agent, token: str | None, client: CodingClient | None
) -> Response:
    """Redirect to the page that shows a token once, or to the agent if it has none to show."""
    if token is None:
        return RedirectResponse(f"/agents/{agent.id}", 303)
    path = connection_path(agent, client) if client else f"/agents/{agent.id}/calls"
    return flash_cookies.redirect_with_secret(request, path, token)


async def preview_new_agent(request: Request) -> Response:
    """Show what the form of a new agent will change; nothing is created."""
    allow_repetition(request)
    form, member = await forms.read_form(request), current_member(request)
    organizations.require_admin(member)
    changes = None
    async with open_reader(request) as source:
        with form.catch_errors():
            fields = form.parse(NewAgentForm)
            changes = await sync.preview_new_agent(
                source, member, fields.board_id, fields.to_fields()
            )
    if is_part_request(request):
        return _render_config_change(request, form, changes, None)
    return await _render_new_form(request, form, changes)


async def _render_new_form(
    request: Request,
    form: forms.Form,
    config_changes: Sequence[AgentConfigChange] | None = None,
) -> Response:
    """Render the form for a new agent, and what it changes on gateways as far as that is known.

    An agent with a client is on a board without a gateway.
    """
    member, query = current_member(request), request.query_params
    organizations.require_admin(member)
    kind, board_id = form.value("client") or query.get("client"), query.get("board", "")
    client = parse_client(kind)
    async with open_reader(request) as source:
        fitting = PickerKind.GATEWAY_BOARDS if kind == "gateway" else PickerKind.PROGRAM_BOARDS
        first = await pickers.find_first_option(source, PickerPlace(member), fitting)
        board_id = board_id or (first.key if first else "")
        chosen_board = await load_chosen(source, member, fitting, "board_id", form, [board_id])
    edited = [EditedField("board_id", "", board_id)]
    if client is None:
        return await _render_agent_form(request, "agents/new.html", form, config_changes, edited)
    async with open_reader(request) as source:
        name = await agents.suggest_free_name(source, member, CLIENT_NAMES[client].split()[0])
        other = await pickers.find_first_option(source, PickerPlace(member), PickerKind.AGENTS)
    return render_page(
        request,
        "agents/new_client.html",
        layout=await load_layout(request),
        status=form.status,
        form=form,
        fields=build_form_fields(form, NewAgentForm, [*edited, EditedField("name", "", name)]),
        client=client,
        client_name=CLIENT_NAMES[client],
        has_boards=first is not None,
        chosen_board=chosen_board,
        back="/agents/new" if other else "/welcome",  # which offers the clients for the first agent
    )


async def _render_agent_form(
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
    layout, member = await load_layout(request), current_member(request)
    board_ids = [one.value for one in edited if one.name == "board_id"]
    async with open_reader(request) as source:
        first, on_gateway = [
            await pickers.find_first_option(source, PickerPlace(member), kind)
            for kind in (PickerKind.CHANGEABLE_BOARDS, PickerKind.GATEWAY_BOARDS)
        ]
        chosen_board = await load_chosen(
            source, member, PickerKind.CHANGEABLE_BOARDS, "board_id", form, board_ids
        )
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
        has_boards=first is not None,
        chosen_board=chosen_board,
        has_gateways=on_gateway is not None,
        **config_context(config_changes),
        **more,
    )


def _render_config_change(
    request: Request,
    form: forms.Form,
    changes: Sequence[AgentConfigChange] | None,
    agent: Agent | None,
) -> Response:
    """Render the changes. With scripts the errors of an invalid form are shown when it is saved."""
    context = config_context(changes)
    return render_part(request, "agents/_config_change.html", form=form, agent=agent, **context)


async def show_agent(request: Request) -> Response:
    """Show what an agent does now; for htmx only that."""
    agent_id, member = forms.path_id(request, "agent_id"), current_member(request)
    await mark_page_read(request, OpenedPage(agent_id=agent_id))
    layout = None if is_part_request(request) else await load_layout(request)
    async with open_reader(request) as source:
        card = await setup.load_agent_card(source, member, agent_id, get_settings(request))
        filters = ActivityFilters(agent_id=agent_id)
        recent = await activity.list_member_activity(source, member, Paging(limit=12), filters)
        found = await gateways.load_agent_gateways(source, [card.agent])
        run_context = await load_agent_run(source, member, card.agent)
        gate = await load_gate(source, card.agent)
    gateway = found.get(card.agent.gateway_id)
    base_url = get_settings(request).base_url
    context: dict[str, Any] = {
        **tab_context(card, "now"),
        **run_context,
        **gate,
        "recent": recent.items,
        "describe_event": describe_event,
        "first_call_command": setup.build_curl_command(base_url, "POST", "/heartbeat"),
        "token_variable": setup.TOKEN_VARIABLE,
        "format_duration": format_duration,
        "gateway": gateway,
        "progress": build_progress(card.agent, gateway),
    }
    if layout is None:
        return render_part(request, "agents/_overview.html", **context)
    return render_page(request, "agents/show.html", layout=layout, **context)


async def show_runs(request: Request) -> Response:
    """Show the runs of an agent; for htmx only the list."""
    layout = None if is_part_request(request) else await load_layout(request)
    offset = forms.parse_offset(request.query_params)
    async with open_reader(request) as source:
        card = await load_card(request, source)
        page = await runs.list_agent_runs(source, card.agent, Paging(limit=25, offset=offset))
    context: dict[str, Any] = tab_context(card, "runs") | {
        "page": page,
        "describe_run": describe_run,
    }
    if layout is None:
        return render_part(request, "agents/_runs.html", **context)
    return render_page(request, "agents/runs.html", layout=layout, **context)


async def show_current_run(request: Request) -> Response:
    """Show the current or last run of an agent on its gateway."""
    async with open_reader(request) as source:
        card = await load_card(request, source)
        context = await load_agent_run(source, current_member(request), card.agent)
    return render_part(request, "runs/_agent_run.html", **context)


async def show_messages(request: Request) -> Response:
    """Show the messages to an agent; for htmx only the list."""
    layout = None if is_part_request(request) else await load_layout(request)
    member, query = current_member(request), request.query_params
    async with open_reader(request) as source:
        card = await load_card(request, source)
        context = await load_messages(source, member, card.agent, query)
    context |= tab_context(card, "messages")
    if layout is None:
        return render_part(request, "agents/_messages.html", **context)
    return render_page(request, "agents/messages.html", layout=layout, **context)


async def retry_message(request: Request) -> Response:
    """Send a failed message again, and show the same page of the list."""
    message_id = forms.path_id(request, "message_id")
    async with open_transaction(request) as session:
        agent = await agents.get_agent(
            session, current_member(request), forms.path_id(request, "agent_id")
        )
        await messages.retry_message(session, request.user, agent, message_id)
    if is_part_request(request):
        return await show_messages(request)
    place = parse_list_position(request.query_params, "message")
    return RedirectResponse(f"/agents/{agent.id}/messages{place.query}", 303)


async def load_card(request: Request, source: Source) -> AgentCard:
    """Return the agent that the address names. Raises NotFound."""
    member, agent_id = current_member(request), forms.path_id(request, "agent_id")
    return await setup.load_agent_card(source, member, agent_id, get_settings(request))


def tab_context(card: AgentCard, tab: str) -> dict[str, Any]:
    """Return what the header of an agent's page needs.

    `token_warning` is "ends" if the newest token ends soon, "ended" if it has ended, otherwise "".
    """
    agent, token_warning = card.agent, ""
    if agents.is_token_ending(agent, now()):
        has_ended = agent.token_expires_at is not None and agent.token_expires_at <= now()
        token_warning = "ended" if has_ended else "ends"
    has_files = agent.gateway_id is not None and not agent.is_linked
    return {
        "card": card,
        "tab": tab,
        "file_count": len(files.FILE_NAMES) if has_files else 0,
        "describe_evidence": describe_evidence,
        "token_warning": token_warning,
    }


async def show_settings(request: Request) -> Response:
    """Show the settings of an agent: its form, token and removal."""
    return await _render_settings(request, forms.Form())


async def redirect_to_settings(request: Request) -> Response:
    """Redirect the former address of the form."""
    return RedirectResponse(f"/agents/{forms.path_id(request, 'agent_id')}/settings", 307)


async def update_agent(request: Request) -> Response:
    """Update an agent."""
    form = await forms.read_form(request)
    member, agent_id = current_member(request), forms.path_id(request, "agent_id")
    with form.catch_errors():
        fields = form.parse(AgentEditForm)
        async with open_transaction(request) as session:
            agent, _boards = await agents.lock_agent(
                session, member, agent_id, other_board_id=fields.board_id
            )
            fields = fields.without(check_edit(form, list_edited_fields(agent)))
            await agents.update_agent(session, member, agent.id, fields.to_fields(agent))
        return forms.redirect_saved(f"/agents/{agent.id}/settings", reader_zone.get())
    if form.conflicts:
        return await _render_conflict(request, form)
    return await _render_settings(request, form)


async def preview_update(request: Request) -> Response:
    """Show what the form of an agent will change; nothing is saved."""
    allow_repetition(request)
    form, member = await forms.read_form(request), current_member(request)
    changes = None
    async with open_reader(request) as source:
        agent_id = forms.path_id(request, "agent_id")
        agent = await sync.get_editable_agent(source, member, agent_id)
        with form.catch_errors():
            fields = form.parse(AgentEditForm)
            fields = fields.without(check_edit(form, list_edited_fields(agent)))
            changes = await sync.preview_agent_update(
                source, member, agent, fields.to_fields(agent)
            )
    if is_part_request(request):
        return _render_config_change(request, form, changes, agent)
    return await _render_settings(request, form, changes)


async def _render_settings(
    request: Request,
    form: forms.Form,
    config_changes: Sequence[AgentConfigChange] | None = None,
) -> Response:
    """Render the form that changes an agent, with its token and removal.

    `config_changes` are those of submitted values, as far as they are known.
    """
    member, agent_id = current_member(request), forms.path_id(request, "agent_id")
    async with open_reader(request) as source:
        agent = await agents.get_agent(source, member, agent_id)
        card = await load_card(request, source)
        gateway = (await gateways.load_agent_gateways(source, [agent])).get(agent.gateway_id)
    lifetimes = sorted({*identity.TOKEN_LIFETIMES, agent.token_days or 0} - {0})
    named = [(days, ngettext("%(num)d day", "%(num)d days", days)) for days in lifetimes]
    return await _render_agent_form(
        request,
        "agents/settings.html",
        form,
        config_changes if form.is_submitted else (),
        list_edited_fields(agent),
        agent=agent,
        progress=build_progress(agent, gateway),
        token_lifetimes=[(0, _("No expiry")), *named],
        saved=forms.read_saved_time(request),
        **tab_context(card, "settings"),
    )


async def _render_conflict(request: Request, form: forms.Form) -> Response:
    """Render both versions of the fields that the user and somebody else have changed."""
    async with open_reader(request) as source:
        member = current_member(request)
        agent = await agents.get_agent(source, member, forms.path_id(request, "agent_id"))
        board_ids = [*form.selected("board_id"), agent.board_id]
        names = await load_value_names(source, member, PickerKind.CHANGEABLE_BOARDS, board_ids)
    about = ConflictContext(
        title=agent.name,
        back=f"/agents/{agent.id}/settings",
        organization_id=agent.organization_id,
        object_id=agent.id,
        names={
            **list_profile_options({}),
            "board_id": names,
        },
    )
    return await render_conflict(request, form, about)


class AgentTokenForm(BaseModel):
    """The lifetime of a new token in days (0: without an end), and whether older ones end now.

    With a client, the page that connects it shows the token.
    """

    days: int | None = None
    ends_old: forms.Switch = False
    client: Annotated[CodingClient | None, BlankToNone] = None


async def issue_token(request: Request) -> Response:
    """Issue a new token for an agent, and redirect to the page that shows it once.

    With `ends_old` the older tokens end now. The token of an agent on a gateway is written there
    and never shown.
    """
    agent_id = forms.path_id(request, "agent_id")
    form = await forms.read_form(request)
    fields = form.parse(AgentTokenForm)
    async with open_transaction(request) as session:
        agent, token = await agents.issue_token(
            session,
            current_member(request),
            agent_id,
            days=fields.days,
            ends_old=fields.ends_old,
        )
    return _redirect_with_token(request, agent, token, fields.client)


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
    agent = agent_setup.card.agent
    context = setup_context(agent_setup, f"/agents/{agent.id}/calls")
    if is_part_request(request):
        return render_part(request, "agents/_first_call_status.html", **context)
    if agent.desired_state is not None:  # a gateway provisions it
        response: Response = RedirectResponse(f"/agents/{agent.id}", 303)
    else:
        layout = await load_layout(request)
        response = render_page(request, "agents/first_call.html", layout=layout, **context)
    return flash_cookies.forget_secret(request, response)


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
