"""A page that names the cards and columns that it shows receives only the others."""

import re

import pytest

from core.db.engine import TransactionFactory
from models import Status, Task
from services import boards, tasks
from tests.support.world import World

HTMX = {"HX-Request": "true", "HX-Request-Type": "partial", "HX-Target": "div#board-view"}


@pytest.fixture
async def three(transaction: TransactionFactory, world: World) -> list[Task]:
    """Create two tasks in the inbox and one in review."""
    three = [
        world.make_task("One"),
        world.make_task("Two"),
        world.make_task("Three", status=Status.REVIEW),
    ]
    async with transaction() as session:
        session.add_all(three)
    return three


def naming_what_it_shows(html: str) -> dict[str, str]:
    """Return the headers of a request from a page with this content."""
    return HTMX | {"Board-Cards": ",".join(re.findall(r'data-hash="([^"]*)"', html))}


def sent(html: str) -> dict[str, list[str]]:
    """Return the titles of the cards that are sent, and the ids of what the page has to keep."""
    titles = re.findall(r"data-in-drawer>([^<]*)</a>", html)
    return {"titles": titles, "kept": re.findall(r'<\w+ id="([^"]*)" data-keep=', html)}


async def test_an_unchanged_board_sends_no_card(alice, world, three) -> None:
    path = f"/boards/{world.board.id}"
    page = (await alice.get(path)).text
    again = (await alice.get(f"{path}/columns", headers=naming_what_it_shows(page))).text
    columns = ["column-inbox", "column-in_progress", "column-review"]
    assert sent(again) == {"titles": [], "kept": columns}
    without = (await alice.get(f"{path}/columns", headers=HTMX)).text
    assert sent(without) == {"titles": ["Two", "One", "Three"], "kept": []}


async def test_a_move_sends_one_card_and_the_order_of_two_columns(alice, world, three) -> None:
    path = f"/boards/{world.board.id}"
    headers = naming_what_it_shows((await alice.get(path)).text)
    moves = f"{path}/tasks/{three[0].id}/moves"
    moved = (await alice.post(moves, data={"to": "in_progress"}, headers=headers)).text
    kept = [f"task-{three[1].id}", "column-review"]
    assert sent(moved) == {"titles": ["One"], "kept": kept}


async def test_another_filter_keeps_the_cards_and_sends_the_rest(alice, world, three) -> None:
    path = f"/boards/{world.board.id}"
    headers = naming_what_it_shows((await alice.get(f"{path}?q=one")).text)
    wider = (await alice.get(f"{path}?q=o", headers=headers)).text
    assert sent(wider) == {"titles": ["Two"], "kept": [f"task-{three[0].id}"]}


async def test_an_unread_comment_changes_what_is_sent(
    alice, bob, transaction, world, three
) -> None:
    path = f"/boards/{world.board.id}"
    headers = naming_what_it_shows((await bob.get(path)).text)
    async with transaction() as session:
        board = await boards.lock_board(session, world.alice, world.board.id)
        await tasks.create_comment(session, world.alice, board, three[0].id, "Look.")
    page = (await bob.get(f"{path}/columns", headers=headers)).text
    assert sent(page)["titles"] == ["One"]
    headers = naming_what_it_shows((await bob.get(f"{path}/columns", headers=HTMX)).text)
    await bob.get(f"{path}/tasks/{three[0].id}", headers=HTMX)
    read = (await bob.get(f"{path}/columns", headers=headers)).text
    assert sent(read)["titles"] == ["One"]


async def test_a_reader_and_a_writer_name_different_cards(alice, rita, world, three) -> None:
    path = f"/boards/{world.board.id}"
    headers = naming_what_it_shows((await rita.get(path)).text)
    assert sent((await alice.get(f"{path}/columns", headers=headers)).text)["kept"] == []


@pytest.mark.parametrize("names", ["", ",", "x" * 5_000, "a,b,c"])
async def test_unknown_names_send_everything(alice, world, three, names) -> None:
    path = f"/boards/{world.board.id}/columns"
    page = (await alice.get(path, headers=HTMX | {"Board-Cards": names})).text
    assert sent(page) == {"titles": ["Two", "One", "Three"], "kept": []}
