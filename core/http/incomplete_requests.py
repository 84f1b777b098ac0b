"""Limit the time and the number of requests whose body is incomplete."""

import asyncio

from starlette.datastructures import Headers
from starlette.requests import HTTPConnection
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from core.errors import RequestTimeout
from core.http.client_address import get_client_ip, rate_limit_network
from core.limiters import ConcurrencyLimiter
from core.text import N_

BODY_TIMEOUT = 60.0  # seconds for a whole body
MAX_PER_CREDENTIAL = 50
MAX_PER_NETWORK = 200


class IncompleteRequestMiddleware:
    """Raises RequestTimeout for a slow body, and TooMany for too many bodies at once."""

    def __init__(self, app: ASGIApp, *, timeout: float = BODY_TIMEOUT) -> None:
        self.app = app
        self.timeout = timeout
        self.limiter = ConcurrencyLimiter(
            N_("Too many incomplete requests."), "incomplete_requests"
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Run the application with limits on the request body."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        body = _LimitedBody(scope, receive, self.limiter, self.timeout)

        async def send_and_close(message: Message) -> None:
            if message["type"] == "http.response.start" and body.is_refused:
                headers = [*message.get("headers", []), (b"connection", b"close")]
                message = {**message, "headers": headers}
            await send(message)

        try:
            await self.app(scope, body.receive, send_and_close)
        finally:
            body.release()


class _LimitedBody:
    """The body of one request."""

    def __init__(
        self, scope: Scope, receive: Receive, limiter: ConcurrencyLimiter, timeout: float
    ) -> None:
        self._scope = scope
        self._receive = receive
        self._limiter = limiter
        self._timeout = timeout
        self._deadline: float | None = None
        self._is_complete = False
        self.is_refused = False
        self.release = lambda: None

    async def receive(self) -> Message:
        """Receive a part of the body. Raises RequestTimeout and TooMany."""
        if self._is_complete:
            return await self._receive()
        if self._deadline is None:
            self.is_refused = True
            self.release = self._limiter.acquire(_list_limits(self._scope))
            self.is_refused = False
            self._deadline = asyncio.get_running_loop().time() + self._timeout
        try:
            async with asyncio.timeout_at(self._deadline):
                message = await self._receive()
        except TimeoutError:
            self.is_refused = True
            raise RequestTimeout(self._timeout) from None
        self._is_complete = not message.get("more_body")
        if self._is_complete:
            self.release()
        return message


def _list_limits(scope: Scope) -> dict[str, int]:
    trusted = scope["state"]["settings"].trusted_proxies
    network = rate_limit_network(get_client_ip(HTTPConnection(scope), trusted))
    headers = Headers(scope=scope)
    names = ("Authorization", "X-Agent-Token", "Cookie")
    credential = next((value for name in names if (value := headers.get(name))), "")
    limits = {f"network {network}": MAX_PER_NETWORK}
    return limits | ({f"credential {credential}": MAX_PER_CREDENTIAL} if credential else {})
