"""The viewer of a page, the cookies of a browser, and the checks before a page is shown."""

import secrets
from dataclasses import dataclass
from urllib.parse import quote, urlsplit

from starlette.datastructures import Headers
from starlette.requests import HTTPConnection, Request
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from core.http.client_ip import get_client_ip, rate_limit_network
from core.http.request import get_settings, open_transaction
from models import Member, SignIn, User
from services import identity, organizations
from services.identity import CredentialVerifier

SESSION_COOKIE = "mission_control"
EVENTS_PATH = "/events"
DAY = 24 * 3600  # seconds


@dataclass(frozen=True)
class Viewer:
    """The user of a request, the session, and the active membership (None before the first one)."""

    user: User
    sign_in: SignIn
    member: Member | None


async def current_viewer(connection: HTTPConnection) -> Viewer | None:
    """Return the viewer that belongs to the session cookie."""
    secret = connection.cookies.get(SESSION_COOKIE)
    if not secret:
        return None
    async with open_transaction(connection) as session:
        sign_in = await identity.find_session(session, secret)
        if sign_in is None:
            return None
        member = await organizations.find_current_membership(session, sign_in.user)
        return Viewer(sign_in.user, sign_in, member)


async def rate_limited_viewer(connection: HTTPConnection) -> Viewer | None:
    """Return the viewer, and count the request. Raises TooMany.

    The event stream does not count: browsers reconnect it automatically. After a restart all do at
    once; they wait here, so that other requests find a free database connection.
    """
    if connection.url.path == EVENTS_PATH:
        async with connection.state.stream_rights.openings:
            return await current_viewer(connection)
    viewer = await current_viewer(connection)
    if viewer is not None:
        connection.state.rate_limits.pages.hit(f"session {viewer.sign_in.id}")
    return viewer


def current_member(request: Request) -> Member:
    """Return the active membership. Only for routes behind `RequireMemberMiddleware`."""
    member: Member | None = request.auth.member
    assert member is not None
    return member


def redirect_to_sign_in(connection: HTTPConnection) -> Response:
    """Redirect to the sign-in page, which leads back to the requested page."""
    path = connection.url.path + (f"?{connection.url.query}" if connection.url.query else "")
    can_return = path != "/" and connection.scope["method"] == "GET"
    next = f"?next={quote(path)}" if can_return else ""
    if connection.headers.get("HX-Request") == "true" or path.startswith(EVENTS_PATH):
        return Response(status_code=401, headers={"HX-Redirect": "/sign-in"})
    return RedirectResponse(f"/sign-in{next}", 303)


class RequireMemberMiddleware:
    """Redirects a user without a membership to the first steps."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Forward the request, or redirect."""
        if scope["auth"].member is None:
            await RedirectResponse("/welcome", 303)(scope, receive, send)
        else:
            await self.app(scope, receive, send)


def set_session_cookie(request: Request, response: Response, secret: str) -> Response:
    """Set the session cookie. Scripts cannot read it, and other sites cannot send it."""
    response.set_cookie(
        SESSION_COOKIE,
        secret,
        max_age=get_settings(request).session_days * DAY,
        httponly=True,
        samesite="lax",
        secure=get_settings(request).base_url.startswith("https://"),
    )
    return response


OIDC_COOKIE = "mission_control_traveller"
OIDC_COOKIE_PATH = "/sign-in"
OIDC_COOKIE_MAX_AGE = 20 * 60  # seconds


def read_oidc_secret(request: Request) -> str:
    """Return the secret that identifies the browser during a sign-in, or ""."""
    return request.cookies.get(OIDC_COOKIE, "")


def read_or_create_oidc_secret(request: Request) -> str:
    """Return the secret of the browser; several tabs share one."""
    return read_oidc_secret(request) or secrets.token_urlsafe(32)


def set_oidc_cookie(request: Request, response: Response, secret: str) -> Response:
    """Set the cookie that identifies the browser during a sign-in, on sign-in pages only."""
    response.set_cookie(
        OIDC_COOKIE,
        secret,
        max_age=OIDC_COOKIE_MAX_AGE,
        path=OIDC_COOKIE_PATH,
        httponly=True,
        samesite="lax",
        secure=get_settings(request).base_url.startswith("https://"),
    )
    return response


def clear_oidc_cookie(request: Request, response: Response) -> Response:
    """Delete the cookie after a sign-in."""
    if read_oidc_secret(request):
        response.delete_cookie(OIDC_COOKIE, path=OIDC_COOKIE_PATH)
    return response


def credential_verifier(connection: HTTPConnection) -> CredentialVerifier:
    """Return the verifier of passwords of this process."""
    verifier: CredentialVerifier = connection.state.credential_verifier
    return verifier


def client_network(connection: HTTPConnection) -> str:
    """Return the network of the request, for rate limits."""
    return rate_limit_network(get_client_ip(connection, get_settings(connection).trusted_proxies))


SAFE_METHODS = {"GET", "HEAD", "OPTIONS"}


class SameOriginMiddleware:
    """Rejects changing requests that do not come from a page of this server (CSRF).

    All current browsers send Sec-Fetch-Site, which a page cannot forge (W3C Fetch Metadata).
    Without it (plain HTTP except on the loopback address), Origin must name this host.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Forward the request, or answer 403."""
        if (
            scope["type"] == "http"
            and scope["method"] not in SAFE_METHODS
            and not is_same_origin(scope)
        ):
            await PlainTextResponse("Another site asked for this.", 403)(scope, receive, send)
        else:
            await self.app(scope, receive, send)


def is_same_origin(scope: Scope) -> bool:
    """Return whether the request comes from a page of this server."""
    headers = Headers(scope=scope)
    site = headers.get("Sec-Fetch-Site")
    if site is not None:
        return site == "same-origin"
    origin = headers.get("Origin")
    if origin is None:
        return False
    own_hosts = {headers.get("Host", ""), urlsplit(scope["state"]["settings"].base_url).netloc}
    return urlsplit(origin).netloc in own_hosts
