"""Which person is looking."""

from dataclasses import dataclass
from urllib.parse import quote

from starlette.requests import HTTPConnection, Request
from starlette.responses import RedirectResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from kit.http import settings_of, transaction
from models import Member, SignIn, User
from services import identity, organizations

COOKIE = "mission_control"
EVENTS = "/events"
DAY = 24 * 3600  # seconds


@dataclass(frozen=True)
class Viewer:
    """The person who looks, by which sign-in, and in which organization (none at first)."""

    user: User
    sign_in: SignIn
    member: Member | None


async def looking_person(connection: HTTPConnection) -> Viewer | None:
    """Return the person whose browser has our cookie."""
    secret = connection.cookies.get(COOKIE)
    if not secret:
        return None
    async with transaction(connection) as session:
        sign_in = await identity.signed_in(session, secret)
        if sign_in is None:
            return None
        member = await organizations.current(session, sign_in.user)
        return Viewer(sign_in.user, sign_in, member)


async def visiting_person(connection: HTTPConnection) -> Viewer | None:
    """Do the same, and count the visit. Raises TooMany.

    The live connection doesn't count: it comes back by itself, and asks for nothing.
    """
    viewer = await looking_person(connection)
    if viewer is not None and connection.url.path != EVENTS:
        connection.state.limits.pages.visit(f"session {viewer.sign_in.id}")
    return viewer


def member_of(request: Request) -> Member:
    """Return the membership with which the person looks. Only behind the gate for members."""
    member: Member | None = request.auth.member
    assert member is not None
    return member


def ask_to_sign_in(connection: HTTPConnection) -> Response:
    """Send someone whom we don't know to sign in, and back here afterwards."""
    path = connection.url.path + (f"?{connection.url.query}" if connection.url.query else "")
    can_come_back = path != "/" and connection.scope["method"] == "GET"
    next = f"?next={quote(path)}" if can_come_back else ""
    if connection.headers.get("HX-Request") == "true" or path.startswith(EVENTS):
        return Response(status_code=401, headers={"HX-Redirect": "/sign-in"})
    return RedirectResponse(f"/sign-in{next}", 303)


class MembersOnly:
    """Sends a person who belongs to no organization yet to make one. Stands behind the gate."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or answer it."""
        if scope["auth"].member is None:
            await RedirectResponse("/welcome", 303)(scope, receive, send)
        else:
            await self.app(scope, receive, send)


def keep_signed_in(request: Request, response: Response, secret: str) -> Response:
    """Give the browser its cookie. It cannot be read by scripts, nor sent by other sites."""
    response.set_cookie(
        COOKIE,
        secret,
        max_age=settings_of(request).session_days * DAY,
        httponly=True,
        samesite="lax",
        secure=settings_of(request).base_url.startswith("https://"),
    )
    return response
