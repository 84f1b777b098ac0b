"""Who is of another organization, or works on another board, finds nothing and changes nothing."""

from collections.abc import Mapping
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from api.app import OPERATIONS
from api.auth import Caller as For
from api.operations import Operation
from models import Agent, Base, User
from tests.api.asking import address_for, body_for
from tests.api.conftest import Caller
from tests.api.walking import Things, named, things
from tests.conftest import Transaction
from tests.world import World

SEEN_ONLY = ("last_seen_at", "last_used_at")
"""What changes by calling, whatever comes of it."""

WITH_IDS = [
    operation
    for operation in OPERATIONS
    if "{" in operation.path and not operation.path.startswith("/souls-directory")
]
"""Souls are everybody's."""
KEYS_IN_BODY = ("board_id", "task_id", "agent_id", "gateway_id", "organization_id")


ROWS = """
    select coalesce(md5(string_agg(r, ',' order by r)), '')
    from (select (to_jsonb(t) {kept})::text as r from {table} t) rows
"""


async def checksums(session: AsyncSession) -> Mapping[str, str]:
    """Return a checksum of every table, so that no change can hide."""
    kept = " ".join(f"- '{column}'" for column in SEEN_ONLY)
    tables = [table.name for table in Base.metadata.sorted_tables]
    return {
        table: await session.scalar(text(ROWS.format(kept=kept, table=table))) or ""
        for table in tables
    }


def outsiders(operation: Operation, world: World) -> list[tuple[User | Agent, set[int]]]:
    """Return who must not do this, and what they are told.

    In another organization nothing of this one exists: 404. Inside it, what one has no right to
    is forbidden: 403; an agent that names a thing of another board may be told either.
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
    }[operation.caller]


OPEN: Mapping[tuple[str, str], set[int]] = {
    ("DELETE", "/agents/{agent_id}"): {200},
    ("POST", "/agents/{agent_id}/heartbeat"): {403, 404},
}
"""What is not there any more is no trouble; and an agent checks in for itself alone."""


@pytest.mark.parametrize("operation", WITH_IDS, ids=named)
async def test_an_outsider_finds_nothing_and_changes_nothing(
    operation: Operation, calling: Caller, world: World, transaction: Transaction
) -> None:
    async with transaction() as session:
        there = await things(session, world)
        before = await checksums(session)

    for outsider, told in outsiders(operation, world):
        answer = await calling(outsider).request(
            operation.method, address_for(operation, there), json=body_for(operation, there)
        )
        allowed = OPEN.get((operation.method, operation.path), told)
        assert answer.status_code in allowed, (outsider.name, answer.text)
        assert "Launch" not in answer.text

    async with transaction() as session:
        assert await checksums(session) == before


def fields_of(operation: Operation) -> set[str]:
    """Return what an operation takes in its body and its query."""
    models = (operation.reads.body, operation.reads.query)
    return {name for model in models if model for name in model.model_fields}


NAMING = [
    operation
    for operation in OPERATIONS
    if "{" not in operation.path and fields_of(operation) & set(KEYS_IN_BODY)
]


@pytest.mark.parametrize("operation", NAMING, ids=named)
async def test_a_strangers_thing_is_not_reached_by_naming_it_elsewhere(
    operation: Operation, calling: Caller, world: World, transaction: Transaction
) -> None:
    """Ids in bodies and queries are held to the same as those in paths."""
    async with transaction() as session:
        there = await things(session, world)
        before = await checksums(session)
    ids = named_ids(operation, there)

    for outsider, _ in outsiders(operation, world):
        if isinstance(outsider, Agent) and operation.path.endswith("/heartbeat"):
            continue  # it checks in for itself, whatever it names
        body = operation.reads.body and {**(body_for(operation, there) or {}), **ids}
        answer = await calling(outsider).request(
            operation.method,
            operation.path,
            json=body,
            params=ids if operation.reads.query else None,
        )
        found = answer.json().get("total", answer.status_code)
        assert found in {0, 403, 404, 422}, (outsider.name, answer.text)
        assert "Launch" not in answer.text

    async with transaction() as session:
        assert await checksums(session) == before


def named_ids(operation: Operation, there: Things) -> dict[str, Any]:
    """Return the ids of things of Launch that an operation takes in its body or its query."""
    ids = {
        "board_id": there.world.board.id,
        "task_id": there.task.id,
        "agent_id": there.world.other_worker.id,
        "gateway_id": there.gateway.id,
        "organization_id": there.world.tern.id,
    }
    return {name: str(id) for name, id in ids.items() if name in fields_of(operation)}
