"""Sign-in with a password, and sign-out."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any, TypedDict

from pydantic import BaseModel
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from core.errors import Invalid, TooMany, Unauthorized
from core.http.client_ip import get_client_ip
from core.http.request import STATUS_CODES, get_settings, open_transaction
from models import User
from services import audit, identity
from web.auth import viewer
from web.auth.device import find_device, remember_device
from web.auth.viewer import current_viewer, set_session_cookie
from web.ui import forms
from web.ui.render import render_page
from web.ui.translation import _, ngettext

MINUTE = 60  # seconds


class SignInForm(BaseModel):
    """Credentials of a user."""

    email: forms.Line
    password: forms.Secret


class SessionMetadata(TypedDict):
    """What is stored about the browser of a session, and the lifetime of the session in days."""

    user_agent: str | None
    ip: str
    days: int


async def show_sign_in(request: Request) -> Response:
    """Show the form, or redirect a user who is already signed in."""
    next = safe_next_path(request.query_params.get("next", ""))
    if await current_viewer(request) is not None:
        return RedirectResponse(next, 303)
    async with open_transaction(request) as session:
        is_first_run = await identity.is_first_run_open(session, None)
    return render_sign_in(request, forms.Form(), next, is_first_run=is_first_run)


async def sign_in(request: Request) -> Response:
    """Sign a user in, and redirect to the requested page."""
    form = await forms.read_form(request)
    next = safe_next_path(form.value("next"))
    if viewer.is_opened_without_https(request):
        form.problem = _(
            "This page was opened over http, so your browser would not keep the sign-in. Open"
            " %(address)s instead.",
            address=get_settings(request).base_url,
        )
        form.status = 422
        return render_sign_in(request, form, next)
    try:
        with form.catch_errors(beside="password"):
            fields = form.parse(SignInForm)
            email = fields.email.strip().lower()
            async with record_failures(request, email):
                secret = await _start_session(request, fields, email)
            response = set_session_cookie(request, RedirectResponse(next, 303), secret)
            remember_device(request, response, email)
            return viewer.clear_oidc_cookie(request, response)
    except TooMany as error:
        return render_rate_limited(request, form, next, error)
    return render_sign_in(request, form, next)


@asynccontextmanager
async def record_failures(request: Request, account: str | User) -> AsyncGenerator[None]:
    """Record that the password in the block was wrong, or that the attempt was above the limit."""
    transaction = request.state.transaction_factory
    try:
        yield
    except TooMany:
        await audit.record_limited_sign_in(transaction, account)
        raise
    except (Unauthorized, Invalid):
        await audit.record_failed_sign_in(transaction, account)
        raise


async def sign_out(request: Request) -> Response:
    """End the session of this browser."""
    async with open_transaction(request) as session:
        await identity.sign_out(session, viewer.read_session_secret(request))
    return viewer.clear_session_cookie(request, RedirectResponse("/sign-in", 303))


def session_metadata(request: Request) -> SessionMetadata:
    """Return what is stored about the browser of the request."""
    settings = get_settings(request)
    ip = get_client_ip(request, settings.trusted_proxies)
    agent = request.headers.get("User-Agent")
    return {"user_agent": agent, "ip": ip, "days": settings.session_days}


def safe_next_path(path: str) -> str:
    """Return a path of this site unchanged, and "/" for anything that could leave it.

    Browsers read a backslash as a slash, and ignore tabs and line breaks.
    """
    is_local = path.startswith("/") and not path.startswith("//")
    return path if is_local and path.isprintable() and "\\" not in path else "/"


async def _start_session(request: Request, fields: SignInForm, email: str) -> str:
    """Start a session, and return its secret. Only failed attempts count against the limits.

    Raises Unauthorized or TooMany.
    """
    verifier = viewer.credential_verifier(request)
    network = viewer.client_network(request)
    source = identity.SignInSource(email, network, find_device(request, email))
    async with verifier.sign_in_attempt(source):
        async with open_transaction(request) as session:
            stored = await identity.find_stored_password(session, email=email)
        verified = await verifier.verify_credentials(stored, fields.password, lane=source.lane)
        async with open_transaction(request) as session:
            user, secret = await identity.sign_in(session, verified, **session_metadata(request))
        if oidc_secret := viewer.read_oidc_secret(request):
            async with open_transaction(request) as session:
                await identity.connect_pending_identities(session, user, browser=oidc_secret)
    return secret


def render_sign_in(
    request: Request, form: forms.Form, next: str, *, is_first_run: bool = False
) -> Response:
    """Render the form, and the link to the provider if there is one.

    Before the first run nobody can sign in, and the page says how to begin.
    """
    settings = get_settings(request)
    provider = settings.oidc_name if settings.oidc_issuer else ""
    context: dict[str, Any] = {"form": form, "next": next, "provider": provider}
    return render_page(
        request, "sign_in/show.html", status=form.status, is_first_run=is_first_run, **context
    )


def render_rate_limited(request: Request, form: forms.Form, next: str, error: TooMany) -> Response:
    """Render the form after too many attempts."""
    minutes = -(-error.retry_after // MINUTE)
    form.problem = ngettext(
        "Too many attempts. Try again in a minute.",
        "Too many attempts. Try again in %(num)d minutes.",
        minutes,
    )
    form.status = STATUS_CODES[TooMany]
    response = render_sign_in(request, form, next)
    response.headers["Retry-After"] = str(error.retry_after)
    return response
