"""The order of a column: two people who change it at the same time both succeed."""

from typing import Any

from sqlalchemy import func, select

from core.clock import now
from core.db.engine import TransactionFactory
from models import Board, Task, new_id
from services import boards, tasks
from services.tasks import TaskPosition
from tests.support.board_rows import make_board
from tests.support.rounds import ROUNDS, Operation, run_concurrently, run_rounds
from tests.support.world import World


def make_bare_task(board: Board, title: str) -> Task:
    return Task(id=new_id(), board_id=board.id, title=title, created_at=now(), updated_at=now())


async def test_two_people_put_tasks_at_the_same_place(
    isolated_transaction: TransactionFactory, isolated_world: World
) -> None:
    rows = [make_board(f"Board {number}", isolated_world.tern) for number in range(ROUNDS)]
    async with isolated_transaction() as session:
        session.add_all(rows)

    async def order_two(board: Board) -> None:
        made = {title: make_bare_task(board, title) for title in "dcba"}
        async with isolated_transaction() as session:
            for task in made.values():
                session.add(task)
                await session.flush()

        def placing(title: str) -> Operation:
            async def place(session: Any) -> None:
                user = isolated_world.alice
                locked = await boards.lock_board(session, user, board.id)
                around = TaskPosition(before=made["b"].id, after=made["a"].id)
                await tasks.reorder_task(session, user, locked, made[title].id, around)

            return place

        results = await run_concurrently(isolated_transaction, placing("c"), placing("d"))
        assert results == [None, None]
        async with isolated_transaction() as session:
            inbox, *_ = await tasks.list_board_columns(session, board)
            ranks = select(func.count(Task.rank.distinct())).where(Task.board_id == board.id)
            assert await session.scalar(ranks) == 4
        titles = "".join(card.title for card in inbox.cards)
        assert titles in ("acdb", "adcb")

    await run_rounds(rows, order_two)
