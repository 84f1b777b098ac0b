"""What an operation asks of the database: little, and no more when there is much."""

import asyncio
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from sqlalchemy import event, update
from sqlalchemy.ext.asyncio import (
    AsyncConnection,
    AsyncSession,
    async_sessionmaker,
    create_async_engine,
)

from api.app import OPERATIONS
from api.auth import Caller as For
from api.operations import Operation
from kit.clock import now
from kit.settings import Settings
from models import Agent, ApiToken, User
from tests.api.asking import address_for, body_for
from tests.api.conftest import PLENTY, client_of, house_on
from tests.api.crowd import a_crowd
from tests.api.walking import Things, named
from tests.conftest import build_world, copy_of, undone

FEW, MANY = 1, 200
READS, WRITES = 3, 8  # statements, at most

ANSWERING = [
    one
    for one in OPERATIONS
    if one.gives is not None and not getattr(one.handler, "between", False)
]
"""But for streams, and for what asks a gateway: that takes longer than any statement."""

NOT_SIMPLY = {
    "POST /organizations/invites/accept",  # by who is invited
    "DELETE /gateways/{gateway_id}",  # of one that no board is on
}
"""What the owner of everything cannot do just so: see test_people_statements.py."""


@dataclass(frozen=True)
class Place:
    """A database with a world of some size."""

    settings: Settings
    there: Things


@pytest.fixture(scope="module")
def places(server: str, template: str) -> Iterator[dict[int, Place]]:
    """A world with one of everything, and one with two hundred."""
    with copy_of(template, server, "few") as few, copy_of(template, server, "many") as many:
        yield {
            size: Place(settings, asyncio.run(_filled(settings, size)))
            for size, settings in [(FEW, few), (MANY, many)]
        }


async def _filled(settings: Settings, size: int) -> Things:
    engine = create_async_engine(settings.sqlalchemy_url)
    transaction = async_sessionmaker(engine, expire_on_commit=False).begin
    world = await build_world(transaction)
    async with transaction() as session:
        there = await a_crowd(session, world, size)
    await engine.dispose()
    return there


def callers(operation: Operation, there: Things) -> list[User | Agent]:
    """Return a person and an agent who may do this, as far as either may."""
    world = there.world
    if operation.path == "/users/me" and operation.method == "DELETE":
        return [world.dana]
    if operation.path == "/agents/{agent_id}/heartbeat":
        return [world.alice, world.other_worker]
    by_kind: dict[For, list[User | Agent]] = {
        For.USER: [world.alice],
        For.AGENT: [there.insider(operation)],
        For.EITHER: [world.alice, world.lead],
    }
    return by_kind[operation.caller]


async def statements(
    place: Place, operation: Operation, who: int, body: Any = None
) -> tuple[int, list[str]]:
    """Return the status of an answer, and all that was sent to the database for it.

    What begins and ends a transaction is left out.
    """
    sent: list[str] = []
    async with undone(place.settings) as (connection, transaction):
        async with transaction() as session:
            await _seen_a_moment_ago(session)
        caller = callers(operation, place.there)[who]
        client = client_of(house_on(place.settings.model_copy(update=PLENTY), transaction), caller)
        _count(connection, sent)
        answer = await client.request(
            operation.method,
            address_for(operation, place.there),
            json=body_for(operation, place.there) if body is None else body,
        )
    assert answer.status_code == 200, answer.text
    return answer.status_code, sent


def in_short(statement: str) -> str:
    """Return what a statement does, and to which table."""
    verb, *_ = statement.split()
    tables = re.findall(r"(?:\bfrom|\binto|^update) (\w+)", statement, re.IGNORECASE)
    return f"{verb.lower()} {' '.join(tables[:2])}"


def _count(connection: AsyncConnection, sent: list[str]) -> None:
    def note(_connection: Any, _cursor: Any, statement: str, *_rest: Any) -> None:
        if not statement.startswith(("SAVEPOINT", "RELEASE", "ROLLBACK")):
            sent.append(statement)

    event.listen(connection.sync_connection, "before_cursor_execute", note)


async def _seen_a_moment_ago(session: AsyncSession) -> None:
    """Let everybody have called before: noting that is done once a minute, not for each call."""
    await session.execute(update(Agent).values(last_seen_at=now()))
    await session.execute(update(ApiToken).values(last_used_at=now()))


def kind(operation: Operation, who: int) -> str:
    """Return as what somebody of `callers` calls."""
    return "agent" if who or operation.caller is For.AGENT else "person"


CASES = [
    (operation, who)
    for operation in ANSWERING
    if named(operation) not in NOT_SIMPLY
    for who in range(2 if operation.caller is For.EITHER else 1)
]


@pytest.mark.parametrize(
    ("operation", "who"),
    CASES,
    ids=[f"{named(operation)} {kind(operation, who)}" for operation, who in CASES],
)
async def test_an_operation_asks_little_however_much_there_is(
    operation: Operation, who: int, places: dict[int, Place]
) -> None:
    """P6."""
    _, few = await statements(places[FEW], operation, who)
    _, many = await statements(places[MANY], operation, who)
    most = READS if operation.method == "GET" else WRITES
    told = [in_short(statement) for statement in many]
    assert len(many) <= most, told
    assert len(few) == len(many), (len(few), told)
