"""The API as one ASGI application: routes and error handlers.

The operations are declared in api/routes/.
"""

from functools import partial

from starlette.exceptions import HTTPException
from starlette.middleware.exceptions import ExceptionMiddleware
from starlette.routing import Route

from api.framework.errors import (
    handle_app_error,
    handle_server_error,
    handle_unknown_address,
)
from api.framework.routing import (
    OperationRouter,
    check_readiness,
    report_health,
    serve_document,
)
from api.openapi.document import render_json, render_page
from api.routes import OPERATIONS
from core.errors import AppError

__all__ = ["OPERATIONS", "app", "handle_server_error", "handle_unknown_address", "root_routes"]

root_routes = [
    Route("/health", report_health),
    Route("/healthz", report_health),
    Route("/readyz", check_readiness),
    Route("/openapi.json", serve_document(partial(render_json, OPERATIONS), "application/json")),
    Route("/docs", serve_document(partial(render_page, OPERATIONS), "text/html")),
]

app = ExceptionMiddleware(
    OperationRouter(OPERATIONS),
    handlers={AppError: handle_app_error, HTTPException: handle_unknown_address},
)
