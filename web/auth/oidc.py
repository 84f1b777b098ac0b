"""Sign-in with an OpenID provider: redirect to the provider, and its callback.

The provider is never called inside a transaction: the stored authorization request is consumed
first.
"""

import logging
import secrets
from datetime import UTC, datetime

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from core.errors import AppError, Forbidden, NotFound, TooMany, Unauthorized
from core.http.request import STATUS_CODES, get_settings, open_transaction
from core.security.openid import OpenIdProvider, sign_in_not_verified
from models import PendingSignIn
from services import audit, identity, organizations
from services.identity import ACCOUNT_NOT_CONNECTED, AuthorizationRequest, ProviderProfile
from web.auth import viewer
from web.auth.sign_in import render_rate_limited, render_sign_in, safe_next_path, session_metadata
from web.auth.viewer import set_session_cookie
from web.ui import forms
from web.ui.locale_format import describe_error
from web.ui.translation import N_

NOT_REPORTED = datetime.fromtimestamp(0, UTC)
"""When a user has authenticated whose provider does not report it: not recently."""

CALLBACK_PATH = "/sign-in/oidc/callback"
MAX_STORED_PATH = 8_000
"""Characters of the path to which a sign-in leads back. Anybody can start one, which stores it."""

log = logging.getLogger(__name__)


async def start_sign_in(request: Request) -> Response:
    """Redirect the browser to the provider, which redirects it to the callback."""
    next = safe_next_path(request.query_params.get("next", ""))
    next = next if len(next) <= MAX_STORED_PATH else "/"
    again = bool(request.query_params.get("again"))
    try:
        provider = _get_provider(request)
        # Several tabs share the secret of the browser.
        secret = viewer.read_oidc_secret(request) or secrets.token_urlsafe(32)
        await request.state.rate_limits.provider_sign_ins.hit(secret)
        authorization = AuthorizationRequest.generate(again=again)
        url = await provider.build_authorization_url(
            redirect_uri=_callback_url(request),
            state=authorization.state,
            nonce=authorization.nonce,
            verifier=authorization.code_verifier,
            again=again,
        )
        async with open_transaction(request) as session:
            await identity.save_authorization_request(
                session, authorization, browser=secret, next=next
            )
        return viewer.set_oidc_cookie(request, RedirectResponse(url, 303), secret)
    except TooMany as error:
        return render_rate_limited(request, forms.Form(), next, error)
    except AppError as error:
        return _render_error(request, next, error)


async def handle_callback(request: Request) -> Response:
    """Handle the redirect from the provider, and sign the user in."""
    provider = _get_provider(request)
    next = "/"
    try:
        state, browser = request.query_params.get("state", ""), viewer.read_oidc_secret(request)
        async with open_transaction(request) as session:
            pending = await identity.consume_authorization_request(
                session, state=state, browser=browser
            )
        next = pending.next
        profile = await _get_profile(request, provider, pending)
        return await _complete_sign_in(request, pending, profile)
    except AppError as error:
        return _render_error(request, next, error)


async def _get_profile(
    request: Request, provider: OpenIdProvider, pending: PendingSignIn
) -> ProviderProfile:
    """Return the profile that the provider confirms. Raises AppError."""
    query = request.query_params
    if query.get("error"):
        log.info("The OpenID provider refused a sign-in: %.100r", query["error"])
        reason = N_("The provider refused the sign-in, or you cancelled it. Try again.")
        raise Forbidden("sign_in_denied", reason)
    if not query.get("code"):
        raise sign_in_not_verified()
    again = identity.must_authenticate_again(query["state"])
    claims = await provider.exchange_code(
        query["code"],
        issuer=query.get("iss"),
        redirect_uri=_callback_url(request),
        nonce=pending.nonce,
        verifier=pending.code_verifier,
        authenticated_since=pending.created_at.timestamp() if again else None,
    )
    return identity.parse_profile(claims)


async def _complete_sign_in(
    request: Request, pending: PendingSignIn, profile: ProviderProfile
) -> Response:
    audit.use_credential("provider_token")
    try:
        async with open_transaction(request) as session:
            user = await identity.get_or_create_external_user(session, profile)
        async with open_transaction(request) as session:
            await organizations.find_or_accept_membership(session, user)
            secret = await identity.start_session(
                session,
                user,
                **session_metadata(request),
                authenticated_at=profile.authenticated_at or NOT_REPORTED,
            )
    except Unauthorized as error:
        await audit.record_failed_sign_in(request.state.transaction_factory, profile.email or "")
        if error.code == ACCOUNT_NOT_CONNECTED:
            async with open_transaction(request) as session:
                await identity.save_identity_for_password(session, pending, profile)
        raise
    response = set_session_cookie(request, RedirectResponse(pending.next, 303), secret)
    return viewer.clear_oidc_cookie(request, response)


def _get_provider(request: Request) -> OpenIdProvider:
    provider: OpenIdProvider | None = request.state.provider
    if provider is None:
        raise NotFound("sign_in_not_offered", N_("This way to sign in is not available here."))
    return provider


def _callback_url(request: Request) -> str:
    return get_settings(request).base_url + CALLBACK_PATH


def _render_error(request: Request, next: str, error: AppError) -> Response:
    """Render the sign-in form with the error."""
    form = forms.Form()
    form.problem = describe_error(error)
    form.status = STATUS_CODES[type(error)]
    return render_sign_in(request, form, next)
