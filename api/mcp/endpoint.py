"""The address of the MCP server: its callers, and the SDK that their first request imports."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from importlib import import_module
from urllib.parse import urlsplit

from starlette.exceptions import HTTPException
from starlette.middleware.exceptions import ExceptionMiddleware
from starlette.requests import Request
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from api.framework.auth import AllowedCaller, authenticate_request
from api.framework.errors import handle_app_error, handle_unknown_address
from core.cancellation import cancel_task
from core.errors import AppError, Forbidden
from core.http.request import get_settings
from core.text import N_

PATH = "/mcp"


@asynccontextmanager
async def run_server() -> AsyncGenerator[ASGIApp]:
    """Yield the application of the SDK, which its first request imports and starts.

    A task of its own runs it: the SDK has to be left in the task in which it was entered.
    """
    is_requested = asyncio.Event()
    started: asyncio.Future[ASGIApp] = asyncio.get_running_loop().create_future()

    async def run_when_requested() -> None:
        await is_requested.wait()
        try:
            # in a thread: the import takes 0.3 s, in which other requests are handled
            server = await asyncio.to_thread(import_module, "api.mcp.server")
        except ImportError as error:
            started.set_exception(error)
            return
        async with server.run_sdk() as application:
            started.set_result(application)
            await asyncio.Future()  # until the process stops

    async def handle(scope: Scope, receive: Receive, send: Send) -> None:
        is_requested.set()
        application = await asyncio.shield(started)  # others wait for it too
        await application(scope, receive, send)

    running = asyncio.create_task(run_when_requested())
    try:
        yield handle
    except GeneratorExit:  # the server was forced to stop: there is no time to wait
        raise
    except BaseException:
        await cancel_task(running)
        raise
    await cancel_task(running)


class _AuthenticatedServer:
    """Authenticates the caller of a request to the MCP server.

    An error has no WWW-Authenticate: clients would search for an OAuth server.
    """

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Run the MCP server for a user or an agent."""
        request = Request(scope, receive)
        if request.method != "POST":
            # With GET, a client would keep a connection open on which nothing is ever sent.
            raise HTTPException(405, headers={"Allow": "POST"})
        _check_origin(request)
        # Listing tools needs no more than reading does; each tool checks its own rights.
        request.state.mcp_caller = await authenticate_request(
            Request({**scope, "method": "GET"}, receive), AllowedCaller.EITHER
        )
        await request.state.mcp_server(scope, receive, send)


def _check_origin(request: Request) -> None:
    """Raise Forbidden if a browser sends a request for a page of another site.

    The SDK would also compare Host, which proxies rewrite; a page cannot choose the Origin.
    """
    origin = request.headers.get("Origin")
    settings = get_settings(request)
    own = urlsplit(settings.base_url)
    if origin not in (None, f"{own.scheme}://{own.netloc}", *settings.cors_origins):
        raise Forbidden("origin_not_allowed", N_("This request was sent from another site."))


route = Route(
    PATH,
    ExceptionMiddleware(
        _AuthenticatedServer(),
        handlers={AppError: handle_app_error, HTTPException: handle_unknown_address},
    ),
)
