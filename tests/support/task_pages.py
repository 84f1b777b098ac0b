"""A task with an address, and what htmx sends from its drawer and its page."""

import pytest

from core.db.engine import TransactionFactory
from models import Task
from tests.support.board_pages import keep
from tests.support.world import World

HTMX = {"HX-Request": "true", "HX-Request-Type": "partial"}
IN_DRAWER = {**HTMX, "HX-Target": "aside#drawer"}
IN_PAGE = {**HTMX, "HX-Target": "div#task"}


@pytest.fixture
async def task(transaction: TransactionFactory, world: World) -> Task:
    task = world.make_task(
        "Write the <script>alert(1)</script>", description="Be **bold** <script>alert(2)</script>"
    )
    await keep(transaction, task)
    return task


@pytest.fixture
def task_path(world: World, task: Task) -> str:
    return f"/boards/{world.board.id}/tasks/{task.id}"


async def stored(transaction: TransactionFactory, task: Task) -> Task:
    async with transaction() as session:
        return await session.get_one(Task, task.id, populate_existing=True)
