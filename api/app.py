"""The API as one ASGI application: operations, routes and error handlers.

Each module in api/endpoints/ lists its operations after their handlers.
"""

from functools import partial

from starlette.exceptions import HTTPException
from starlette.middleware.exceptions import ExceptionMiddleware
from starlette.routing import Route

from api.endpoints import (
    accounts,
    activity,
    agents,
    approvals,
    audit,
    board_groups,
    board_webhooks,
    boards,
    causes,
    channels,
    coding_agents,
    coordination,
    custom_fields,
    gateway_requests,
    gateway_runs,
    gateway_sessions,
    gateways,
    memory,
    messages,
    metrics,
    notifications,
    onboarding,
    organizations,
    policies,
    presence,
    questions,
    search,
    skills,
    souls,
    tags,
    tasks,
    webhook_endpoints,
)
from api.framework.agent_operations import HINTS
from api.framework.errors import (
    handle_app_error,
    handle_server_error,
    handle_unknown_address,
)
from api.framework.routing import (
    build_operation_router,
    check_readiness,
    report_health,
    serve_document,
)
from api.openapi.document import render_json, render_page
from api.openapi.guide import GUIDE_URL, render_guide, render_llms_text
from api.openapi.role_documents import DocumentRole, render_role_json
from core.errors import AppError

__all__ = ["OPERATIONS", "app", "handle_server_error", "handle_unknown_address", "root_routes"]

_declared = [
    *accounts.OPERATIONS,
    *organizations.OPERATIONS,
    *notifications.OPERATIONS,
    *tags.OPERATIONS,
    *custom_fields.OPERATIONS,
    *boards.OPERATIONS,
    *board_groups.BOARD_OPERATIONS,
    *onboarding.OPERATIONS,
    *tasks.OPERATIONS,
    *presence.OPERATIONS,
    *approvals.OPERATIONS,
    *board_webhooks.OPERATIONS,
    *policies.OPERATIONS,
    *webhook_endpoints.OPERATIONS,
    *channels.OPERATIONS,
    *questions.OPERATIONS,
    *skills.OPERATIONS,
    *memory.OPERATIONS,
    *board_groups.OPERATIONS,
    *memory.GROUP_OPERATIONS,
    *activity.OPERATIONS,
    *audit.OPERATIONS,
    *causes.OPERATIONS,
    *metrics.OPERATIONS,
    *search.OPERATIONS,
    *souls.OPERATIONS,
    *agents.OPERATIONS,
    *coding_agents.OPERATIONS,
    *messages.OPERATIONS,
    *gateway_runs.OPERATIONS,
    *gateway_requests.OPERATIONS,
    *gateway_sessions.OPERATIONS,
    *gateways.OPERATIONS,
    *coordination.OPERATIONS,
]
_positions = {intent: position for position, intent in enumerate(HINTS)}

OPERATIONS = sorted(
    _declared,
    key=lambda one: _positions[one.hints["x-llm-intent"]] if one.path.startswith("/agent/") else -1,
)
"""All operations, in the order of the OpenAPI document; those under /agent as in HINTS."""

root_routes = [
    Route("/health", report_health),
    Route("/healthz", report_health),
    Route("/readyz", check_readiness),
    Route("/openapi.json", serve_document(partial(render_json, OPERATIONS), "application/json")),
    *(
        Route(
            f"/openapi/{role}.json",
            serve_document(partial(render_role_json, role, OPERATIONS), "application/json"),
        )
        for role in DocumentRole
    ),
    Route("/llms.txt", serve_document(render_llms_text, "text/plain")),
    Route(GUIDE_URL, serve_document(render_guide, "text/html")),
    Route("/docs", serve_document(partial(render_page, OPERATIONS), "text/html")),
]

app = ExceptionMiddleware(
    build_operation_router(OPERATIONS),
    handlers={AppError: handle_app_error, HTTPException: handle_unknown_address},
)
