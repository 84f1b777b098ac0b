"""Sign in again: a user proves who they are before an operation of owners."""

from pydantic import BaseModel
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from core.http.request import get_settings, open_transaction
from services import identity
from web.auth.sign_in import safe_next_path
from web.auth.viewer import set_session_cookie
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
    limit, key = request.state.rate_limits.sign_ins, f"password {request.user.id}"
    with form.catch_errors(beside="password"):
        fields = form.parse(PasswordForm)
        limit.hit(key)
        async with open_transaction(request) as session:
            stored = await identity.get_stored_password(session, request.user)
        await identity.verify_credentials(stored, fields.password)
        async with open_transaction(request) as session:
            secret = await identity.renew_session(session, request.user, request.auth.sign_in.id)
        limit.undo_hit(key)
        return set_session_cookie(request, RedirectResponse(next, 303), secret)
    return _render_form(request, form, next)


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
