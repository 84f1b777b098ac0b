"""An operation needs few round trips to the database, independent of the number of rows."""

import asyncio
import re
from collections.abc import Iterator
from dataclasses import dataclass

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
    collect_repeated_round_trips,
)
from tests.support.stored_world import store_world
from tests.support.tiers import repetition

FEW, MANY = 1, 200
READS, WRITES = 3, 10  # maximum number of round trips

BOARD, TASK = "/boards/{board_id}", "/boards/{board_id}/tasks/{task_id}"

MORE_READS = {
    "GET /agents/{agent_id}/sessions": 4,
    "GET /installation/audit": 4,
    "GET /boards/{board_id}/tasks/{task_id}/watchers": 4,
    "GET /boards/{board_id}/tasks/{task_id}/why": 10,
    "GET /boards/{board_id}/approvals/{approval_id}/why": 8,
    "GET /agents/{agent_id}/messages/{message_id}/why": 8,
    "GET /channels/{channel_id}/deliveries": 4,
    "GET /gateway-requests": 4,
    "GET /gateways/{gateway_id}/config-changes": 4,
    "GET /notifications/preferences": 6,
    "GET /skills/marketplace": 4,
    "GET /webhooks/{webhook_id}/deliveries": 4,
    "GET /webhooks/{webhook_id}/deliveries/{delivery_id}": 4,
}
"""Reads that need more round trips: these are their present numbers, which must not grow.

Most read several tables, or load an object before they list what belongs to it. Sessions of a page
are chosen before their calls and tokens are summed."""

MORE_WRITES = (
    dict.fromkeys((f"POST {prefix}/boards/{{board_id}}/approvals" for prefix in ("", "/agent")), 13)
    | dict.fromkeys((f"PATCH {prefix}{TASK}" for prefix in ("", "/agent")), 12)
    | dict.fromkeys((f"POST {prefix}{TASK}/comments" for prefix in ("", "/agent")), 12)
    | {
        "DELETE /agent/boards/{board_id}/agents/{agent_id}": 13,
        "DELETE /agent/boards/{board_id}/tasks/{task_id}": 13,
        "DELETE /agents/{agent_id}": 12,
        "DELETE /boards/{board_id}": 13,
        "DELETE /boards/{board_id}/tasks/{task_id}": 11,
        "DELETE /organizations/me/members/{member_id}": 12,
        "DELETE /skills/packs/{pack_id}": 11,
        "DELETE /users/me": 13,
        "PATCH /boards/{board_id}/approvals/{approval_id}": 17,
        "PATCH /notifications/preferences": 15,
        "PATCH /skills/packs/{pack_id}": 13,
        "POST /agent/boards/{board_id}/gateway/main/ask-user": 13,
        "POST /agents/{agent_id}/heartbeat": 11,
        "POST /board-groups/{group_id}/heartbeat": 11,
        "POST /agents/{agent_id}/provisioning": 11,
        "POST /approvals/decisions": 13,
        "POST /boards/{board_id}/onboarding/confirm": 11,
        "POST /organizations/me/invites/{invite_id}/links": 12,
        "POST /organizations/me/stop": 11,
        "POST /questions/{question_id}/answer": 12,
        "POST /skills/marketplace": 11,
        "POST /skills/marketplace/{skill_id}/uninstall": 15,
        "POST /skills/packs": 11,
        "POST /webhooks": 11,
        "POST /webhooks/{webhook_id}/replays": 11,
        "POST /webhooks/{webhook_id}/deliveries/{delivery_id}/replays": 12,
        "PUT /agent/boards/{board_id}/agents/{agent_id}/soul": 11,
        "PUT /agents/{agent_id}/hold": 12,
        "PUT /organizations/me/members/{member_id}/access": 11,
    }
)
"""Writes that need more round trips: these are their present numbers, which must not grow.

Changes and comments of tasks, questions and requests also create notifications and messages to
agents. Decisions lock the memberships, read the rights and the content, and store what was
reviewed. What is deleted is locked and cleaned up in other tables and on gateways. An address of a
pack or webhook and a skill are checked under the organization's lock. Preferences are in three
tables, which are read again for the response. Agents are locked in their order by a statement
before the one that changes them. Rights of members are compared with those of the
caller. An admin who sends a heartbeat is authenticated as a member first."""

COMMANDS_BUILT_ONCE = {
    *(f"POST {prefix}{BOARD}/tasks" for prefix in ("", "/agent")),
    *(f"PATCH {prefix}{TASK}" for prefix in ("", "/agent")),
    *(f"POST {prefix}{TASK}/comments" for prefix in ("", "/agent")),
    *("POST /agent/heartbeat", "POST /agents/{agent_id}/heartbeat"),
    *(f"PATCH {BOARD}/approvals/{{approval_id}}", "POST /approvals/decisions"),
}
"""Frequent commands, whose statements are built once."""

REPRESENTATIVE = {
    *COMMANDS_BUILT_ONCE,
    *MORE_READS,
    *(f"GET {prefix}/boards" for prefix in ("", "/agent")),
    *(f"GET {prefix}{BOARD}/tasks" for prefix in ("", "/agent")),
    *(f"GET {BOARD}/{name}" for name in ("approvals", "memory", "snapshot")),
    *("GET /activity", "GET /agents", "GET /gateways", "GET /notifications", "GET /search"),
    *("POST /agents", "POST /boards", "DELETE /boards/{board_id}", "POST /webhooks"),
    *("GET /agent/messages", "GET /organizations/me/members"),
}
"""The operations that every run measures; a complete run measures all."""

MEASURED_OPERATIONS = [
    one for one in OPERATIONS if one.response_type is not None and not one.options.waits_for_network
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


async def record_round_trips(
    database: SizedDatabase, operation: Operation, caller_index: int
) -> tuple[int, list[str]]:
    """Return the number of round trips of a request, and what was sent.

    BEGIN and COMMIT count; here they are savepoints. The batch of last uses is not counted.
    """
    async with rolled_back(database.settings) as (connection, transaction):
        caller = list_callers(operation, database.objects)[caller_index]
        async with transaction() as session:
            await _mark_recently_seen(session, caller)
        settings = database.settings.model_copy(update=HIGH_RATE_LIMITS)
        client = create_client(build_app_on(settings, transaction), caller)
        with collect_repeated_round_trips(connection) as sent:
            answer = await client.request(
                operation.method,
                build_url(operation, database.objects),
                json=build_body(operation, database.objects),
            )
    assert answer.status_code == 200, answer.text
    last_uses = [number for number, one in enumerate(sent) if one.startswith(LAST_USES)]
    of_request = sent[: last_uses[0] - 1] if last_uses else sent  # it has a savepoint too
    return len(of_request), of_request


def summarize(statement: str) -> str:
    """Return the verb of what was sent, and its table."""
    verb, *_ = statement.split()
    tables = re.findall(r"(?:\bfrom|\binto|^update) (\w+)", statement, re.IGNORECASE)
    return f"{verb.lower()} {' '.join(tables[:2])}"


async def _mark_recently_seen(session: AsyncSession, caller: User | Agent) -> None:
    """Mark a caller as recently active: that is updated once a minute, not with each call."""
    of_agent, of_user = Agent.id == caller.id, ApiToken.user_id == caller.id
    await session.execute(update(Agent).where(of_agent).values(last_seen_at=now()))
    await session.execute(update(ApiToken).where(of_user).values(last_used_at=now()))


def caller_kind(operation: Operation, caller_index: int) -> str:
    """Return the kind of a caller."""
    return "agent" if caller_index or operation.allowed_caller is For.AGENT else "person"


def is_representative(operation: Operation) -> bool:
    return operation_label(operation) in REPRESENTATIVE


CASES = [
    (operation, caller_index)
    for operation in MEASURED_OPERATIONS
    if operation_label(operation) not in EXCLUDED_OPERATIONS
    for caller_index in range(2 if operation.allowed_caller is For.EITHER else 1)
]


@pytest.mark.parametrize(
    ("operation", "caller_index"),
    [
        pytest.param(
            operation,
            caller_index,
            id=f"{operation_label(operation)} {caller_kind(operation, caller_index)}",
            # Users and agents share the handler.
            marks=() if is_representative(operation) and not caller_index else repetition,
        )
        for operation, caller_index in CASES
    ],
)
async def test_the_number_of_round_trips_does_not_grow_with_the_data(
    operation: Operation, caller_index: int, databases: dict[int, SizedDatabase]
) -> None:
    """P6. Statements of reads and frequent commands are built once, not for each request."""
    few, _ = await record_round_trips(databases[FEW], operation, caller_index)
    with collect_built_statements() as built:
        many, sent = await record_round_trips(databases[MANY], operation, caller_index)
    is_built_once = operation.method == "GET" or operation_label(operation) in COMMANDS_BUILT_ONCE
    assert not (is_built_once and built), built
    reads = MORE_READS.get(operation_label(operation), READS)
    most = reads if operation.method == "GET" else WRITES
    most = MORE_WRITES.get(operation_label(operation), most)
    summary = [summarize(statement) for statement in sent]
    assert many <= most, (many, summary)
    assert few == many, (few, many, summary)
