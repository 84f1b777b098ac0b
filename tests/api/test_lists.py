"""Paged lists: each row is on exactly one page, and ids are not sent back to the database."""

import re
from typing import Any

import pytest
from sqlalchemy import insert
from sqlalchemy.ext.asyncio import AsyncSession

from api.app import OPERATIONS
from api.framework.fields import PageQuery
from core.clock import now
from models import Board, BoardAccess, Member, Role, new_id
from tests.conftest import rolled_back
from tests.support.api_fixtures import HIGH_RATE_LIMITS, create_client
from tests.support.api_objects import create_api_objects, operation_label
from tests.support.app_on_transactions import build_app_on
from tests.support.operation_requests import build_url
from tests.support.round_trips import record_round_trips
from tests.support.statement_counter import count_statements
from tests.support.stored_world import store_world
from tests.support.world import World

LISTS = [
    operation
    for operation in OPERATIONS
    if operation.parser.query is not None and issubclass(operation.parser.query, PageQuery)
]
PAGE = re.compile(
    r"ORDER BY ((?:(?!ORDER BY).)+?)(?:\s+LIMIT (?:\(SELECT )?\S+ OFFSET|\) AS rank)", re.DOTALL
)
UNIQUE_LAST_COLUMN = re.compile(
    r"\b(id|seq|sequence|number)\)?( DESC)?$"
)  # of a row, or the latest of a group


async def test_rows_with_equal_timestamps_have_a_stable_order(settings) -> None:
    """P10: otherwise a row could be on two pages, and another on none."""
    async with rolled_back(settings) as (connection, transaction):
        world = await store_world(transaction)
        async with transaction() as session:
            objects = await create_api_objects(session, world)
        api_app = build_app_on(settings.model_copy(update=HIGH_RATE_LIMITS), transaction)
        for operation in LISTS:
            client = create_client(api_app, objects.get_allowed_caller(operation))
            with count_statements(connection) as sent:
                url = build_url(operation, objects) + "?limit=2&offset=1&q=write"
                answer = await client.get(url)
            assert answer.status_code == 200, answer.text
            orders = [order for statement in sent for order in PAGE.findall(statement)]
            assert orders, operation_label(operation)
            for order in orders:
                assert UNIQUE_LAST_COLUMN.search(order.strip()), (operation_label(operation), order)


@pytest.mark.parametrize(
    "path",
    ["/activity", "/activity/task-comments", "/metrics/dashboard", "/boards", "/agents"],
)
async def test_readable_boards_are_selected_by_the_database(settings, path) -> None:
    """P8: the ids are not sent back to the database, however many they are."""
    async with rolled_back(settings) as (_, transaction):
        world = await store_world(transaction)
        client = create_client(build_app_on(settings, transaction), world.rita)
        await client.get(path)  # writes the use of the token
        counts = []
        for many in (1, 50):
            async with transaction() as session:
                await add_readable_boards(session, world, many)
            with record_round_trips() as sent:
                assert (await client.get(path)).status_code == 200
            counts.append([count_values(one.arguments) for one in sent.all if one.is_statement])
        assert counts[0] == counts[1]
        assert counts[0]


def count_values(arguments: tuple[Any, ...]) -> int:
    """Count the values that are sent with a statement, also those in arrays."""
    return sum(len(one) if isinstance(one, list) else 1 for one in arguments)


async def add_readable_boards(session: AsyncSession, world: World, many: int) -> None:
    """Make Rita an admin, and give her some more readable boards."""
    (await session.get_one(Member, world.rita_member.id)).role = Role.ADMIN
    at = {"created_at": now(), "updated_at": now()}
    ids = [new_id() for _ in range(many)]
    boards = [
        {"id": id, "organization_id": world.tern.id, "name": "Nest", "slug": f"nest-{id}", **at}
        for id in ids
    ]
    rights = [
        {"organization_member_id": world.rita_member.id, "board_id": id, "can_read": True, **at}
        for id in ids
    ]
    await session.execute(insert(Board), boards)
    await session.execute(insert(BoardAccess), rights)
