"""The tabs of an agent's page: what it does now, its runs, messages and settings.

Before settings are saved, the page shows what they change in the configuration of a gateway.

Files and the soul are in `file_views`.
"""

from collections.abc import Sequence
from typing import Any

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from core.clock import now
from core.db.reads import Source
from core.http.request import get_settings, open_reader, open_transaction
from core.paging import Paging
from models import Agent
from services import activity, agents, gateways, identity, messages, organizations
from services.activity import ActivityFilters
from services.agents import AgentCard
from services.gateways import files, runs, sync
from services.gateways.sync import AgentConfigChange
from services.notifications import OpenedPage
from web.activity.event_texts import describe_event
from web.agents import setup
from web.agents.forms import AgentEditForm, NewAgentForm, list_edited_fields
from web.agents.messages import load_messages
from web.agents.presenter import (
    config_context,
    describe_evidence,
    describe_run,
    format_duration,
    list_profile_options,
    load_agent_run,
)
from web.agents.provisioning import build_progress
from web.agents.views import list_writable_boards, render_agent_form, render_new_form
from web.auth.viewer import current_member
from web.notifications.views import mark_page_read
from web.ui import forms
from web.ui.edit_conflicts import ConflictContext, render_conflict
from web.ui.edited_fields import check_edit
from web.ui.layout import load_layout
from web.ui.list_addresses import parse_list_position
from web.ui.posted_forms import allow_repetition
from web.ui.render import is_part_request, render_page, render_part
from web.ui.time_format import reader_zone
from web.ui.translation import _, ngettext

RECENT_ENTRIES = 12  # entries of what an agent did
RUNS_PER_PAGE = 25


async def show_agent(request: Request) -> Response:
    """Show what an agent does now; for htmx only that."""
    agent_id, member = forms.path_id(request, "agent_id"), current_member(request)
    await mark_page_read(request, OpenedPage(agent_id=agent_id))
    layout = None if is_part_request(request) else await load_layout(request)
    async with open_reader(request) as source:
        card = await setup.load_agent_card(source, member, agent_id, get_settings(request))
        recent = await activity.list_member_activity(
            source,
            member,
            Paging(limit=RECENT_ENTRIES),
            ActivityFilters(agent_id=agent_id),
        )
        gateway = (await gateways.load_agent_gateways(source, [card.agent])).get(
            card.agent.gateway_id
        )
        run_context = await load_agent_run(source, member, card.agent)
    context: dict[str, Any] = tab_context(card, "now") | run_context
    context |= {"recent": recent.items, "describe_event": describe_event}
    context |= {
        "first_call_command": setup.build_curl_command(
            get_settings(request).base_url, "POST", "/heartbeat"
        ),
        "token_variable": setup.TOKEN_VARIABLE,
        "format_duration": format_duration,
    }
    context |= {"gateway": gateway, "progress": build_progress(card.agent, gateway)}
    if layout is None:
        return render_part(request, "agents/_overview.html", **context)
    return render_page(request, "agents/show.html", layout=layout, **context)


async def show_runs(request: Request) -> Response:
    """Show the runs of an agent; for htmx only the list."""
    layout = None if is_part_request(request) else await load_layout(request)
    offset = forms.parse_offset(request.query_params)
    async with open_reader(request) as source:
        card = await _load_card(request, source)
        page = await runs.list_agent_runs(
            source, card.agent, Paging(limit=RUNS_PER_PAGE, offset=offset)
        )
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
        card = await _load_card(request, source)
        context = await load_agent_run(source, current_member(request), card.agent)
    return render_part(request, "runs/_agent_run.html", **context)


async def show_messages(request: Request) -> Response:
    """Show the messages to an agent; for htmx only the list."""
    layout = None if is_part_request(request) else await load_layout(request)
    async with open_reader(request) as source:
        card = await _load_card(request, source)
        context = await load_messages(
            source, current_member(request), card.agent, request.query_params
        )
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


async def show_settings(request: Request) -> Response:
    """Show the settings of an agent: its form, token and removal."""
    return await render_settings(request, forms.Form())


async def redirect_to_settings(request: Request) -> Response:
    """Redirect the former address of the form."""
    return RedirectResponse(f"/agents/{forms.path_id(request, 'agent_id')}/settings", 307)


async def render_settings(
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
        card = await _load_card(request, source)
        gateway = (await gateways.load_agent_gateways(source, [agent])).get(agent.gateway_id)
    return await render_agent_form(
        request,
        "agents/settings.html",
        form,
        config_changes if form.is_submitted else (),
        list_edited_fields(agent),
        agent=agent,
        progress=build_progress(agent, gateway),
        token_lifetimes=_list_token_lifetimes(agent),
        saved=forms.read_saved_time(request),
        **tab_context(card, "settings"),
    )


def _list_token_lifetimes(agent: Agent) -> list[tuple[int, str]]:
    """Return the lifetimes of a token that can be chosen, in days, with the present one."""
    choices = sorted({*identity.TOKEN_LIFETIMES, agent.token_days or 0} - {0})
    named = [(days, ngettext("%(num)d day", "%(num)d days", days)) for days in choices]
    return [(0, _("No expiry")), *named]


def _describe_token_warning(agent: Agent) -> str:
    """Return "ends" if the newest token ends soon, "ended" if it has ended, and otherwise ""."""
    if not agents.is_token_ending(agent, now()):
        return ""
    has_ended = agent.token_expires_at is not None and agent.token_expires_at <= now()
    return "ended" if has_ended else "ends"


def tab_context(card: AgentCard, tab: str) -> dict[str, Any]:
    """Return what the header of an agent's page needs."""
    has_files = card.agent.gateway_id is not None and not card.agent.is_linked
    return {
        "card": card,
        "tab": tab,
        "file_count": len(files.FILE_NAMES) if has_files else 0,
        "describe_evidence": describe_evidence,
        "token_warning": _describe_token_warning(card.agent),
    }


async def _load_card(request: Request, source: Source) -> AgentCard:
    agent_id = forms.path_id(request, "agent_id")
    return await setup.load_agent_card(
        source, current_member(request), agent_id, get_settings(request)
    )


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
    return await render_settings(request, form)


async def _render_conflict(request: Request, form: forms.Form) -> Response:
    """Render both versions of the fields that the user and somebody else have changed."""
    async with open_reader(request) as source:
        member = current_member(request)
        agent = await agents.get_agent(source, member, forms.path_id(request, "agent_id"))
        found = await list_writable_boards(request, source)
    about = ConflictContext(
        title=agent.name,
        back=f"/agents/{agent.id}/settings",
        organization_id=agent.organization_id,
        object_id=agent.id,
        names={
            **list_profile_options({}),
            "board_id": {str(board.id): board.name for board in found},
        },
    )
    return await render_conflict(request, form, about)


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
        return _render_part(request, form, changes, None)
    return await render_new_form(request, form, changes)


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
        return _render_part(request, form, changes, agent)
    return await render_settings(request, form, changes)


def _render_part(
    request: Request,
    form: forms.Form,
    changes: Sequence[AgentConfigChange] | None,
    agent: Agent | None,
) -> Response:
    """Render the changes. With scripts the errors of an invalid form are shown when it is saved."""
    context = config_context(changes)
    return render_part(request, "agents/_config_change.html", form=form, agent=agent, **context)
