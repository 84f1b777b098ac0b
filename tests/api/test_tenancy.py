"""Callers of another organization or board find and change nothing."""

from collections.abc import Mapping
from typing import Any

import pytest

from api.app import OPERATIONS
from api.framework.auth import AllowedCaller as For
from api.framework.operation import Operation
from core.db.engine import TransactionFactory
from models import Agent, User
from tests.support.api_fixtures import ClientFactory
from tests.support.api_objects import ApiObjects, create_api_objects, operation_label
from tests.support.checksums import compute_checksums
from tests.support.operation_requests import build_body, build_url
from tests.support.world import World

WITH_IDS = [
    operation
    for operation in OPERATIONS
    if "{" in operation.path and not operation.path.startswith("/souls-directory")
]
"""Operations with ids in the path; souls are public."""
assert len(WITH_IDS) > 100
KEYS_IN_BODY = ("board_id", "task_id", "agent_id", "gateway_id", "organization_id")


def list_outsiders(operation: Operation, world: World) -> list[tuple[User | Agent, set[int]]]:
    """Return callers without access, and the expected statuses.

    Objects of another organization do not exist: 404. Inside the own organization a missing right
    is 403; an agent that names an object of another board may get either.
    """
    people: list[tuple[User | Agent, set[int]]] = [(world.charlie, {404})]
    agents: list[tuple[User | Agent, set[int]]] = [
        (world.charlies_worker, {404}),
        (world.gardener, {403, 404}),
    ]
    return {
        For.USER: people,
        For.AGENT: agents,
        For.EITHER: [*people, *agents],
        For.ANYONE: [],
    }[operation.allowed_caller]


OPEN: Mapping[tuple[str, str], set[int]] = {
    ("DELETE", "/agents/{agent_id}"): {200},
    ("POST", "/agents/{agent_id}/heartbeat"): {403, 404},
}
"""Deleting a missing agent succeeds; an agent sends heartbeats only for itself."""


async def test_an_outsider_finds_and_changes_nothing(
    subtests: pytest.Subtests,
    client_for: ClientFactory,
    world: World,
    transaction: TransactionFactory,
) -> None:
    async with transaction() as session:
        objects = await create_api_objects(session, world)
        before = await compute_checksums(session)
    for operation in WITH_IDS:
        with subtests.test(operation_label(operation)):
            for outsider, expected in list_outsiders(operation, world):
                answer = await client_for(outsider).request(
                    operation.method,
                    build_url(operation, objects),
                    json=build_body(operation, objects),
                )
                allowed = OPEN.get((operation.method, operation.path), expected)
                assert answer.status_code in allowed, (outsider.name, answer.text)
                assert "Launch" not in answer.text
    async with transaction() as session:
        assert await compute_checksums(session) == before


def list_fields(operation: Operation) -> set[str]:
    """Return the fields of body and query of an operation."""
    models = (operation.parser.body, operation.parser.query)
    return {name for model in models if model for name in model.model_fields}


NAMING = [
    operation
    for operation in OPERATIONS
    if "{" not in operation.path and list_fields(operation) & set(KEYS_IN_BODY)
]
assert NAMING


async def test_a_foreign_object_cannot_be_referenced_in_a_request(
    subtests: pytest.Subtests,
    client_for: ClientFactory,
    world: World,
    transaction: TransactionFactory,
) -> None:
    """Ids in bodies and queries follow the same rules as ids in paths."""
    async with transaction() as session:
        objects = await create_api_objects(session, world)
        before = await compute_checksums(session)
    for operation in NAMING:
        with subtests.test(operation_label(operation)):
            ids = list_named_ids(operation, objects)

            for outsider, _ in list_outsiders(operation, world):
                if isinstance(outsider, Agent) and operation.path.endswith("/heartbeat"):
                    continue  # the heartbeat counts for the caller, whatever it names
                body = operation.parser.body and {
                    **(build_body(operation, objects) or {}),
                    **ids,
                }
                answer = await client_for(outsider).request(
                    operation.method,
                    operation.path,
                    json=body,
                    params=ids if operation.parser.query else None,
                )
                found = answer.json().get("total", answer.status_code)
                assert found in {0, 403, 404, 422}, (outsider.name, answer.text)
                assert "Launch" not in answer.text
    async with transaction() as session:
        assert await compute_checksums(session) == before


def list_named_ids(operation: Operation, objects: ApiObjects) -> dict[str, Any]:
    """Return the ids of objects of Launch in body or query of an operation."""
    ids = {
        "board_id": objects.world.board.id,
        "task_id": objects.task.id,
        "agent_id": objects.world.other_worker.id,
        "gateway_id": objects.gateway.id,
        "organization_id": objects.world.tern.id,
    }
    return {name: str(id) for name, id in ids.items() if name in list_fields(operation)}
