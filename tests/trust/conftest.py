"""Fixtures of the tests of trust: clients of pages, and objects of every kind."""

from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import quote

import pytest

from core.db.engine import TransactionFactory
from models import Approval, Board, Gateway, GatewayRequest, Message, Task
from tests.support import marked_objects, text_columns
from tests.support.marked_objects import MARK, RULE_ID
from tests.support.world import World
from tests.web.conftest import (
    SESSION_KEY,
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

    def ids(kind: type) -> list[Any]:
        return [row.id for row in rows if isinstance(row, kind)]

    return {
        "board_id": [world.board.id, world.garden.id, *ids(Board)],
        "task_id": ids(Task)[:1],
        "approval_id": ids(Approval),
        "agent_id": [world.worker.id, world.lead.id],
        "message_id": ids(Message),
        "gateway_id": [gateway.id],
        "request_id": ids(GatewayRequest),
        "rule_id": [RULE_ID],
        "slug": [MARK],
        "key": [quote(SESSION_KEY, safe="")],
    }
