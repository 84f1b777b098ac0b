"""Functions that declare the operations of agents together with their hints."""

from collections.abc import Mapping

from api.framework.auth import AllowedCaller
from api.framework.handler import Dependency, Handler
from api.framework.operation import Operation
from api.openapi import board_hints, communication_hints
from api.openapi.board_hints import OperationHint

HINTS: Mapping[str, OperationHint] = {**board_hints.HINTS, **communication_hints.HINTS}
"""Hints by intent."""

USER, AGENT, EITHER = AllowedCaller.USER, AllowedCaller.AGENT, AllowedCaller.EITHER
ANYONE = AllowedCaller.ANYONE  # in an operation that identifies its caller otherwise

__all__ = [
    "AGENT",
    "ANYONE",
    "EITHER",
    "USER",
    "Operation",
    "declare_agent",
    "declare_agent_memory",
    "declare_group_memory",
    "declare_shared",
]


def declare_agent(
    method: str, path: str, handler: Handler, intent: str, dependency: Dependency | None = None
) -> Operation:
    """Declare an operation under /agent that only agents may call."""
    hint = HINTS[intent]
    tags = ["agent", *hint.tags]
    keys = hint.build_extensions(intent)
    return Operation(
        method, f"/agent{path}", handler, AGENT, tags, dependency, keys, hint.operation_id
    )


def declare_agent_memory(
    method: str, path: str, handler: Handler, action: str, dependency: Dependency
) -> Operation:
    """Declare an operation under /agent on the memory of a board."""
    return declare_agent(method, path, handler, f"agent_board_memory_{action}", dependency)


def declare_shared(method: str, path: str, handler: Handler, tag: str, intent: str) -> Operation:
    """Declare an operation for users and agents that agents select by its hints."""
    hint = HINTS[intent]
    tags, keys = [tag, *hint.tags], hint.build_extensions(intent)
    return Operation(method, path, handler, EITHER, tags, None, keys, hint.operation_id)


def declare_group_memory(
    method: str, path: str, handler: Handler, action: str, dependency: Dependency
) -> Operation:
    """Declare an operation of users and agents on the memory of a board's group."""
    intent = f"agent_board_group_memory_{action}"
    hint = HINTS[intent]
    tags, keys = ["board-group-memory", *hint.tags], hint.build_extensions(intent)
    return Operation(method, path, handler, EITHER, tags, dependency, keys, hint.operation_id)
