"""Who belongs to the organization and who is invited, for those who look after it."""

from typing import Any, Literal
from uuid import UUID

from pydantic import BaseModel
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from kit.http import settings_of, transaction
from kit.paging import Paging
from models import Role
from services import boards, organizations
from services.organizations import Grant, InviteDraft, Rights
from web import forms
from web import frame as frames
from web.auth import member_of
from web.html import page


class Invitation(BaseModel):
    """Whom somebody wants to invite, as what, and to which boards."""

    invited_email: forms.Line
    role: Role
    access: Literal["read", "write", "named"]
    reads: list[UUID] = []
    changes: list[UUID] = []

    def draft(self) -> InviteDraft:
        """Return the invitation that is wanted. Who may change a board may read it."""
        grants = [Grant(id, can_write=True) for id in self.changes]
        grants += [Grant(id) for id in self.reads if id not in self.changes]
        named = grants if self.access == "named" else []
        rights = Rights(self.access != "named", self.access == "write", named)
        return InviteDraft(self.invited_email, self.role, rights)


async def index(request: Request) -> Response:
    """Show who belongs here, and who is invited."""
    return await _show(request, forms.Form())


async def invite(request: Request) -> Response:
    """Invite somebody, and show the link: now, and never again."""
    form = await forms.read(request)
    with form.refusals():
        draft = form.into(Invitation).draft()
        async with transaction(request) as session:
            _, token = await organizations.invite(session, member_of(request), draft)
        return await _show(request, forms.Form(), link=token)
    return await _show(request, form)


async def withdraw(request: Request) -> Response:
    """Withdraw an invitation."""
    async with transaction(request) as session:
        invite_id: UUID = request.path_params["invite_id"]
        await organizations.revoke_invite(session, member_of(request), invite_id)
    return RedirectResponse("/people", 303)


async def remove(request: Request) -> Response:
    """Let a member go."""
    async with transaction(request) as session:
        member_id: UUID = request.path_params["member_id"]
        held = await organizations.hold_member(session, member_of(request), member_id)
        await organizations.remove(session, held)
    return RedirectResponse("/people", 303)


async def _show(request: Request, form: forms.Form, *, link: str = "") -> Response:
    member = member_of(request)
    organizations.require_admin(member)
    frame = await frames.load(request)
    async with transaction(request) as session:
        members = await organizations.members(session, member, Paging())
        invites = await organizations.pending_invites(session, member, Paging())
        read = await boards.listed(session, member, Paging())
    found: dict[str, Any] = {
        "members": members,
        "invites": invites,
        "boards": [(one.id, one.name) for one in read.items],
        "roles": [
            (role.value, role.value)
            for role in Role
            if role is not Role.OWNER or member.role is Role.OWNER
        ],
        "link": f"{settings_of(request).base_url}/invite?token={link}" if link else "",
    }
    return page(request, "people/index.html", frame=frame, status=form.status, form=form, **found)
