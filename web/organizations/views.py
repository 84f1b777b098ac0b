"""Pages of an organization: members and invites, and stopping all agents."""

from typing import Any, Literal
from uuid import UUID

from pydantic import BaseModel
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from core.errors import Invalid
from core.http.request import get_settings, open_transaction
from core.paging import Paging
from models import Role
from services import boards, organizations
from services.organizations import AccessRights, AgentStop, BoardGrant, InviteDraft
from web.auth.link_secrets import build_link
from web.auth.viewer import current_member
from web.ui import forms, one_time_secret
from web.ui.layout import load_layout
from web.ui.render import is_part_request, redirect_to_page, render_page, render_part


class InviteForm(BaseModel):
    """An invite: address, role, and access to boards."""

    invited_email: forms.Line
    role: Role
    access: Literal["read", "write", "named"]
    reads: list[UUID] = []
    changes: list[UUID] = []

    def to_draft(self) -> InviteDraft:
        """Return the invite to create. Write access to a board includes read access."""
        grants = [BoardGrant(id, can_write=True) for id in self.changes]
        grants += [BoardGrant(id) for id in self.reads if id not in self.changes]
        named = grants if self.access == "named" else []
        rights = AccessRights(self.access != "named", self.access == "write", named)
        return InviteDraft(self.invited_email, self.role, rights)


class RoleForm(BaseModel):
    """The role of a member."""

    role: Role


async def show_people(request: Request) -> Response:
    """Show the members and the pending invites."""
    return await _render_people(request, forms.Form())


async def create_invite(request: Request) -> Response:
    """Create an invite, and redirect to the page that shows its link once."""
    form = await forms.read_form(request)
    with form.catch_errors():
        draft = form.parse(InviteForm).to_draft()
        async with open_transaction(request) as session:
            _, token = await organizations.create_invite(
                session,
                current_member(request),
                draft,
                signed_in_at=request.auth.sign_in.authenticated_at,
            )
        return one_time_secret.redirect_with_secret(request, "/people", token)
    return await _render_people(request, form)


async def revoke_invite(request: Request) -> Response:
    """Revoke an invite."""
    async with open_transaction(request) as session:
        invite_id = forms.path_id(request, "invite_id")
        await organizations.revoke_invite(session, current_member(request), invite_id)
    return RedirectResponse("/people", 303)


async def remove_member(request: Request) -> Response:
    """Remove a member."""
    async with open_transaction(request) as session:
        member_id = forms.path_id(request, "member_id")
        member = await organizations.lock_member(session, current_member(request), member_id)
        signed_in_at = request.auth.sign_in.authenticated_at
        await organizations.remove_member(session, member, signed_in_at=signed_in_at)
    return RedirectResponse("/people", 303)


async def change_role(request: Request) -> Response:
    """Change the role of a member."""
    role = (await forms.read_form(request)).parse(RoleForm).role
    async with open_transaction(request) as session:
        member_id = forms.path_id(request, "member_id")
        member = await organizations.lock_member(session, current_member(request), member_id)
        signed_in_at = request.auth.sign_in.authenticated_at
        await organizations.change_member_role(session, member, role, signed_in_at=signed_in_at)
    return RedirectResponse("/people", 303)


async def delete_organization(request: Request) -> Response:
    """Delete the organization of the member, if its name was typed."""
    form, member = await forms.read_form(request), current_member(request)
    organizations.require_owner(member)
    with form.catch_errors():
        if form.value("organization_name").strip() != member.organization.name:
            reason = "This is not the name of the organization."
            raise Invalid("name_differs", reason, field="organization_name")
        async with open_transaction(request) as session:
            signed_in_at = request.auth.sign_in.authenticated_at
            await organizations.delete_organization(session, member, signed_in_at=signed_in_at)
        return RedirectResponse("/", 303)
    return await _render_people(request, form)


async def _render_people(request: Request, form: forms.Form) -> Response:
    member, token = current_member(request), one_time_secret.read_secret(request)
    organizations.require_admin(member)
    layout = await load_layout(request)
    async with open_transaction(request) as session:
        members = await organizations.list_members(session, member, Paging())
        invites = await organizations.list_pending_invites(session, member, Paging())
        readable = await boards.list_boards(session, member, Paging())
    context: dict[str, Any] = {
        "members": members,
        "invites": invites,
        "board_options": [(board.id, board.name) for board in readable.items],
        "role_options": [
            (role.value, role.value)
            for role in Role
            if role is not Role.OWNER or member.role is Role.OWNER
        ],
        "link": build_link(get_settings(request).base_url, "/invite", token) if token else "",
    }
    response = render_page(
        request, "people/index.html", layout=layout, status=form.status, form=form, **context
    )
    return one_time_secret.forget_secret(request, response)


class StopForm(BaseModel):
    """Why all agents are stopped."""

    reason: forms.OptionalLine = None


async def stop_agents(request: Request) -> Response:
    """Stop all agents of the organization."""
    fields = (await forms.read_form(request)).parse(StopForm)
    async with open_transaction(request) as session:
        stop = await organizations.stop_agents(
            session, current_member(request), reason=fields.reason
        )
    return await _render_stop(request, stop)


async def resume_agents(request: Request) -> Response:
    """Resume all agents of the organization."""
    async with open_transaction(request) as session:
        await organizations.resume_agents(session, current_member(request))
    return await _render_stop(request, None)


async def _render_stop(request: Request, stop: AgentStop | None) -> Response:
    if not is_part_request(request):
        return redirect_to_page(request, "agents")
    layout = await load_layout(request)
    return render_part(request, "_stop_banner.html", agent_stop=stop, viewer=layout)
