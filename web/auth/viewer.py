"""The viewer of a page, the cookies of a browser, and the checks before a page is shown."""

from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import HTTPConnection, Request
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from core.errors import Forbidden
from core.http.caller import Caller
from core.http.client_address import get_client_ip, rate_limit_network
from core.http.request import get_settings, open_reader
from core.http.request_slots import recognize_caller
from models import Member, SignIn
from services import audit, identity
from services.identity import CredentialVerifier, Viewer
from web.ui.translation import N_, _

SESSION_COOKIE = "mission_control"
OLD_SESSION_PREFIX = "mc_session_"  # of sessions that an earlier version has started
EVENTS_PATH = "/events"


async def current_viewer(connection: HTTPConnection) -> Viewer | None:
    """Return the viewer that belongs to the session cookie.

    Raises TooMany if the user has too many unsent bytes.
    """
    secret = read_session_secret(connection)
    if not secret:
        return None
    idle_days = get_settings(connection).session_idle_days
    async with open_reader(connection) as reader:
        viewer = await identity.find_session(reader, secret, idle_days=idle_days)
    caller = None if viewer is None else Caller.from_user(viewer.user.id, with_token=False)
    recognize_caller(connection, secret, caller)
    if viewer is not None:
        audit.identify_actor(viewer.user)
        audit.use_credential("session", viewer.sign_in.id)
        connection.state.last_seen.record(SignIn, viewer.sign_in.id)
    return viewer


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
        await connection.state.rate_limits.pages.hit(f"session {viewer.sign_in.id}")
    return viewer


def current_member(request: Request) -> Member:
    """Return the active membership. Only for routes behind `RequireMemberMiddleware`."""
    member: Member | None = request.auth.member
    assert member is not None
    return member


def format_stream_key(member: Member) -> str:
    """Return what identifies the viewer of an event stream: the user and the organization."""
    return f"{member.user_id}.{member.organization_id}"


class RequireMemberMiddleware:
    """Redirects a user without a membership to the first steps.

    A part of a page is answered with an error: the page would show the first steps in its place.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Forward the request, or redirect. Raises Forbidden."""
        if scope["auth"].member is None:
            if "HX-Request" in Headers(scope=scope):
                reason = N_("You do not belong to an organization any more. Reload the page.")
                raise Forbidden("membership_ended", reason)
            await RedirectResponse("/welcome", 303)(scope, receive, send)
        else:
            await self.app(scope, receive, send)


HOST_PREFIX = "__Host-"
"""Browsers accept a cookie with this prefix only from this host, over HTTPS, for all paths."""
SECURE_PREFIX = "__Secure-"
"""Browsers accept a cookie with this prefix only over HTTPS, also for a part of the paths."""


def read_cookie(connection: HTTPConnection, name: str) -> str:
    """Return a cookie, or ""."""
    return connection.cookies.get(_full_name(connection, name), "")


def _full_name(connection: HTTPConnection, name: str) -> str:
    if not is_https(connection):
        return name
    return f"{SECURE_PREFIX if get_settings(connection).sub_path else HOST_PREFIX}{name}"


def write_cookie(
    request: Request, response: Response, name: str, value: str, *, max_age: int
) -> Response:
    """Set a cookie that scripts cannot read and other sites cannot send; delete it with age 0."""
    is_secure, full_name = is_https(request), _full_name(request, name)
    response.set_cookie(
        full_name, value, max_age=max_age, httponly=True, samesite="lax", secure=is_secure
    )
    if name != full_name and name in request.cookies:  # from an earlier version
        response.delete_cookie(name, httponly=True, samesite="lax", secure=True)
    return response


def is_https(connection: HTTPConnection) -> bool:
    """Return whether browsers open this installation over HTTPS."""
    return get_settings(connection).base_url.startswith("https://")


def set_session_cookie(request: Request, response: Response, secret: str) -> Response:
    """Set the session cookie."""
    max_age = get_settings(request).session_days * 24 * 3600
    return write_cookie(request, response, SESSION_COOKIE, secret, max_age=max_age)


def read_session_secret(connection: HTTPConnection) -> str:
    """Return the secret in the session cookie, or "".

    Over HTTPS, a session that an earlier version started under the name without prefix still
    counts; sessions that were started since then do not, so nobody can plant such a cookie.
    """
    secret = read_cookie(connection, SESSION_COOKIE)
    old = connection.cookies.get(SESSION_COOKIE, "")
    return secret or (old if old.startswith(OLD_SESSION_PREFIX) else "")


class UpgradeCookieMiddleware:
    """Replaces the session cookie of an earlier version by one whose name has the prefix."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Forward the request, and add the cookies to the response if they are outdated."""
        request = Request(scope)
        secret = read_session_secret(request)
        if not is_https(request) or not secret or read_cookie(request, SESSION_COOKIE):
            await self.app(scope, receive, send)
            return
        cookies = set_session_cookie(request, Response(), secret).headers.getlist("Set-Cookie")

        async def send_with_cookies(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                if "Set-Cookie" not in headers:
                    for cookie in cookies:
                        headers.append("Set-Cookie", cookie)
            await send(message)

        await self.app(scope, receive, send_with_cookies)


def clear_session_cookie(request: Request, response: Response) -> Response:
    """Delete the session cookie, and everything that the browser kept of this site."""
    response.headers["Clear-Site-Data"] = '"cache", "storage"'
    return write_cookie(request, response, SESSION_COOKIE, "", max_age=0)


OIDC_COOKIE = "mission_control_traveller"


def read_oidc_secret(request: Request) -> str:
    """Return the secret that identifies the browser during a sign-in, or ""."""
    return read_cookie(request, OIDC_COOKIE)


def set_oidc_cookie(request: Request, response: Response, secret: str) -> Response:
    """Set the cookie that identifies the browser during a sign-in."""
    return write_cookie(request, response, OIDC_COOKIE, secret, max_age=20 * 60)


def clear_oidc_cookie(request: Request, response: Response) -> Response:
    """Delete the cookie after a sign-in."""
    if read_oidc_secret(request):
        write_cookie(request, response, OIDC_COOKIE, "", max_age=0)
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
            reason = _("This request was sent from another site.")
            await PlainTextResponse(reason, 403)(scope, receive, send)
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
    return _host_of(origin) in own_hosts


def is_opened_without_https(request: Request) -> bool:
    """Return whether a form was sent over HTTP, although this installation is opened over HTTPS.

    The browser would not keep the session cookie then.
    """
    return is_https(request) and request.headers.get("Origin", "").startswith("http://")


def _host_of(origin: str) -> str | None:
    """Return the host of an Origin header, or None if it is not a valid address."""
    try:
        return urlsplit(origin).netloc or None
    except ValueError:
        return None
