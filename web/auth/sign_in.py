"""Sign-in with a password, sign-in again before an operation of owners, and sign-out."""

import re
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any, TypedDict

from pydantic import BaseModel
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from core.errors import Invalid, TooMany, Unauthorized
from core.http.client_address import get_client_ip
from core.http.request import STATUS_CODES, get_settings, open_transaction
from core.security.encryption import DecryptionError, SecretCipher
from core.security.secrets import hash_token
from models import User
from services import audit, identity
from web.auth import viewer
from web.auth.viewer import credential_verifier, current_viewer, set_session_cookie
from web.ui import forms
from web.ui.render import render_page
from web.ui.translation import _, ngettext

DEVICE_COOKIE = "mission_control_device"
DEVICE_CONTEXT = "device cookie"
"""The cookie of a browser in which a user has signed in with a password before.

Failed attempts of other browsers do not delay this one: see docs/decisions/rate-limits.md. The
cookie gives no access. It contains the e-mail address, encrypted.
"""

PARENT = re.compile(r"^[^?#]*/(?:\.|%2e){2}(?:[/?#]|$)", re.IGNORECASE)


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

    Browsers read a backslash as a slash, and ignore tabs and line breaks. A segment of two dots
    leaves the path of BASE_URL.
    """
    is_local = path.startswith("/") and not path.startswith("//") and not PARENT.search(path)
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
    minutes = -(-error.retry_after // 60)
    form.problem = ngettext(
        "Too many attempts. Try again in a minute.",
        "Too many attempts. Try again in %(num)d minutes.",
        minutes,
    )
    form.status = STATUS_CODES[TooMany]
    response = render_sign_in(request, form, next)
    response.headers["Retry-After"] = str(error.retry_after)
    return response


class PasswordForm(BaseModel):
    """The password of the signed-in user."""

    password: forms.Secret


async def show_sign_in_again(request: Request) -> Response:
    """Show the form."""
    next = safe_next_path(request.query_params.get("next", ""))
    return _render_password_form(request, forms.Form(), next)


async def sign_in_again(request: Request) -> Response:
    """Verify the password, renew the session, and redirect to the page. Raises TooMany."""
    form = await forms.read_form(request)
    next = safe_next_path(form.value("next"))
    with form.catch_errors(beside="password"):
        secret = await _renew_session(request, form.parse(PasswordForm).password)
        return set_session_cookie(request, RedirectResponse(next, 303), secret)
    return _render_password_form(request, form, next)


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


def _render_password_form(request: Request, form: forms.Form, next: str) -> Response:
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


def find_device(request: Request, email: str) -> str:
    """Return the id of the browser if the user has signed in there before, or ""."""
    cookie = request.cookies.get(DEVICE_COOKIE, "")
    cipher: SecretCipher = request.state.secret_cipher
    try:
        is_known = bool(cookie) and cipher.decrypt(cookie, DEVICE_CONTEXT) == email.encode()
    except DecryptionError:
        return ""
    return hash_token(cookie) if is_known else ""


def remember_device(request: Request, response: Response, email: str) -> Response:
    """Set the cookie after a sign-in with a password, unless the browser has it."""
    if find_device(request, email):
        return response
    cipher: SecretCipher = request.state.secret_cipher
    response.set_cookie(
        DEVICE_COOKIE,
        cipher.encrypt(email, DEVICE_CONTEXT),
        max_age=365 * 24 * 3600,
        path="/sign-in",
        httponly=True,
        samesite="lax",
        secure=get_settings(request).base_url.startswith("https://"),
    )
    return response
