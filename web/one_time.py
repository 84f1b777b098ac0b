"""Links that work once: how they are looked at, kept from everybody else, and let people in."""

from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from kit.client_ip import household
from kit.errors import NotFound
from kit.http import Session, transaction
from kit.limits import Limit
from models import User
from services import identity
from web.auth import keep_signed_in
from web.html import page
from web.sign_in import browser_of

DEAD = 410


@asynccontextmanager
async def looked_up(request: Request) -> AsyncGenerator[None]:
    """Count a link that turns out in the block to open nothing. Raises TooMany."""
    limit, key = limit_of(request)
    limit.check(key)
    try:
        yield
    except NotFound:
        limit.count(key)
        raise


def limit_of(request: Request) -> tuple[Limit, str]:
    """Return how often links may be tried from where somebody is, and under which key."""
    return request.state.limits.crowds, f"link {household(browser_of(request)['ip'])}"


async def let_in(
    request: Request, password: str, take: Callable[[Session, str], Awaitable[User]]
) -> Response:
    """Use up a link with a password, and sign in whose it is from then on. Raises TooMany.

    `take` uses the link up, with the password's hash, and returns the person. Hashing costs a
    processor, so a try that comes to nothing counts.
    """
    limit, key = limit_of(request)
    limit.visit(key)
    kept = await identity.hashed(password, "password")
    async with transaction(request) as session:
        user = await take(session, kept)
        secret = await identity.start_session(session, user, **browser_of(request))
    limit.take_back(key)
    return keep_signed_in(request, RedirectResponse("/", 303), secret)


def closed(request: Request, refusal: NotFound) -> Response:
    """Say that a link opens nothing, and why."""
    return private_page(request, "one_time/closed.html", status=DEAD, reason=refusal.message)


def private_page(request: Request, template: str, *, status: int, **context: Any) -> Response:
    """Answer with a page whose address no other site may learn.

    With `no-referrer`, browsers would not say that its forms are ours.
    """
    response = page(request, template, status=status, **context)
    response.headers["Referrer-Policy"] = "same-origin"
    return response
