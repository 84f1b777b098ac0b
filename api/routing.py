"""From operations to routes: one for each path, so that a wrong method is told the right ones."""

from collections.abc import Awaitable, Callable, Iterable, Mapping

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from api.operations import Operation

Endpoint = Callable[[Request], Awaitable[Response]]


def routes_of(operations: Iterable[Operation]) -> list[Route]:
    """Return the routes of all operations, in their order."""
    by_path: dict[str, dict[str, Operation]] = {}
    for operation in operations:
        by_path.setdefault(operation.path, {})[operation.method] = operation
    return [_route(path, by_method) for path, by_method in by_path.items()]


def _route(path: str, by_method: Mapping[str, Operation]) -> Route:
    async def run(request: Request) -> Response:
        method = "GET" if request.method == "HEAD" else request.method
        return await by_method[method].run(request)

    return Route(path, run, methods=list(by_method))
