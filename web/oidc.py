"""Signing in through an OpenID provider: there, and back.

The provider is never asked inside a transaction: what was noted of a browser is used up first.
"""

import logging

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from kit.client_ip import client_ip, household
from kit.errors import Forbidden, NotFound, Refusal, TooMany, Unauthorized
from kit.http import STATUS_CODES, settings_of, transaction
from kit.openid import Provider, not_proven
from models import PendingSignIn
from services import identity, organizations
from services.identity import NOT_CONNECTED, Departure, Profile
from web import forms, travellers
from web.auth import keep_signed_in
from web.sign_in import browser_of, form_page, safe_next, wait_page

CALLBACK = "/sign-in/oidc/callback"

log = logging.getLogger(__name__)


async def leave(request: Request) -> Response:
    """Send the browser to the provider. It comes back to the callback."""
    next = safe_next(request.query_params.get("next", ""))
    try:
        return await _sent(request, next)
    except TooMany as refusal:
        return wait_page(request, forms.Form(), next, refusal)
    except Refusal as refusal:
        return _refused(request, next, refusal)


async def come_back(request: Request) -> Response:
    """Take back a browser that the provider has sent, and sign its person in."""
    provider = _provider(request)
    next = "/"
    try:
        pending = await _used_up(request)
        next = pending.next
        profile = await _proven(request, provider, pending)
        return await _signed_in(request, pending, profile)
    except Refusal as refusal:
        return _refused(request, next, refusal)


async def _sent(request: Request, next: str) -> Response:
    provider = _provider(request)
    home = household(client_ip(request, settings_of(request).trusted_proxies))
    request.state.limits.crowds.visit(f"provider {home}")
    leaving = Departure.new()
    address = await provider.sign_in_address(
        redirect_uri=_callback(request),
        state=leaving.state,
        nonce=leaving.nonce,
        verifier=leaving.verifier,
    )
    secret = travellers.secret_for(request)
    async with transaction(request) as session:
        await identity.depart(session, leaving, browser=secret, next=next)
    return travellers.send_off(request, RedirectResponse(address, 303), secret)


async def _used_up(request: Request) -> PendingSignIn:
    state, browser = request.query_params.get("state", ""), travellers.secret_of(request)
    async with transaction(request) as session:
        return await identity.come_back(session, state=state, browser=browser)


async def _proven(request: Request, provider: Provider, pending: PendingSignIn) -> Profile:
    """Return what the provider says of the person. Raises a Refusal."""
    given = request.query_params
    if given.get("error"):
        log.info("The OpenID provider did not let somebody in: %.100r", given["error"])
        reason = "You were not let in there, or you turned back. Try again."
        raise Forbidden("sign_in_denied", reason)
    if not given.get("code"):
        raise not_proven()
    claims = await provider.claims_for(
        given["code"],
        issuer=given.get("iss"),
        redirect_uri=_callback(request),
        nonce=pending.nonce,
        verifier=pending.code_verifier,
    )
    return identity.profile_of(claims)


async def _signed_in(request: Request, pending: PendingSignIn, profile: Profile) -> Response:
    try:
        async with transaction(request) as session:
            user = await identity.external_user(session, profile)
            await organizations.invited(session, user)
            secret = await identity.start_session(session, user, **browser_of(request))
    except Unauthorized as refusal:
        if refusal.code == NOT_CONNECTED:
            async with transaction(request) as session:
                await identity.wait_for_password(session, pending, profile)
        raise
    response = keep_signed_in(request, RedirectResponse(pending.next, 303), secret)
    return travellers.welcome_back(request, response)


def _provider(request: Request) -> Provider:
    provider: Provider | None = request.state.provider
    if provider is None:
        raise NotFound("sign_in_not_offered", "Nobody signs in that way here.")
    return provider


def _callback(request: Request) -> str:
    return settings_of(request).base_url + CALLBACK


def _refused(request: Request, next: str, refusal: Refusal) -> Response:
    """Show the form again, with what went wrong."""
    form = forms.Form()
    form.problem = refusal.message
    form.status = STATUS_CODES[type(refusal)]
    return form_page(request, form, next)
