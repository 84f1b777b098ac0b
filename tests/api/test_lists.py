"""Lists in pages: each thing is on one page, and the database is asked by rule, not by name."""

import re

import pytest
from sqlalchemy import event, insert
from sqlalchemy.ext.asyncio import AsyncSession

from api.app import OPERATIONS
from api.fields import Paged
from kit.clock import now
from models import Board, BoardAccess, Member, Role, new_id
from tests.api.asking import address_for
from tests.api.conftest import PLENTY, client_of, house_on
from tests.api.walking import named, things
from tests.conftest import build_world, undone
from tests.world import World

LISTS = [
    operation
    for operation in OPERATIONS
    if operation.reads.query is not None and issubclass(operation.reads.query, Paged)
]
PAGE = re.compile(r"ORDER BY ((?:(?!ORDER BY).)+?)(?:\s+LIMIT \S+ OFFSET|\) AS place)", re.DOTALL)
WITH_A_LAST_WORD = re.compile(r"\b(id|seq)\)?( DESC)?$")  # of a thing, or the greatest of a group's


async def test_things_of_one_moment_have_an_order_too(settings) -> None:
    """P10: else one of them would be on two pages, and another on none."""
    async with undone(settings) as (connection, transaction):
        world = await build_world(transaction)
        async with transaction() as session:
            there = await things(session, world)
        house = house_on(settings.model_copy(update=PLENTY), transaction)
        sent: list[str] = []
        event.listen(
            connection.sync_connection,
            "before_cursor_execute",
            lambda *told: sent.append(told[2]),
        )
        for operation in LISTS:
            sent.clear()
            client = client_of(house, there.insider(operation))
            answer = await client.get(address_for(operation, there) + "?limit=2&offset=1&q=write")
            assert answer.status_code == 200, answer.text
            orders = [order for statement in sent for order in PAGE.findall(statement)]
            assert orders, named(operation)
            for order in orders:
                assert WITH_A_LAST_WORD.search(order.strip()), (named(operation), order)


@pytest.mark.parametrize(
    "path",
    ["/activity", "/activity/task-comments", "/metrics/dashboard", "/boards", "/agents"],
)
async def test_which_boards_one_reads_is_found_out_by_the_database(settings, path) -> None:
    """P8: their ids are not sent back to it, however many they are."""
    async with undone(settings) as (connection, transaction):
        world = await build_world(transaction)
        client = client_of(house_on(settings, transaction), world.rita)
        sent: list[int] = []
        event.listen(
            connection.sync_connection,
            "before_cursor_execute",
            lambda *told: sent.append(len(told[3])),
        )
        counts = []
        for many in (1, 50):
            async with transaction() as session:
                await more_boards(session, world, many)
            await client.get(path)  # the first call notes that the token was used
            sent.clear()
            assert (await client.get(path)).status_code == 200
            counts.append(sent[:])
        assert counts[0] == counts[1]


async def more_boards(session: AsyncSession, world: World, many: int) -> None:
    """Let Rita, who looks after agents from now on, read some more boards."""
    (await session.get_one(Member, world.ritas.id)).role = Role.ADMIN
    at = {"created_at": now(), "updated_at": now()}
    ids = [new_id() for _ in range(many)]
    boards = [
        {"id": id, "organization_id": world.tern.id, "name": "Nest", "slug": f"nest-{id}", **at}
        for id in ids
    ]
    rights = [
        {"organization_member_id": world.ritas.id, "board_id": id, "can_read": True, **at}
        for id in ids
    ]
    await session.execute(insert(Board), boards)
    await session.execute(insert(BoardAccess), rights)
