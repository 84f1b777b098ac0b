"""Fixtures of the tests of trust: clients of pages, and objects of every kind."""

from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from core.db.engine import TransactionFactory
from models import Board, BoardGroup, Gateway
from tests.support import marked_objects, text_columns
from tests.support.world import World
from tests.web.conftest import (
    alice,
    anonymous,
    browsers,
    charlie,
    fake_gateway,
    gateway,
)

__all__ = ["alice", "anonymous", "browsers", "charlie", "fake_gateway", "gateway"]


@pytest.fixture
async def page_ids(
    world: World, gateway: Gateway, transaction: TransactionFactory
) -> Mapping[str, Sequence[Any]]:
    """Store objects of every kind with a marker in their texts, and return the ids for pages."""
    rows = marked_objects.make_all_rows(world, gateway)
    async with transaction() as session:
        session.add_all(rows)
        await session.flush()
        await text_columns.mark_world(session, world)
        group = next(row for row in rows if isinstance(row, BoardGroup))
        board = await session.get_one(Board, world.board.id)
        board.board_group_id = group.id

    return marked_objects.collect_page_ids(world, gateway, rows)
