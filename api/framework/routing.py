"""Routes of the operations, and the endpoints outside /api/v1.

One route serves all methods of a path, so that a 405 response lists the allowed methods.
"""

import asyncio
import hashlib
from collections.abc import Awaitable, Callable, Iterable, Mapping
from functools import cache

from sse_starlette.sse import AppStatus
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from api.framework.errors import answer_with_etag
from api.framework.operation import Operation
from core.http.grouped_router import GroupedRouter, get_length_and_first_segment
from core.http.request import get_settings
from core.version import VERSION

Endpoint = Callable[[Request], Awaitable[Response]]


def build_operation_router(operations: Iterable[Operation]) -> GroupedRouter:
    """Build the routes of the operations, one for each path and in their order."""
    by_path: dict[str, dict[str, Operation]] = {}
    for operation in operations:
        by_path.setdefault(operation.path, {})[operation.method] = operation
    routes = [_build_route(path, by_method) for path, by_method in by_path.items()]
    # A parameter is one segment, and never the first.
    return GroupedRouter(routes, get_length_and_first_segment)


def _build_route(path: str, by_method: Mapping[str, Operation]) -> Route:
    async def run(request: Request) -> Response:
        method = "GET" if request.method == "HEAD" else request.method
        return await by_method[method].handle(request)

    return Route(path, run, methods=list(by_method))


def serve_document(render: Callable[[str], bytes | str], media_type: str) -> Endpoint:
    """Return an endpoint for a document that depends only on the server's base URL.

    The document is rendered once per base URL, in a thread: it takes a second.
    """

    @cache
    def render_once(server: str) -> tuple[bytes, str]:
        rendered = render(server)
        document = rendered.encode() if isinstance(rendered, str) else rendered
        return document, hashlib.sha256(document).hexdigest()[:16]

    async def run(request: Request) -> Response:
        server = get_settings(request).base_url
        document, tag = await asyncio.to_thread(render_once, server)
        return answer_with_etag(request, Response(document, media_type=media_type), tag)

    return run


async def report_health(_request: Request) -> Response:
    """Report that the process is running, and its version."""
    return JSONResponse({"ok": True, "version": VERSION})


async def check_readiness(request: Request) -> Response:
    """Report whether requests can be served, with the names of the checks that have failed.

    Responds with 503 during shutdown and without a database that accepts writes. Warnings alone
    are not failures.
    """
    if AppStatus.should_exit:
        return JSONResponse({"ok": False}, 503)
    results = await request.state.readiness.get_results()
    problems = [result for result in results if result.problem]
    failed = [result.name for result in problems if not result.is_warning]
    warnings = [result.name for result in problems if result.is_warning]
    lists = {"failed": failed, "warnings": warnings}
    named = {name: found for name, found in lists.items() if found}
    return JSONResponse({"ok": not failed, **named}, 503 if failed else 200)
