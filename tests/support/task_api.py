"""Tasks of Launch through the API."""

from typing import Any

import pytest

from core.db.engine import TransactionFactory
from models import Board
from tests.support.api_fixtures import Client
from tests.support.world import World


@pytest.fixture
def path(world: World) -> str:
    """The path of the tasks of Launch."""
    return f"/boards/{world.board.id}/tasks"


async def create_task(client: Client, path: str, **fields: Any) -> dict[str, Any]:
    """Create a task and return it."""
    response = await client.post(path, json={"title": "Write", **fields})
    assert response.status_code == 200, response.text
    task: dict[str, Any] = response.json()
    return task


async def update_task(
    client: Client, path: str, task: dict[str, Any], **changes: Any
) -> dict[str, Any]:
    """Update a task and return it."""
    response = await client.patch(f"{path}/{task['id']}", json=changes)
    assert response.status_code == 200, response.text
    changed: dict[str, Any] = response.json()
    return changed


async def set_board_rules(transaction: TransactionFactory, world: World, **rules: bool) -> None:
    """Set rules of Launch."""
    async with transaction() as session:
        board = await session.get_one(Board, world.board.id)
        for name, value in rules.items():
            setattr(board, name, value)
