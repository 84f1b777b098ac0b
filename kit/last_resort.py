"""What becomes of an error that nobody expected: it is logged, and the caller is told little."""

import logging
from collections.abc import Awaitable, Callable

from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as NoConnectionFree
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from kit.errors import Unavailable

log = logging.getLogger("mission_control")

Answer = Callable[[Request, Exception], Awaitable[Response]]


class LastResort:
    """Answers what has failed, so that even then the answer passes through all other middleware."""

    def __init__(self, app: ASGIApp, answer: Answer) -> None:
        self.app = app
        self.answer = answer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, and answer it if it fails before anything was said."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        started = False

        async def send_and_remember(message: Message) -> None:
            nonlocal started
            started = True
            await send(message)

        try:
            await self.app(scope, receive, send_and_remember)
        except Exception as error:
            if is_outage(error):
                log.warning("the database does not answer: %s", error)
                error = Unavailable()
            else:
                log.exception("%s %s failed", scope["method"], scope["path"])
            if started:
                raise
            response = await self.answer(Request(scope), error)
            await response(scope, receive, send)


def is_outage(error: BaseException) -> bool:
    """Say whether an error means that the database is away, and not that we have erred."""
    if isinstance(error, OperationalError | InterfaceError | ConnectionError | NoConnectionFree):
        return True
    if isinstance(error, DBAPIError):
        return error.connection_invalidated or is_outage_code(error)
    return isinstance(error, TimeoutError)


def is_outage_code(error: DBAPIError) -> bool:
    """Say whether PostgreSQL's own code tells of a moment that passes.

    A lost connection, no room, a lock or a statement that took too long, a deadlock that was
    broken, a shutdown or a crash (PostgreSQL's appendix A).
    """
    code = str(getattr(error.orig, "sqlstate", "") or "")
    return code.startswith(("08", "53", "40", "55P03", "57"))
