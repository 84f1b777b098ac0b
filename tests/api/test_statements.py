"""The number of SQL statements of an operation is small, and independent of the number of rows."""

import asyncio
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from sqlalchemy import update
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker, create_async_engine

from api.app import OPERATIONS
from api.framework.auth import AllowedCaller as For
from api.framework.operation import Operation
from core.clock import now
from core.config.settings import Settings
from models import Agent, ApiToken, User
from tests.conftest import copy_database, rolled_back
from tests.support.api_fixtures import HIGH_RATE_LIMITS, create_client
from tests.support.api_objects import ApiObjects, operation_label
from tests.support.app_on_transactions import build_app_on
from tests.support.large_dataset import create_large_dataset
from tests.support.operation_requests import build_body, build_url
from tests.support.statement_counter import (
    LAST_USES,
    collect_built_statements,
    count_statements,
)
from tests.support.stored_world import store_world

FEW, MANY = 1, 200
READS, WRITES = 3, 10  # maximum number of statements

MORE_READS = {
    "GET /installation/audit": 4,
    "GET /boards/{board_id}/tasks/{task_id}/watchers": 4,
    "GET /channels/{channel_id}/deliveries": 4,
    "GET /gateways/{gateway_id}/config-changes": 4,
    "GET /notifications/preferences": 6,
    "GET /skills/marketplace": 4,
    "GET /skills/packs/{pack_id}": 4,
    "GET /webhooks/{webhook_id}/deliveries": 4,
    "GET /webhooks/{webhook_id}/deliveries/{delivery_id}": 4,
} | {
    f"GET {path}/why": 12
    for path in (
        "/boards/{board_id}/tasks/{task_id}",
        "/boards/{board_id}/approvals/{approval_id}",
        "/agents/{agent_id}/messages/{message_id}",
    )
}
"""Operations that read many tables: one statement for each."""

MORE_WRITES = {f"POST {prefix}/boards/{{board_id}}/approvals": 11 for prefix in ("", "/agent")} | {
    "PATCH /boards/{board_id}/approvals/{approval_id}": 14,
    "POST /approvals/decisions": 12,
    "POST /skills/marketplace/{skill_id}/uninstall": 13,
    "PATCH /notifications/preferences": 13,
    "PATCH /skills/packs/{pack_id}": 11,
    "DELETE /agent/boards/{board_id}/tasks/{task_id}": 11,
    "POST /agent/boards/{board_id}/gateway/main/ask-user": 11,
}
"""Operations that also create or resolve notifications. Decisions read the rights again, read the
content, and store what was reviewed. An address of a pack is checked under the organization's
lock. Preferences are in three tables, which are read again for the response."""

BOARD, TASK = "/boards/{board_id}", "/boards/{board_id}/tasks/{task_id}"
COMMANDS_BUILT_ONCE = {
    *(f"POST {prefix}{BOARD}/tasks" for prefix in ("", "/agent")),
    *(f"PATCH {prefix}{TASK}" for prefix in ("", "/agent")),
    *(f"POST {prefix}{TASK}/comments" for prefix in ("", "/agent")),
    *("POST /agent/heartbeat", "POST /agents/{agent_id}/heartbeat"),
    *(f"PATCH {BOARD}/approvals/{{approval_id}}", "POST /approvals/decisions"),
}
"""Frequent commands, whose statements are built once."""

MEASURED_OPERATIONS = [
    one
    for one in OPERATIONS
    if one.response_type is not None and not getattr(one.handler, "waits_for_network", False)
]
"""Without streams and calls to gateways, which take longer than any statement."""

EXCLUDED_OPERATIONS = {
    "POST /organizations/invites/accept",  # called by the invited user
    "DELETE /gateways/{gateway_id}",  # for a gateway without boards
    "DELETE /organizations/me",  # needs a recent sign-in
}
"""Operations that the owner cannot call here: see test_people_statements.py."""


@dataclass(frozen=True)
class SizedDatabase:
    """A database with a given number of rows."""

    settings: Settings
    objects: ApiObjects


@pytest.fixture(scope="module")
def databases(postgres_server: str, template_database: str) -> Iterator[dict[int, SizedDatabase]]:
    """A database with one row of everything, and one with two hundred."""
    with (
        copy_database(template_database, postgres_server, "few") as few,
        copy_database(template_database, postgres_server, "many") as many,
    ):
        yield {
            size: SizedDatabase(settings, asyncio.run(_create_database(settings, size)))
            for size, settings in [(FEW, few), (MANY, many)]
        }


async def _create_database(settings: Settings, size: int) -> ApiObjects:
    engine = create_async_engine(settings.sqlalchemy_url)
    transaction = async_sessionmaker(engine, expire_on_commit=False).begin
    world = await store_world(transaction)
    async with transaction() as session:
        objects = await create_large_dataset(session, world, size)
    await engine.dispose()
    return objects


def list_callers(operation: Operation, objects: ApiObjects) -> list[User | Agent]:
    """Return a user and an agent who may call the operation, as far as both may."""
    world = objects.world
    if operation.path == "/users/me" and operation.method == "DELETE":
        return [world.dana]
    if operation.path == "/agents/{agent_id}/heartbeat":
        return [world.alice, world.other_worker]
    by_kind: dict[For, list[User | Agent]] = {
        For.USER: [world.alice],
        For.AGENT: [objects.get_allowed_caller(operation)],
        For.EITHER: [world.alice, world.lead],
    }
    return by_kind[operation.allowed_caller]


async def record_statements(
    database: SizedDatabase, operation: Operation, caller_index: int, body: Any = None
) -> tuple[int, list[str]]:
    """Return the status of the response, and the SQL statements of the request.

    Transaction control and the batch of last uses are left out.
    """
    async with rolled_back(database.settings) as (connection, transaction):
        async with transaction() as session:
            await _mark_recently_seen(session)
        caller = list_callers(operation, database.objects)[caller_index]
        client = create_client(
            build_app_on(database.settings.model_copy(update=HIGH_RATE_LIMITS), transaction), caller
        )
        with count_statements(connection) as collected:
            answer = await client.request(
                operation.method,
                build_url(operation, database.objects),
                json=build_body(operation, database.objects) if body is None else body,
            )
    assert answer.status_code == 200, answer.text
    return answer.status_code, [one for one in collected if not one.startswith(LAST_USES)]


def summarize(statement: str) -> str:
    """Return the verb of a statement, and its table."""
    verb, *_ = statement.split()
    tables = re.findall(r"(?:\bfrom|\binto|^update) (\w+)", statement, re.IGNORECASE)
    return f"{verb.lower()} {' '.join(tables[:2])}"


async def _mark_recently_seen(session: AsyncSession) -> None:
    """Mark all callers as recently active: that is updated once a minute, not with each call."""
    await session.execute(update(Agent).values(last_seen_at=now()))
    await session.execute(update(ApiToken).values(last_used_at=now()))


def caller_kind(operation: Operation, caller_index: int) -> str:
    """Return the kind of a caller."""
    return "agent" if caller_index or operation.allowed_caller is For.AGENT else "person"


CASES = [
    (operation, caller_index)
    for operation in MEASURED_OPERATIONS
    if operation_label(operation) not in EXCLUDED_OPERATIONS
    for caller_index in range(2 if operation.allowed_caller is For.EITHER else 1)
]


@pytest.mark.parametrize(
    ("operation", "caller_index"),
    CASES,
    ids=[
        f"{operation_label(operation)} {caller_kind(operation, caller_index)}"
        for operation, caller_index in CASES
    ],
)
async def test_the_number_of_statements_does_not_grow_with_the_data(
    operation: Operation, caller_index: int, databases: dict[int, SizedDatabase]
) -> None:
    """P6. Statements of reads and frequent commands are built once, not for each request."""
    _, few = await record_statements(databases[FEW], operation, caller_index)
    with collect_built_statements() as built:
        _, many = await record_statements(databases[MANY], operation, caller_index)
    is_built_once = operation.method == "GET" or operation_label(operation) in COMMANDS_BUILT_ONCE
    assert not (is_built_once and built), built
    reads = MORE_READS.get(operation_label(operation), READS)
    most = reads if operation.method == "GET" else WRITES
    most = MORE_WRITES.get(operation_label(operation), most)
    summary = [summarize(statement) for statement in many]
    assert len(many) <= most, summary
    assert len(few) == len(many), (len(few), summary)
