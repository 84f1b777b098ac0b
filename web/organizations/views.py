"""The people of an organization, invitations, the organization itself, and stopping all agents."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from uuid import UUID

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from core.clock import now
from core.errors import Invalid
from core.http.request import get_settings, open_reader, open_transaction
from core.paging import Paging
from models import Role
from services import identity, organizations
from services.organizations import (
    AgentStop,
    InviteCreate,
    InviteDetail,
    Invitee,
    MemberUpdate,
    OrganizationCreate,
)
from web.auth.viewer import current_member
from web.organizations import access
from web.organizations.access import ROLE_NAMES, build_access_field
from web.ui import flash_cookies, forms, time_format
from web.ui.edit_conflicts import ConflictContext, render_conflict
from web.ui.edited_fields import check_edit
from web.ui.flash_cookies import redirect_deleted, redirect_with_notice
from web.ui.layout import load_layout
from web.ui.object_forms import build_form_fields, list_edited_fields
from web.ui.render import (
    forbid_storage,
    is_part_request,
    redirect_to_page,
    render_page,
    render_part,
)
from web.ui.translation import N_, _, translate

PAGE_SIZE = 50  # members


async def redirect_to_people(request: Request) -> Response:
    """Redirect from the address of the organization to its people."""
    return RedirectResponse("/people", 303)


async def show_people(request: Request) -> Response:
    """Show the members, and to admins the pending invites, and the link of a new one once."""
    member, offset = current_member(request), forms.parse_offset(request.query_params)
    token, _, invited_email = (flash_cookies.read_secret(request) or "").partition(" ")
    layout = await load_layout(request)
    async with open_reader(request) as source:
        found = await organizations.list_members(source, member, Paging(PAGE_SIZE, offset))
        tab_counts = await organizations.count_sections(source, member)
        invites: Sequence[InviteDetail] = []
        names: Mapping[UUID, str] = {}
        last_active: Mapping[UUID, datetime] = {}
        if member.is_admin:
            pending = await organizations.list_pending_invites(source, member, Paging())
            invites = await organizations.load_invite_details(source, pending.items)
            grants = [one.board_access for one in [*found.items, *invites]]
            described = access.list_described_boards(grants)
            names = await organizations.list_board_names(source, member, described)
            members = [one.member for one in found.items]
            last_active = await organizations.list_last_active(source, members)
    response = render_page(
        request,
        "people/index.html",
        layout=layout,
        members=found,
        rows=access.build_member_rows(member, found.items, names, last_active),
        invites=invites,
        page_size=PAGE_SIZE,
        tab_counts=tab_counts,
        role_names={role: translate(name) for role, name in ROLE_NAMES.items()},
        describe_invite=lambda one: access.describe_access(one.invite, one.board_access, names),
        now=now(),
        link=_build_invite_link(request, token) if token else "",
        invited_email=invited_email,
    )
    return flash_cookies.forget_secret(request, response)


async def stop_agents(request: Request) -> Response:
    """Stop all agents of the organization."""
    fields = (await forms.read_form(request)).parse(organizations.AgentStopCreate)
    async with open_transaction(request) as session:
        stop = await organizations.stop_agents(session, current_member(request), fields)
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


async def show_member(request: Request) -> Response:
    """Show a member with role and access to boards."""
    return await _render_member(request, forms.Form(), "")


async def change_role(request: Request) -> Response:
    """Change the role of a member."""
    form = await forms.read_form(request)
    member_id = forms.path_id(request, "member_id")
    with form.catch_errors():
        async with open_transaction(request) as session:
            locked = await organizations.lock_member(session, current_member(request), member_id)
            signed_in_at = request.auth.sign_in.authenticated_at
            role = form.parse(MemberUpdate).changes().get("role", locked.member.role)
            await organizations.change_member_role(session, locked, role, signed_in_at=signed_in_at)
        return _redirect_saved(request, "role")
    return await _render_member(request, form, "role")


async def change_access(request: Request) -> Response:
    """Replace the rights of a member on boards."""
    form = await forms.read_form(request)
    member_id = forms.path_id(request, "member_id")
    with form.catch_errors():
        async with open_transaction(request) as session:
            locked = await organizations.lock_member(session, current_member(request), member_id)
            detail = await organizations.get_member(session, locked.by, member_id)
            rights = access.parse_access_rights(form)
            if not check_edit(form, [build_access_field(detail)]):
                await organizations.change_member_rights(session, locked, rights)
        return _redirect_saved(request, "access")
    if form.conflicts:
        return await _render_access_conflict(request, form)
    return await _render_member(request, form, "access")


async def _render_access_conflict(request: Request, form: forms.Form) -> Response:
    """Render the submitted and the current rights, with the names of boards."""
    viewer, member_id = current_member(request), forms.path_id(request, "member_id")
    async with open_reader(request) as source:
        detail = await organizations.get_member(source, viewer, member_id)
        rights = access.parse_access_rights(form)
        ids = {one.board_id for one in [*detail.board_access, *rights.board_access]}
        names = await organizations.list_board_names(source, viewer, ids)
    about = ConflictContext(
        title=detail.member.user.display_name,
        back=f"/people/{member_id}#access",
        organization_id=viewer.organization_id,
        object_id=detail.member.user_id,
        names={"access": access.name_access_values(names)},
    )
    return await render_conflict(request, form, about)


async def remove_member(request: Request) -> Response:
    """Remove a member."""
    async with open_transaction(request) as session:
        member_id = forms.path_id(request, "member_id")
        member = await organizations.lock_member(session, current_member(request), member_id)
        signed_in_at = request.auth.sign_in.authenticated_at
        await organizations.remove_member(session, member, signed_in_at=signed_in_at)
    text = _("Removed %(name)s from the organization", name=member.member.user.display_name)
    return redirect_with_notice(request, "/people", text)


async def end_sessions(request: Request) -> Response:
    """End all sessions of a member."""
    member_id = forms.path_id(request, "member_id")
    async with open_transaction(request) as session:
        locked = await organizations.lock_member(session, current_member(request), member_id)
        await identity.end_member_sessions(session, locked)
    text = _("%(name)s is signed out in all browsers", name=locked.member.user.display_name)
    return redirect_with_notice(request, f"/people/{member_id}#sessions", text)


async def show_invite_form(request: Request) -> Response:
    """Show the form that invites a person."""
    return await _render_invite_form(request, forms.Form())


async def create_invite(request: Request) -> Response:
    """Create an invite, and redirect to the page that shows its link once; a dialog shows it."""
    form, member = await forms.read_form(request), current_member(request)
    organizations.require_admin(member)
    with form.catch_errors():
        invitee = form.parse(Invitee)
        fields = InviteCreate.parse({**dict(invitee), **dict(access.parse_invited_rights(form))})
        async with open_transaction(request) as session:
            signed_in_at = request.auth.sign_in.authenticated_at
            invite, token = await organizations.create_invite(
                session, member, fields, signed_in_at=signed_in_at
            )
        return _show_invite_link(request, invite.invited_email, token)
    return await _render_invite_form(request, form)


async def renew_invite(request: Request) -> Response:
    """Replace the link of an invite; it is shown once like that of a new invite."""
    async with open_transaction(request) as session:
        invite_id = forms.path_id(request, "invite_id")
        signed_in_at = request.auth.sign_in.authenticated_at
        invite, token = await organizations.renew_invite(
            session, current_member(request), invite_id, signed_in_at=signed_in_at
        )
    return _show_invite_link(request, invite.invited_email, token)


async def revoke_invite(request: Request) -> Response:
    """Revoke an invite."""
    async with open_transaction(request) as session:
        invite_id = forms.path_id(request, "invite_id")
        invite = await organizations.revoke_invite(session, current_member(request), invite_id)
    text = _("Revoked the invitation of %(email)s", email=invite.invited_email)
    return redirect_with_notice(request, "/people", text)


def _redirect_saved(request: Request, section: str) -> Response:
    path = f"/people/{forms.path_id(request, 'member_id')}#{section}"
    return forms.redirect_saved(path, time_format.get_time_zone(request.user.timezone))


async def _render_member(request: Request, form: forms.Form, section: str) -> Response:
    viewer, member_id = current_member(request), forms.path_id(request, "member_id")
    layout = await load_layout(request)
    async with open_reader(request) as source:
        detail = await organizations.get_member(source, viewer, member_id)
        owners = await organizations.count_owners(source, viewer)
        last_active = await organizations.list_last_active(source, [detail.member])
        boards = await access.load_access_fields(
            source,
            viewer,
            form if section == "access" else forms.Form(),
            detail,
            shows_all="all" in request.query_params,
        )
    member = detail.member
    return render_page(
        request,
        "people/member.html",
        layout=layout,
        status=form.status,
        member=member,
        boards=boards,
        shown_access={"access": build_access_field(detail).value},
        last_active=last_active.get(member.id),
        reason=access.explain_fixed_role(viewer, member, owners=owners),
        may_manage=access.may_manage(viewer, member),
        role_name=translate(ROLE_NAMES[member.role]),
        role_options=access.list_role_options(viewer, member.role),
        form=form,
        blank=forms.Form(),
        section=section,
        saved=forms.read_saved_time(request),
    )


async def _render_invite_form(request: Request, form: forms.Form) -> Response:
    """Render the page with the form; for htmx the content of its dialog."""
    viewer = current_member(request)
    organizations.require_admin(viewer)
    layout = None if is_part_request(request) else await load_layout(request)
    async with open_reader(request) as source:
        boards = await access.load_access_fields(source, viewer, form)
    context = {
        "boards": boards,
        "role_options": access.list_role_options(viewer),
        "form": form,
        "fields": build_form_fields(form, Invitee),
    }
    if layout is None:
        template = "people/_invite_dialog.html"
        return render_part(request, template, form.status, link="", **context)
    template = "people/new_invite.html"
    return render_page(request, template, layout=layout, status=form.status, **context)


def _show_invite_link(request: Request, invited_email: str, token: str) -> Response:
    """Render the link of an invite in the dialog, and reload the list; without htmx, redirect."""
    if not is_part_request(request):
        return flash_cookies.redirect_with_secret(request, "/people", f"{token} {invited_email}")
    response = render_part(
        request,
        "people/_invite_dialog.html",
        link=_build_invite_link(request, token),
        invited_email=invited_email,
    )
    response.headers["HX-Trigger"] = "members"
    return forbid_storage(response)


def _build_invite_link(request: Request, token: str) -> str:
    return f"{get_settings(request).base_url}/invite#{token}"


async def show_organization(request: Request) -> Response:
    """Show the organization, and the others of the user."""
    return await _render_organization(request, forms.Form(), "")


async def rename_organization(request: Request) -> Response:
    """Rename the organization."""
    form, member = await forms.read_form(request), current_member(request)
    with form.catch_errors():
        fields = form.parse(OrganizationCreate)
        async with open_transaction(request) as session:
            organization = await organizations.lock_organization(session, member)
            if not check_edit(form, list_edited_fields(OrganizationCreate, organization)):
                await organizations.rename_organization(session, member, fields)
        zone = time_format.get_time_zone(request.user.timezone)
        return forms.redirect_saved("/organization/about", zone)
    if form.conflicts:
        id = member.organization_id
        about = ConflictContext(_("Organization"), "/organization/about#name", "", id, id)
        return await render_conflict(request, form, about)
    return await _render_organization(request, form, "name")


async def change_admin_appointments(request: Request) -> Response:
    """Decide whether only owners appoint admins."""
    form, member = await forms.read_form(request), current_member(request)
    organizations.require_owner(member)
    with form.catch_errors():
        is_on = form.is_on("only_owners")
        async with open_transaction(request) as session:
            signed_in_at = request.auth.sign_in.authenticated_at
            await organizations.set_only_owners_appoint_admins(
                session, member, is_on, signed_in_at=signed_in_at
            )
        zone = time_format.get_time_zone(request.user.timezone)
        return forms.redirect_saved("/organization/about#admins", zone)
    return await _render_organization(request, form, "admins")


async def create_organization(request: Request) -> Response:
    """Create another organization, in which the user works from now on, and redirect to its setup.

    Its first step that is open is the first board.
    """
    form = await forms.read_form(request)
    with form.catch_errors():
        fields = form.parse(OrganizationCreate)
        async with open_transaction(request) as session:
            await organizations.create_organization(session, request.user, fields)
        return RedirectResponse("/welcome", 303)
    return await _render_organization(request, form, "new")


async def leave_organization(request: Request) -> Response:
    """End the membership of the user, who then works in their oldest other organization."""
    form, member = await forms.read_form(request), current_member(request)
    with form.catch_errors():
        async with open_transaction(request) as session:
            await organizations.leave_organization(
                session,
                member,
                signed_in_at=request.auth.sign_in.authenticated_at,
            )
        text = _("You have left %(name)s", name=member.organization.name)
        return redirect_with_notice(request, "/", text)
    return await _render_organization(request, form, "leave")


async def delete_organization(request: Request) -> Response:
    """Delete the organization of the member, if its name was typed."""
    form, member = await forms.read_form(request), current_member(request)
    organizations.require_owner(member)
    with form.catch_errors():
        if form.value("organization_name").strip() != member.organization.name.strip():
            reason = N_("This is not the name of the organization.")
            raise Invalid("name_differs", reason, field="organization_name")
        async with open_transaction(request) as session:
            signed_in_at = request.auth.sign_in.authenticated_at
            await organizations.delete_organization(session, member, signed_in_at=signed_in_at)
        return redirect_deleted(request, "/", member.organization.name)
    return await _render_organization(request, form, "delete")


async def _render_organization(request: Request, form: forms.Form, section: str) -> Response:
    member = current_member(request)
    layout = await load_layout(request)
    async with open_reader(request) as source:
        memberships = await organizations.list_memberships(source, request.user)
        owners = await organizations.count_owners(source, member)
        contents = await organizations.count_contents(source, member)
        tab_counts = await organizations.count_sections(source, member)
    return render_page(
        request,
        "people/organization.html",
        layout=layout,
        status=form.status,
        organization=member.organization,
        memberships=memberships,
        role_names={role: translate(name) for role, name in ROLE_NAMES.items()},
        contents=contents,
        tab_counts=tab_counts,
        is_only_owner=member.role is Role.OWNER and owners == 1,
        form=form,
        blank=forms.Form(),
        section=section,
        saved=forms.read_saved_time(request),
    )
