"""Edits of an agent on its form."""

from starlette.requests import Request
from starlette.responses import Response

from core.http.request import open_reader, open_transaction
from services import agents
from web.agents.forms import AgentEditForm, list_edited_fields
from web.agents.presenter import list_profile_options
from web.agents.tab_views import render_settings
from web.agents.views import list_board_options
from web.auth.viewer import current_member
from web.ui import forms
from web.ui.edit_conflicts import ConflictContext, render_conflict
from web.ui.edited_fields import check_edit
from web.ui.time_format import reader_zone


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
            untouched = check_edit(form, list_edited_fields(agent))
            changes = fields.to_changes(agent, untouched)
            await agents.update_agent(session, member, agent.id, changes)
        return forms.redirect_saved(f"/agents/{agent.id}/settings", reader_zone.get())
    if form.conflicts:
        return await _render_conflict(request, form)
    return await render_settings(request, form)


async def _render_conflict(request: Request, form: forms.Form) -> Response:
    """Render both versions of the fields that the user and somebody else have changed."""
    async with open_reader(request) as source:
        member = current_member(request)
        agent = await agents.get_agent(source, member, forms.path_id(request, "agent_id"))
        board_options = await list_board_options(request, source)
    options = list_profile_options()
    about = ConflictContext(
        title=agent.name,
        back=f"/agents/{agent.id}/settings",
        organization_id=agent.organization_id,
        object_id=agent.id,
        names={
            "every": dict(options["heartbeat_options"]),
            "emoji": dict(options["emoji_options"]),
            "board_id": {str(id): name for id, name in board_options},
        },
    )
    return await render_conflict(request, form, about)
