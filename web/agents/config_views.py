"""What the forms of agents change in the configurations of gateways, before they are saved."""

from collections.abc import Sequence

from starlette.requests import Request
from starlette.responses import Response

from core.http.request import open_reader
from models import Agent
from services import organizations
from services.gateways import sync
from services.gateways.sync import AgentConfigChange
from web.agents.forms import AgentEditForm, NewAgentForm, list_edited_fields
from web.agents.presenter import config_context
from web.agents.tab_views import render_settings
from web.agents.views import render_new_form
from web.auth.viewer import current_member
from web.ui import forms
from web.ui.edited_fields import check_edit
from web.ui.posted_forms import allow_repetition
from web.ui.render import is_part_request, render_part


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
                source,
                member,
                fields.board_id,
                fields.to_draft(),
                is_board_lead=fields.kind == "lead",
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
            untouched = check_edit(form, list_edited_fields(agent))
            changes = await sync.preview_agent_update(
                source, member, agent, fields.to_changes(agent, untouched)
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
