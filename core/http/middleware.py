"""ASGI middleware: errors, request ids, the audit context, required callers, and headers."""

import logging
import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextvars import ContextVar
from typing import Any, TypeAlias
from uuid import uuid4

from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import ClientDisconnect, HTTPConnection, Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Match
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from core.audit_context import AuditContext, audit_context
from core.db.engine import TransactionFactory, is_pool_busy, is_temporary_error
from core.errors import TooMany, Unavailable
from core.http.caller import get_agent_token, get_bearer_token
from core.http.client_address import get_client_ip
from core.http.event_stream import SERVER_SEND
from core.text import N_

log = logging.getLogger("mission_control")

CLIENT_DISCONNECTED = 499  # for the log: nobody receives the response

ErrorHandler = Callable[[Request, Exception], Awaitable[Response]]


class ErrorMiddleware:
    """Respond to unhandled errors, so that the middleware outside of it sees the response.

    A client that disconnects before the end of its body is not an error of ours, and neither are
    too many requests.
    """

    def __init__(self, app: ASGIApp, handler: ErrorHandler) -> None:
        self.app = app
        self.handler = handler

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Run the application; respond to an error if the response has not started."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        started = False

        async def tracking_send(message: Message) -> None:
            nonlocal started
            started = True
            await send(message)

        try:
            await self.app(scope, receive, tracking_send)
        except Exception as error:
            # Python deletes this variable at the end of the block. A second one would keep the
            # error, whose traceback keeps this frame, until a search for garbage.
            error = log_error(scope, error)
            if started:
                raise
            response = await self._build_response(Request(scope), error)
            await response(scope, receive, send)

    async def _build_response(self, request: Request, error: Exception) -> Response:
        if isinstance(error, ClientDisconnect):
            return Response(status_code=CLIENT_DISCONNECTED)
        return await self.handler(request, error)


def log_error(scope: Scope, error: Exception) -> Exception:
    """Log an error that is ours or of the database. Return the error to respond with."""
    if isinstance(error, ClientDisconnect | TooMany):
        return error
    if is_pool_busy(error):
        log.warning("A request waited too long for a database connection: %s", error)
        reason = N_("The server has too much to do at the moment. Try again soon.")
        return Unavailable(reason)
    if is_temporary_error(error):
        log.warning("The database does not answer: %s", error)
        return Unavailable()
    log.exception("The request %s %s has failed.", scope["method"], scope["path"])
    return error


REQUEST_ID_HEADER = "X-Request-Id"
VALID_ID = re.compile(r"[A-Za-z0-9._:/+=@-]{1,128}")

request_id: ContextVar[str] = ContextVar("request_id", default="")
"""The id of the current request, for logs and errors."""

current_request: ContextVar[tuple[str, str] | None] = ContextVar("current_request", default=None)
"""Method and path of the current request, for the monitor of the event loop."""


class RequestIdMiddleware:
    """Assign an id to every request and return it in every response."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Run the application with the request id set."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        given = Headers(scope=scope).get(REQUEST_ID_HEADER, "").strip()
        id = given if VALID_ID.fullmatch(given) else uuid4().hex
        request_id.set(id)
        current_request.set((scope["method"], scope["path"]))
        scope[SERVER_SEND] = send  # this is the outermost middleware

        async def send_with_id(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message)[REQUEST_ID_HEADER] = id
            await send(message)

        try:
            await self.app(scope, receive, send_with_id)
        finally:
            # It refers to the scope: the request would be kept until a search for garbage.
            del scope[SERVER_SEND]


IdentifyCaller: TypeAlias = Callable[[HTTPConnection], Awaitable[Any | None]]


class RequireCallerMiddleware:
    """Set `request.auth` to the result of `identify`.

    If it returns None, respond with the result of `otherwise`, or with 404 if no route has the
    path: programs that look for a file would take a redirect for a success.
    """

    def __init__(
        self,
        app: ASGIApp,
        identify: IdentifyCaller,
        otherwise: Callable[[Request], Awaitable[Response]],
        routes: Sequence[BaseRoute],
    ) -> None:
        self.app = app
        self.identify = identify
        self.otherwise = otherwise
        self.routes = routes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Run the application for an authenticated caller, or respond with `otherwise`."""
        connection = HTTPConnection(scope)
        known = await self.identify(connection)
        if known is None:
            if all(route.matches(scope)[0] is Match.NONE for route in self.routes):
                raise HTTPException(404)
            response = await self.otherwise(Request(scope, receive))
            await response(scope, receive, send)
        else:
            scope["auth"], scope["user"] = known, known.user
            await self.app(scope, receive, send)


CONTENT_SECURITY_POLICY = (
    "default-src 'self'; img-src 'self' data:; object-src 'none'; base-uri 'none'; "
    "form-action 'self'; frame-ancestors 'none'"
)


API_PREFIX = "/api/"
PROGRAM_PATHS = (API_PREFIX, "/hooks/", "/mcp", "/otlp/")
"""The beginnings of the paths that programs call with a token."""
CORS_PATHS = frozenset({"/health", "/healthz", "/readyz", "/openapi.json", "/llms.txt"})
CORS_PREFIXES = (API_PREFIX, "/openapi/")


class ApiCorsMiddleware:
    """Let pages of other origins call the API, and nothing else."""

    def __init__(self, app: ASGIApp, **options: Any) -> None:
        self.app = app
        self.cors = CORSMiddleware(app, **options)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Run the application, for paths of the API with the headers for other origins."""
        path = scope["path"] if scope["type"] == "http" else ""
        is_api = path.startswith(CORS_PREFIXES) or path in CORS_PATHS
        await (self.cors if is_api else self.app)(scope, receive, send)


class SecurityHeadersMiddleware:
    """Add headers to every response that does not set them itself.

    Responses to programs are not cached, because they contain data and sometimes secrets.
    """

    def __init__(self, app: ASGIApp, headers: Mapping[str, str]) -> None:
        self.app = app
        self.headers = {name: value for name, value in headers.items() if value.strip()}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Run the application and add the headers."""

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in self.headers.items():
                    headers.setdefault(name, value)
                if scope["path"].startswith(PROGRAM_PATHS):
                    headers.setdefault("Cache-Control", "no-store")
            await send(message)

        await self.app(scope, receive, send_with_headers)


RecordRejection = Callable[[TransactionFactory, str, str, str | None], Awaitable[None]]
"""Takes method and path, and the token if the request was rejected because of it."""

UNAUTHENTICATED, REFUSED = 401, 403


class AuditMiddleware:
    """Sets where a request comes from. Authentication adds the caller and the credential.

    A refused request (403) and an invalid token of a program (401) are recorded before the response
    is sent; the transaction of the request has ended then.
    """

    def __init__(self, app: ASGIApp, record_rejection: RecordRejection) -> None:
        self.app = app
        self.record_rejection = record_rejection

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Run the application in the audit context of the request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        connection = HTTPConnection(scope)

        async def recording_send(message: Message) -> None:
            if message["type"] == "http.response.start":
                await self._record_status(connection, message["status"])
            await send(message)

        with audit_context(_build_context(connection)):
            await self.app(scope, receive, recording_send)

    async def _record_status(self, connection: HTTPConnection, status: int) -> None:
        path = connection.scope["path"]
        token = ""
        if path.startswith(PROGRAM_PATHS):
            token = get_agent_token(connection) or get_bearer_token(connection)
        is_invalid_token = status == UNAUTHENTICATED and bool(token)
        if status == REFUSED or is_invalid_token:
            await self.record_rejection(
                connection.state.transaction_factory,
                connection.scope["method"],
                path,
                token if is_invalid_token else None,
            )


def _build_context(connection: HTTPConnection) -> AuditContext:
    trusted = connection.state.settings.trusted_proxies
    return AuditContext(
        actor_kind="anonymous",
        credential="none",
        address=get_client_ip(connection, trusted),
        request_id=request_id.get() or None,
    )
