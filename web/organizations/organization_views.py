"""The page of the organization itself: its name, others of the user, leaving, and deletion."""

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from core.errors import Invalid
from core.http.request import open_reader, open_transaction
from models import Role
from services import organizations
from web.auth.viewer import current_member
from web.organizations.forms import ROLE_NAMES, AppointmentForm, OrganizationNameForm
from web.ui import forms, time_format
from web.ui.edit_conflicts import ConflictContext, render_conflict
from web.ui.edited_fields import EditedField, FieldKind, check_edit
from web.ui.flash_cookies import redirect_deleted, redirect_with_notice
from web.ui.layout import load_layout
from web.ui.render import render_page
from web.ui.translation import N_, _, translate


async def show_organization(request: Request) -> Response:
    """Show the organization, and the others of the user."""
    return await _render_organization(request, forms.Form(), "")


async def rename_organization(request: Request) -> Response:
    """Rename the organization."""
    form, member = await forms.read_form(request), current_member(request)
    with form.catch_errors():
        name = form.parse(OrganizationNameForm).name
        async with open_transaction(request) as session:
            organization = await organizations.lock_organization(session, member)
            edited = EditedField("name", N_("Name"), organization.name, FieldKind.LINE)
            if not check_edit(form, [edited]):
                await organizations.rename_organization(session, member, name=name)
        zone = time_format.get_time_zone(request.user.timezone)
        return forms.redirect_saved("/organization/about#name", zone)
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
        is_on = form.parse(AppointmentForm).only_owners
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
        name = form.parse(OrganizationNameForm).name
        async with open_transaction(request) as session:
            await organizations.create_organization(session, request.user, name=name)
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
            reason = _("This is not the name of the organization.")
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
