"""Every operation that agents and scripts rely on exists, and is in the document."""

from importlib import import_module
from pkgutil import iter_modules

from api import endpoints
from api.app import OPERATIONS, root_routes
from api.framework.auth import AllowedCaller
from api.framework.operation import Operation
from api.openapi.document import PROBES
from tests.support.api_document import DOCUMENT

KNOWN = """
GET /activity
GET /activity/task-comments
GET /activity/task-comments/stream
POST /agent/heartbeat
GET /agent/boards
GET /agent/boards/{board_id}/tasks
PATCH /agent/boards/{board_id}/tasks/{task_id}
GET /agent/boards/{board_id}/tasks/{task_id}/comments
POST /agent/boards/{board_id}/tasks/{task_id}/comments
GET /agent/boards/{board_id}/memory
POST /agent/boards/{board_id}/memory
POST /agent/boards/{board_id}/gateway/main/ask-user
POST /agent/gateway/leads/broadcast
GET /agent/agents
POST /agent/agents
GET /agent/boards/{board_id}
POST /agent/boards/{board_id}/tasks
GET /agents
POST /agents
GET /agents/stream
POST /agents/heartbeat
DELETE /agents/{agent_id}
GET /agents/{agent_id}
PATCH /agents/{agent_id}
POST /agents/{agent_id}/heartbeat
GET /boards/{board_id}/approvals
POST /boards/{board_id}/approvals
GET /boards/{board_id}/approvals/stream
PATCH /boards/{board_id}/approvals/{approval_id}
POST /auth/bootstrap
GET /boards/{board_id}/group-memory
POST /boards/{board_id}/group-memory
GET /boards/{board_id}/group-memory/stream
GET /board-groups/{group_id}/memory
POST /board-groups/{group_id}/memory
GET /board-groups/{group_id}/memory/stream
GET /board-groups
POST /board-groups
DELETE /board-groups/{group_id}
GET /board-groups/{group_id}
PATCH /board-groups/{group_id}
GET /board-groups/{group_id}/snapshot
POST /board-groups/{group_id}/heartbeat
GET /boards/{board_id}/memory
POST /boards/{board_id}/memory
GET /boards/{board_id}/memory/stream
GET /boards/{board_id}/onboarding
POST /boards/{board_id}/onboarding/agent
POST /boards/{board_id}/onboarding/start
POST /boards/{board_id}/onboarding/answer
POST /boards/{board_id}/onboarding/confirm
GET /boards
POST /boards
DELETE /boards/{board_id}
GET /boards/{board_id}
PATCH /boards/{board_id}
GET /boards/{board_id}/snapshot
GET /boards/{board_id}/group-snapshot
GET /agent/boards/{board_id}/webhooks/{webhook_id}/payloads/{payload_id}
GET /boards/{board_id}/webhooks
POST /boards/{board_id}/webhooks
GET /boards/{board_id}/webhooks/{webhook_id}
PATCH /boards/{board_id}/webhooks/{webhook_id}
DELETE /boards/{board_id}/webhooks/{webhook_id}
POST /boards/{board_id}/webhooks/{webhook_id}
GET /boards/{board_id}/webhooks/{webhook_id}/payloads
GET /boards/{board_id}/webhooks/{webhook_id}/payloads/{payload_id}
GET /gateways/status
GET /gateways/commands
GET /gateways/sessions
GET /gateways/sessions/{session_id}
GET /gateways/sessions/{session_id}/history
POST /gateways/sessions/{session_id}/message
GET /gateways
POST /gateways
DELETE /gateways/{gateway_id}
GET /gateways/{gateway_id}
PATCH /gateways/{gateway_id}
POST /gateways/{gateway_id}/templates/sync
GET /metrics/dashboard
GET /skills/marketplace
POST /skills/marketplace
DELETE /skills/marketplace/{skill_id}
POST /skills/marketplace/{skill_id}/install
POST /skills/marketplace/{skill_id}/uninstall
GET /skills/packs
POST /skills/packs
GET /skills/packs/{pack_id}
PATCH /skills/packs/{pack_id}
DELETE /skills/packs/{pack_id}
POST /skills/packs/{pack_id}/sync
POST /organizations
DELETE /organizations/me
GET /organizations/me
GET /organizations/me/list
PATCH /organizations/me/active
GET /organizations/me/member
GET /organizations/me/invites
POST /organizations/me/invites
GET /organizations/me/members
POST /organizations/invites/accept
GET /souls-directory/search
GET /souls-directory/{handle}/{slug}
GET /souls-directory/{handle}/{slug}.md
GET /boards/{board_id}/tasks
POST /boards/{board_id}/tasks
GET /boards/{board_id}/tasks/stream
DELETE /boards/{board_id}/tasks/{task_id}
PATCH /boards/{board_id}/tasks/{task_id}
GET /boards/{board_id}/tasks/{task_id}/comments
POST /boards/{board_id}/tasks/{task_id}/comments
DELETE /users/me
GET /users/me
PATCH /users/me
"""
"""The operations of the contract, below /api/v1."""

MISSING: set[str] = set()
"""Operations that are not implemented yet. The list must not grow."""


def read_contract_operations() -> list[str]:
    return list(KNOWN.split("\n")[1:-1])


def test_every_operation_of_the_contract_exists() -> None:
    """A27.1. Paths and methods."""
    there = {f"{operation.method} {operation.path}" for operation in OPERATIONS}
    assert len(read_contract_operations()) == len(set(read_contract_operations())) == 114
    assert set(read_contract_operations()) - there == MISSING


def test_no_operation_is_declared_twice() -> None:
    declared = [f"{operation.method} {operation.path}" for operation in OPERATIONS]
    assert sorted(declared) == sorted(set(declared))


def test_the_document_contains_exactly_the_declared_operations() -> None:
    documented = {
        f"{method.upper()} {path}"
        for path, methods in DOCUMENT["paths"].items()
        for method in methods
    }
    there = {f"{operation.method} /api/v1{operation.path}" for operation in OPERATIONS}
    probes = {f"GET {path}" for path in PROBES}
    assert PROBES.keys() <= {route.path for route in root_routes}
    assert documented == there | probes


def test_operations_under_agent_are_for_agents_only() -> None:
    for operation in OPERATIONS:
        if operation.path.startswith("/agent/"):
            assert operation.allowed_caller is AllowedCaller.AGENT, operation.path


def test_every_declared_operation_is_served() -> None:
    """api/app.py lists the modules, so that one could be forgotten."""
    declared = [
        operation
        for module in iter_modules(endpoints.__path__, "api.endpoints.")
        for value in vars(import_module(module.name)).values()
        if isinstance(value, list)
        for operation in value
        if isinstance(operation, Operation)
    ]
    assert {id(one) for one in declared} == {id(one) for one in OPERATIONS}
