"""The page on which users delete their own account."""

from collections.abc import Sequence

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from core.errors import Conflict, Invalid
from core.http.request import STATUS_CODES, open_reader, open_transaction
from models import User
from services import identity, organizations
from services.identity import MembershipSummary
from web.auth.viewer import clear_session_cookie
from web.ui import forms
from web.ui.layout import load_layout
from web.ui.render import render_page
from web.ui.translation import _


async def show_account(request: Request) -> Response:
    """Show what is deleted with the account, or what has to be done before."""
    return await _render_account(request, forms.Form())


async def delete_account(request: Request) -> Response:
    """Delete the account if its address was typed, and redirect to a page that says so.

    Raises RecentSignInRequired.
    """
    form = await forms.read_form(request)
    with form.catch_errors():
        if form.value("confirmation").strip().casefold() != confirmation_text(request.user):
            reason = _("This does not match. Type it as it is shown.")
            raise Invalid("confirmation_differs", reason, field="confirmation")
        organizations.require_recent_sign_in(request.auth.sign_in.authenticated_at)
        async with open_transaction(request) as session:
            await identity.delete_account(session, request.user)
        return clear_session_cookie(request, RedirectResponse("/account-deleted", 303))
    return await _render_account(request, form)


async def show_deleted_account(request: Request) -> Response:
    """Show that the account was deleted."""
    return render_page(request, "settings/account_deleted.html")


def confirmation_text(user: User) -> str:
    """Return what a user types to confirm: their address, or their name without one."""
    return (user.email or user.display_name).strip().casefold()


async def _render_account(request: Request, form: forms.Form) -> Response:
    layout = await load_layout(request)
    async with open_reader(request) as source:
        memberships = await identity.list_membership_summaries(source, request.user)
    ownerless = find_ownerless(memberships)
    if form.code == "last_owner":
        form.status, form.problem = STATUS_CODES[Conflict], ""
    return render_page(
        request,
        "settings/account.html",
        layout=layout,
        status=form.status,
        form=form,
        ownerless=ownerless,
        deleted=[one for one in memberships if not one.others],
        left=[one for one in memberships if one.others],
        confirmation=request.user.email or request.user.display_name,
    )


def find_ownerless(memberships: Sequence[MembershipSummary]) -> list[MembershipSummary]:
    """Return the organizations that would have members but no owner without the user."""
    return [one for one in memberships if one.others and one.is_owner and not one.other_owners]
