"""The versions of the description of a task that are stored."""

from collections.abc import Awaitable, Callable
from datetime import timedelta

import pytest
from sqlalchemy import update

from core.errors import NotFound
from models import Actor, Status, Task, TaskDescription
from services import boards, tasks
from services.tasks import descriptions
from tests.support.world import World

Edit = Callable[..., Awaitable[None]]


@pytest.fixture
async def task(session, world: World) -> Task:
    task = world.make_task("Paint the door", description="First", created_by_user_id=world.bob.id)
    session.add(task)
    await session.flush()
    return task


@pytest.fixture
def edit(session, world: World, task: Task) -> Edit:
    """Return a function that changes the description, long after the change before."""

    async def edit(text: str | None, actor: Actor | None = None, *, soon: bool = False) -> None:
        if not soon:
            earlier = TaskDescription.created_at - timedelta(hours=1)
            await session.execute(update(TaskDescription).values(created_at=earlier))
        actor = actor or world.alice
        board = await boards.lock_board(session, actor, world.board.id)
        await tasks.update_task(
            session, actor, board, task.id, tasks.TaskUpdate.of(description=text)
        )

    return edit


async def list_texts(session, world: World, task: Task) -> list[tuple[str | None, str]]:
    """Return the authors and texts, newest first."""
    versions = await tasks.list_description_versions(session, world.board, task.id)
    ids = [version.id for version in versions]
    texts = await tasks.load_description_texts(session, world.board, task.id, ids)
    return [(version.author_name, texts[version.id]) for version in versions]


async def test_nothing_is_stored_before_the_first_change(session, world, task) -> None:
    assert await list_texts(session, world, task) == []


async def test_the_first_change_stores_the_text_before_it_too(session, world, task, edit) -> None:
    await edit("Second")

    assert await list_texts(session, world, task) == [("Alice", "Second"), ("Bob", "First")]


async def test_changes_of_one_person_soon_after_each_other_are_one(
    session, world, task, edit
) -> None:
    await edit("Second")
    await edit("Third", soon=True)
    await edit("Fourth", world.bob, soon=True)
    await edit("Fifth", world.bob)

    assert await list_texts(session, world, task) == [
        ("Bob", "Fifth"),
        ("Bob", "Fourth"),
        ("Alice", "Third"),
        ("Bob", "First"),
    ]


async def test_other_changes_store_nothing(session, world, task) -> None:
    board = await boards.lock_board(session, world.alice, world.board.id)
    await tasks.update_task(
        session, world.alice, board, task.id, tasks.TaskUpdate.of(title="Renamed")
    )
    await tasks.update_task(
        session, world.alice, board, task.id, tasks.TaskUpdate.of(description="First")
    )

    assert await list_texts(session, world, task) == []


async def test_a_removed_description_is_a_version(session, world, task, edit) -> None:
    await edit(None)
    await edit("Again")

    assert [text for _, text in await list_texts(session, world, task)] == ["Again", "", "First"]


async def test_the_oldest_versions_are_deleted(
    session, world, task, edit, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(descriptions, "MAX_VERSIONS", 3)
    for number in range(5):
        await edit(f"Text {number}")

    texts = [text for _, text in await list_texts(session, world, task)]
    assert texts == ["Text 4", "Text 3", "Text 2"]


async def test_a_restored_task_has_its_versions(session, world, task, edit) -> None:
    await edit("Second")
    before = await list_texts(session, world, task)
    board = await boards.lock_board(session, world.alice, world.board.id)
    await tasks.delete_task(session, world.alice, board, task.id)
    await tasks.restore_task(session, world.alice, board, task.id)

    assert await list_texts(session, world, task) == before


async def test_a_text_is_read_only_through_its_task(session, world, task, edit) -> None:
    await edit("Second")
    other = world.make_task("Another", status=Status.DONE)
    session.add(other)
    [version, _] = await tasks.list_description_versions(session, world.board, task.id)

    for board, task_id in ((world.board, other.id), (world.garden, task.id)):
        with pytest.raises(NotFound):
            await tasks.get_description_text(session, board, task_id, version.id)
