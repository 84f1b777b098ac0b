"""Browsers that go to a provider to sign in: how one is known again when it comes back.

The cookie says only that it is the same browser. It is sent to the sign-in pages alone.
"""

import secrets

from starlette.requests import Request
from starlette.responses import Response

from kit.http import settings_of

COOKIE = "mission_control_traveller"
PATH = "/sign-in"
AWAY = 20 * 60  # seconds


def secret_of(request: Request) -> str:
    """Return the secret of a browser that has gone away, or nothing."""
    return request.cookies.get(COOKIE, "")


def secret_for(request: Request) -> str:
    """Return the secret for a browser that goes away: its own, where another of its tabs did."""
    return secret_of(request) or secrets.token_urlsafe(32)


def send_off(request: Request, response: Response, secret: str) -> Response:
    """Give the browser its cookie."""
    response.set_cookie(
        COOKIE,
        secret,
        max_age=AWAY,
        path=PATH,
        httponly=True,
        samesite="lax",
        secure=settings_of(request).base_url.startswith("https://"),
    )
    return response


def welcome_back(request: Request, response: Response) -> Response:
    """Take the cookie away from a browser that is signed in."""
    if secret_of(request):
        response.delete_cookie(COOKIE, path=PATH)
    return response
