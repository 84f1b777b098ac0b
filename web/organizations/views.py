"""Pages of an organization: members and invites, and the first steps of an admin."""

from typing import Any, Literal
from uuid import UUID

from pydantic import BaseModel
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from core.errors import Invalid
from core.http.request import Session, get_settings, open_transaction
from core.paging import Paging
from models import Board, Member, Role
from services import agents, boards, organizations
from services.organizations import AccessRights, AgentStop, BoardGrant, InviteDraft
from web.agents import setup, views
from web.agents.forms import NewAgentForm
from web.agents.setup import AgentSetup
from web.auth.link_secrets import build_link
from web.auth.viewer import Viewer, current_member
from web.boards.forms import BOARD_RULES, NewBoardForm
from web.ui import forms
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
    """Create an invite, and show its link once."""
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
        return await _render_people(request, forms.Form(), link=token)
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


async def _render_people(request: Request, form: forms.Form, *, link: str = "") -> Response:
    member = current_member(request)
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
        "link": build_link(get_settings(request).base_url, "/invite", link) if link else "",
    }
    return render_page(
        request, "people/index.html", layout=layout, status=form.status, form=form, **context
    )


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


WELCOME_STEPS = ("organization", "board", "agent", "call")


class OrganizationNameForm(BaseModel):
    """The name of the organization."""

    name: forms.Line


async def show_welcome(request: Request) -> Response:
    """Show the first open step; with `?step=organization` the first step again."""
    _require_admin(request)
    requested = request.query_params.get("step")
    step = "organization" if requested == "organization" else await _find_next_step(request)
    if step == "call":
        return RedirectResponse(f"/welcome/agents/{await _first_agent_id(request)}", 303)
    if step is None:
        return RedirectResponse("/boards", 303)
    return await _render_step(request, step, forms.Form())


async def name_organization(request: Request) -> Response:
    """Create the organization of the user, or rename the active one."""
    _require_admin(request)
    form = await forms.read_form(request)
    member = _find_member(request)
    with form.catch_errors():
        fields = form.parse(OrganizationNameForm)
        async with open_transaction(request) as session:
            if member is None:
                await organizations.create_organization(session, request.user, name=fields.name)
            else:
                await organizations.rename_organization(session, member, name=fields.name)
        return RedirectResponse("/welcome", 303)
    return await _render_step(request, "organization", form)


async def create_first_board(request: Request) -> Response:
    """Create the first board."""
    _require_admin(request)
    form = await forms.read_form(request)
    member = _find_member(request)
    if member is None:
        return RedirectResponse("/welcome", 303)
    with form.catch_errors():
        fields = form.parse(NewBoardForm)
        async with open_transaction(request) as session:
            await boards.create_board(session, member, fields.to_draft())
        return RedirectResponse("/welcome", 303)
    return await _render_step(request, "board", form)


async def create_first_agent(request: Request) -> Response:
    """Create the first agent, and show its token once."""
    _require_admin(request)
    form = await forms.read_form(request)
    member = _find_member(request)
    if member is None:
        return RedirectResponse("/welcome", 303)
    with form.catch_errors():
        fields = form.parse(NewAgentForm)
        async with open_transaction(request) as session:
            agent_setup = await setup.create_agent(session, member, fields, get_settings(request))
        return await _render_first_call(request, agent_setup)
    return await _render_step(request, "agent", form)


async def show_first_call(request: Request) -> Response:
    """Wait for the first call of an agent; for htmx only whether it has called."""
    _require_admin(request)
    member = _find_member(request)
    if member is None:
        return RedirectResponse("/welcome", 303)
    async with open_transaction(request) as session:
        agent_setup = await setup.load_agent_setup(
            session, member, forms.path_id(request, "agent_id"), get_settings(request)
        )
    if is_part_request(request):
        return views.render_first_call_status(request, agent_setup, _first_call_path(agent_setup))
    return await _render_first_call(request, agent_setup)


async def _find_next_step(request: Request) -> str | None:
    """Return the first open step, or None."""
    member = _find_member(request)
    if member is None:
        return "organization"
    async with open_transaction(request) as session:
        if await _find_first_board(session, member) is None:
            return "board"
        cards = await agents.list_agent_cards(session, member)
    if not cards:
        return "agent"
    return None if any(card.agent.last_seen_at for card in cards) else "call"


async def _first_agent_id(request: Request) -> UUID:
    member = _find_member(request)
    assert member is not None
    async with open_transaction(request) as session:
        cards = await agents.list_agent_cards(session, member)
    return cards[0].agent.id


async def _find_first_board(session: Session, member: Member) -> Board | None:
    summaries = await boards.list_board_summaries(session, member)
    return next((summary.board for summary in summaries if summary.can_write), None)


async def _render_step(request: Request, step: str, form: forms.Form) -> Response:
    member = _find_member(request)
    board = None
    if member is not None:
        async with open_transaction(request) as session:
            board = await _find_first_board(session, member)
    if step == "agent" and board is None:
        step = "board"
    return await _render_welcome(request, step, board, form=form, rules=BOARD_RULES)


async def _render_first_call(request: Request, agent_setup: AgentSetup) -> Response:
    more = setup.setup_context(agent_setup, _first_call_path(agent_setup))
    return await _render_welcome(request, "call", **more)


async def _render_welcome(
    request: Request, step: str, board: Board | None, **more: Any
) -> Response:
    member = _find_member(request)
    return render_page(
        request,
        "welcome/show.html",
        layout=None if member is None else await load_layout(request),
        status=more["form"].status if "form" in more else 200,
        steps=WELCOME_STEPS,
        step=step,
        organization=member.organization if member else None,
        board=board,
        **more,
    )


def _first_call_path(agent_setup: AgentSetup) -> str:
    return f"/welcome/agents/{agent_setup.card.agent.id}"


def _find_member(request: Request) -> Member | None:
    viewer: Viewer = request.auth
    return viewer.member


def _require_admin(request: Request) -> None:
    """Raise Forbidden for a member who is not an admin."""
    member = _find_member(request)
    if member is not None:
        organizations.require_admin(member)
