"""The manual order of the tasks in a column."""

from decimal import Decimal

import pytest
from sqlalchemy import func, select

from core.errors import NotFound
from models import Event, EventType, Status, new_id
from services import tasks
from services.tasks import TaskPosition
from services.tasks.positions import choose_rank_between


async def add_column(session, world, titles):
    """Add tasks to the inbox; the first is above the others. Return them by title."""
    made = {title: world.make_task(title) for title in reversed(titles)}
    for task in made.values():
        session.add(task)
        await session.flush()
    return made


async def list_titles(session, world):
    inbox, *_ = await tasks.list_board_columns(session, world.board)
    return "".join(card.title for card in inbox.cards)


async def place(session, world, task, **around):
    ids = {name: other.id for name, other in around.items()}
    await tasks.reorder_task(session, world.alice, world.board, task.id, TaskPosition(**ids))
    return await list_titles(session, world)


async def test_a_task_is_put_between_others_and_at_both_ends(session, world) -> None:
    made = await add_column(session, world, "abcd")
    assert await list_titles(session, world) == "abcd"
    assert await place(session, world, made["d"], before=made["b"]) == "adbc"
    assert await place(session, world, made["a"], after=made["b"]) == "dbac"
    assert await place(session, world, made["c"], before=made["d"]) == "cdba"
    assert await place(session, world, made["c"], after=made["a"]) == "dbac"
    assert await place(session, world, made["b"], before=made["c"], after=made["a"]) == "dabc"


async def test_a_place_in_a_long_column_is_beside_the_named_task(session, world) -> None:
    made = await add_column(session, world, "abcdefgh")
    assert await place(session, world, made["h"], before=made["g"]) == "abcdefhg"
    assert await place(session, world, made["a"], after=made["b"]) == "bacdefhg"


async def test_an_order_is_an_event_and_no_new_version(session, world) -> None:
    made = await add_column(session, world, "ab")
    version, updated_at = made["b"].version, made["b"].updated_at
    count = select(func.count()).where(Event.type == EventType.TASK_REORDERED)
    assert await place(session, world, made["b"], before=made["a"]) == "ba"
    assert (made["b"].version, made["b"].updated_at) == (version, updated_at)
    assert await session.scalar(count) == 1
    assert await place(session, world, made["b"], before=made["a"]) == "ba"
    assert await session.scalar(count) == 1
    page = await tasks.list_history(session, world.board, made["b"].id)
    assert page.entries == []


async def test_a_task_that_has_left_the_column_is_no_place(session, world) -> None:
    made = await add_column(session, world, "abc")
    change = {"status": Status.REVIEW}
    await tasks.update_task(
        session, world.alice, world.board, made["a"].id, tasks.TaskUpdate.of(**change)
    )
    assert await place(session, world, made["c"], before=made["a"]) == "bc"
    assert await place(session, world, made["c"], before=made["a"], after=made["c"]) == "bc"
    assert await place(session, world, made["b"], before=made["a"], after=made["c"]) == "cb"
    with pytest.raises(NotFound):
        await tasks.reorder_task(
            session, world.alice, world.board, new_id(), TaskPosition(before=made["b"].id)
        )


async def test_a_moved_task_enters_at_the_top_and_is_put_back(session, world) -> None:
    made = await add_column(session, world, "abc")
    around = await tasks.find_position(session, made["b"])
    assert around == TaskPosition(before=made["c"].id, after=made["a"].id)
    for status in (Status.REVIEW, Status.INBOX):
        await tasks.update_task(
            session, world.alice, world.board, made["b"].id, tasks.TaskUpdate.of(status=status)
        )
    assert await list_titles(session, world) == "bac"
    await tasks.reorder_task(session, world.alice, world.board, made["b"].id, around)
    assert await list_titles(session, world) == "abc"


async def test_a_restored_task_is_where_it_was(session, world) -> None:
    made = await add_column(session, world, "abc")
    assert await place(session, world, made["c"], before=made["b"]) == "acb"
    await tasks.delete_task(session, world.alice, world.board, made["c"].id)
    await tasks.restore_task(session, world.alice, world.board, made["c"].id)
    assert await list_titles(session, world) == "acb"


async def test_there_is_always_a_place_between_two_tasks(session, world) -> None:
    made = await add_column(session, world, "abc")
    for _ in range(30):
        assert await place(session, world, made["c"], before=made["b"]) == "acb"
        assert await place(session, world, made["b"], before=made["c"]) == "abc"


def test_a_rank_between_two_others_has_few_digits() -> None:
    assert choose_rank_between(Decimal(1), Decimal(4)) == 2
    assert choose_rank_between(Decimal(1), Decimal(2)) == Decimal("1.5")
    low, high = Decimal(1), Decimal(2)
    for _ in range(2_000):
        high = choose_rank_between(low, high)
        assert low < high
    assert len(str(high)) < 700
    assert choose_rank_between(low, low) == low
