"""The API as one ASGI app: its routes, and how a refusal is told.

The operations themselves are declared in api/catalogue/, one line each.
"""

from starlette.exceptions import HTTPException
from starlette.middleware.exceptions import ExceptionMiddleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route, Router

from api.catalogue import OPERATIONS
from api.health import health, readyz
from api.json import envelope, refused
from api.reference import openapi_of, reference_of
from api.routing import routes_of
from kit.errors import Refusal

root_routes = [
    Route("/health", health),
    Route("/healthz", health),
    Route("/readyz", readyz),
    Route("/openapi.json", openapi_of(OPERATIONS)),
    Route("/docs", reference_of(OPERATIONS)),
]


async def no_route(_request: Request, error: Exception) -> Response:
    """Answer what the router itself refuses: a path or a method that does not exist."""
    assert isinstance(error, HTTPException)
    code = {404: "not_found", 405: "method_not_allowed"}.get(error.status_code, "refused")
    return envelope(error.status_code, code=code, headers=dict(error.headers or {}))


async def failed(request: Request, error: Exception) -> Response:
    """Answer what nobody expected, and what cannot be answered because the database is away."""
    if isinstance(error, Refusal):
        return await refused(request, error)
    return envelope(500)


app = ExceptionMiddleware(
    Router(routes_of(OPERATIONS)), handlers={Refusal: refused, HTTPException: no_route}
)
