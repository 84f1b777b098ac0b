"""Who sees and changes a board page, and by which addresses it is found."""

import re

import pytest

from core.clock import now
from models import (
    Board,
    Status,
    Task,
)
from tests.support.board_pages import HTMX, keep
from tests.support.people_rows import make_member


async def test_readers_see_no_controls(rita, board_path, task) -> None:
    page = (await rita.get(board_path)).text

    assert "You can read this board" in page
    for control in (
        "New task",
        "data-move",
        "data-card-menu",
        r"data-pick\b",
        "data-movable",
        "new-task",
        '/settings" aria',
    ):
        assert not re.search(control, page), control


async def test_readers_cannot_change_anything(rita, board_path, task, transaction) -> None:
    task_path = f"{board_path}/tasks/{task.id}"
    for path, data in [
        (f"{board_path}/tasks", {"title": "x"}),
        (f"{task_path}/moves", {"to": "done"}),
        (f"{task_path}/questions", {}),
    ]:
        assert (await rita.post(path, data=data)).status_code == 403, path
        assert (await rita.post(path, data=data, headers=HTMX)).status_code == 403, path
    assert (await rita.get(f"{board_path}/tasks/new")).status_code == 403
    async with transaction() as session:
        unmoved = await session.get_one(Task, task.id, populate_existing=True)
        assert unmoved.status is Status.IN_PROGRESS


async def test_a_member_without_access_gets_an_error_page(dana, board_path) -> None:
    assert (await dana.get(board_path)).status_code == 403


async def test_a_board_is_found_by_its_slug(alice, charlie, world, board_path) -> None:
    found = await alice.get(f"/boards/{world.board.slug}?view=list")

    assert found.status_code == 303
    assert found.headers["Location"] == f"{board_path}?view=list"
    assert (await charlie.get(f"/boards/{world.board.slug}")).status_code == 404


@pytest.mark.parametrize("slug", ["nowhere", "%00", "%ff", "x" * 1_000])
async def test_an_unknown_slug_finds_no_board(alice, slug) -> None:
    assert (await alice.get(f"/boards/{slug}")).status_code == 404


async def test_a_board_is_found_by_its_slug_among_many(
    alice, transaction, world, board_path
) -> None:
    at = now()
    many = [
        Board(
            organization_id=world.tern.id,
            name=f"{number}",
            slug=f"{number}",
            created_at=at,
            updated_at=at,
        )
        for number in range(201)
    ]
    async with transaction() as session:
        session.add_all(many)
    found = await alice.get(f"/boards/{world.board.slug}")
    assert found.headers["Location"] == board_path


async def test_a_board_of_an_inactive_organization_is_not_found(alice, transaction, world) -> None:
    everything = {"all_boards_read": True, "all_boards_write": True}
    await keep(transaction, make_member(world.plover, world.alice, **everything))
    elsewhere = f"/boards/{world.charlies_board.id}"

    assert (await alice.get(elsewhere)).status_code == 404
    assert (await alice.post(f"{elsewhere}/tasks", data={"title": "x"})).status_code == 404
