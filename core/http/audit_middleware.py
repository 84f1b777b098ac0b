"""ASGI middleware that sets the audit context of a request, and reports rejected requests."""

from collections.abc import Awaitable, Callable

from starlette.requests import HTTPConnection
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from core.audit_context import AuditContext, audit_context
from core.db.engine import TransactionFactory
from core.http.client_ip import get_client_ip
from core.http.middleware import API_PREFIX, request_id
from core.http.tokens import get_agent_token, get_bearer_token

RecordRejection = Callable[[TransactionFactory, str, str, str | None], Awaitable[None]]
"""Takes method and path, and the token if the request was rejected because of it."""

UNAUTHENTICATED, REFUSED = 401, 403


class AuditMiddleware:
    """Sets where a request comes from. Authentication adds the caller and the credential.

    A refused request (403) and an invalid token of the API (401) are recorded before the response
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
        if path.startswith(API_PREFIX):
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
