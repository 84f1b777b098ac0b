"""Signing in and out."""

from typing import TypedDict

from pydantic import BaseModel
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from kit.client_ip import client_ip, household
from kit.errors import TooMany
from kit.http import STATUS_CODES, settings_of, transaction
from kit.limits import Limit
from services import identity
from web import forms, travellers
from web.auth import COOKIE, keep_signed_in, looking_person
from web.html import page

MINUTE = 60  # seconds


class Credentials(BaseModel):
    """Who says that they are whom."""

    email: forms.Line
    password: forms.Secret


class Browser(TypedDict):
    """What is kept of a browser that somebody signs in with, and for how many days."""

    user_agent: str | None
    ip: str
    days: int


async def show(request: Request) -> Response:
    """Show the form, or go on if the person is signed in already."""
    next = safe_next(request.query_params.get("next", ""))
    if await looking_person(request) is not None:
        return RedirectResponse(next, 303)
    return form_page(request, forms.Form(), next)


async def sign_in(request: Request) -> Response:
    """Sign somebody in, and take them where they wanted to go."""
    form = await forms.read(request)
    next = safe_next(form.value("next"))
    try:
        with form.refusals(beside="password"):
            wanted = form.into(Credentials)
            secret = await _session(request, wanted)
            response = keep_signed_in(request, RedirectResponse(next, 303), secret)
            return travellers.welcome_back(request, response)
    except TooMany as refusal:
        return wait_page(request, form, next, refusal)
    return form_page(request, form, next)


async def sign_out(request: Request) -> Response:
    """End the session of this browser."""
    async with transaction(request) as session:
        await identity.sign_out(session, request.cookies[COOKIE])
    response = RedirectResponse("/sign-in", 303)
    response.delete_cookie(COOKIE)
    return response


def browser_of(request: Request) -> Browser:
    """Return what is kept of the browser that asks."""
    settings = settings_of(request)
    ip = client_ip(request, settings.trusted_proxies)
    agent = request.headers.get("User-Agent")
    return {"user_agent": agent, "ip": ip, "days": settings.session_days}


def safe_next(path: str) -> str:
    """Return a path on this site, as it was given, or the start for whatever could lead elsewhere.

    Browsers read a backslash as a slash, and leave out tabs and line breaks.
    """
    ours = path.startswith("/") and not path.startswith("//")
    return path if ours and path.isprintable() and "\\" not in path else "/"


async def _session(request: Request, wanted: Credentials) -> str:
    """Start a session, and return its secret. Every try counts, but one that succeeds.

    Raises Unauthorized or TooMany.
    """
    browser = browser_of(request)
    home = household(browser["ip"])
    limits: list[tuple[Limit, str]] = [
        (request.state.limits.sign_ins, f"{home} {wanted.email.lower()}"),
        (request.state.limits.crowds, home),
    ]
    for limit, key in limits:
        limit.check(key)
    for limit, key in limits:
        limit.count(key)
    async with transaction(request) as session:
        kept = await identity.kept_password(session, email=wanted.email)
    proven = await identity.check_credentials(kept, wanted.password)
    async with transaction(request) as session:
        user, secret = await identity.sign_in(session, proven, **browser)
        if traveller := travellers.secret_of(request):
            await identity.connect_waiting(session, user, browser=traveller)
    for limit, key in limits:
        limit.take_back(key)
    return secret


def form_page(request: Request, form: forms.Form, next: str) -> Response:
    """Show the form, and the way through the provider if there is one."""
    settings = settings_of(request)
    provider = settings.oidc_name if settings.oidc_issuer else ""
    return page(
        request, "sign_in/show.html", status=form.status, form=form, next=next, provider=provider
    )


def wait_page(request: Request, form: forms.Form, next: str, refusal: TooMany) -> Response:
    """Show the form to somebody who has to wait before they may try again."""
    minutes = -(-refusal.retry_after // MINUTE)
    wait = "a minute" if minutes == 1 else f"{minutes} minutes"
    form.problem = f"That was tried too often. Try again in {wait}."
    form.status = STATUS_CODES[TooMany]
    response = form_page(request, form, next)
    response.headers["Retry-After"] = str(refusal.retry_after)
    return response
