"""Sign in again: a user proves who they are before an operation of owners."""

from pydantic import BaseModel
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from core.http.request import get_settings, open_transaction
from services import identity
from web.auth.sign_in import record_failures, safe_next_path
from web.auth.viewer import credential_verifier, set_session_cookie
from web.ui import forms
from web.ui.render import render_page


class PasswordForm(BaseModel):
    """The password of the signed-in user."""

    password: forms.Secret


async def show_sign_in_again(request: Request) -> Response:
    """Show the form."""
    next = safe_next_path(request.query_params.get("next", ""))
    return _render_form(request, forms.Form(), next)


async def sign_in_again(request: Request) -> Response:
    """Verify the password, renew the session, and redirect to the page. Raises TooMany."""
    form = await forms.read_form(request)
    next = safe_next_path(form.value("next"))
    with form.catch_errors(beside="password"):
        secret = await _renew_session(request, form.parse(PasswordForm).password)
        return set_session_cookie(request, RedirectResponse(next, 303), secret)
    return _render_form(request, form, next)


async def _renew_session(request: Request, password: str) -> str:
    """Verify the password, and return the new secret of the session.

    Only wrong passwords count against the limit of the user. Raises Unauthorized and TooMany.
    """
    verifier = credential_verifier(request)
    async with (
        record_failures(request, request.user),
        verifier.password_attempt(request.user.id) as lane,
    ):
        async with open_transaction(request) as session:
            stored = await identity.get_stored_password(session, request.user)
        await verifier.verify_credentials(stored, password, lane=lane)
    async with open_transaction(request) as session:
        return await identity.renew_session(session, request.user, request.auth.sign_in.id)


def _render_form(request: Request, form: forms.Form, next: str) -> Response:
    settings = get_settings(request)
    return render_page(
        request,
        "sign_in/again.html",
        status=form.status,
        form=form,
        next=next,
        user=request.user,
        provider=settings.oidc_name if settings.oidc_issuer else "",
    )
