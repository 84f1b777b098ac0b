"""The gate at a face: nobody comes in unknown."""

from collections.abc import Awaitable, Callable
from typing import Any, TypeAlias

from starlette.requests import HTTPConnection
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

Identify: TypeAlias = Callable[[HTTPConnection], Awaitable[Any | None]]


class KnownCallersOnly:
    """Lets a request in if `identify` knows who is behind it, who is then `request.auth`.

    Everybody else gets the answer of `otherwise`.
    """

    def __init__(
        self, app: ASGIApp, identify: Identify, otherwise: Callable[[HTTPConnection], Response]
    ) -> None:
        self.app = app
        self.identify = identify
        self.otherwise = otherwise

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on with what is known of its caller, or answer it."""
        connection = HTTPConnection(scope)
        known = await self.identify(connection)
        if known is None:
            await self.otherwise(connection)(scope, receive, send)
        else:
            await self.app({**scope, "auth": known, "user": known.user}, receive, send)
