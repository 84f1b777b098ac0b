"""What is new since somebody last looked: a dot where it is, and a line above the first of it."""

import re
from collections.abc import Awaitable, Callable

import pytest

from models import Actor, Board, Task
from services import boards, tasks
from tests.conftest import Transaction
from tests.world import World, a_task

HTMX = {"HX-Request": "true", "HX-Request-Type": "partial", "HX-Target": "aside#drawer"}
LINE = '<li class="unseen" id="new">New since you were here</li>'

Comments = Callable[..., Awaitable[None]]


@pytest.fixture
async def task(transaction: Transaction, world: World) -> Task:
    made = world.task()
    async with transaction() as session:
        session.add(made)
    return made


@pytest.fixture
def there(world: World, task: Task) -> str:
    """Where the task is."""
    return f"/boards/{world.board.id}/tasks/{task.id}"


@pytest.fixture
def comments(transaction: Transaction, world: World, task: Task) -> Comments:
    """Lets somebody say something about the task, or about another one."""

    async def comment(words: str, who: Actor | None = None, about: Task | None = None) -> None:
        async with transaction() as session:
            actor, on = who or world.worker, about or task
            board = await boards.hold(session, actor, on.board_id)
            await tasks.comment(session, actor, board, on.id, words)

    return comment


def in_rail(page: str, board: Board) -> bool:
    """Return whether the rail says that something is new on a board."""
    found = re.search(rf'id="rail-board-{board.id}"([^>]*)>(.*?)</a>', page)
    assert found
    assert ("data-unread" in found[1]) == ("(new)" in found[2]) == ('class="unread"' in found[2])
    return "data-unread" in found[1]


def in_list(page: str, board: Board) -> bool:
    found = re.search(rf'<tr data-item id="board-{board.id}"([^>]*)>', page)
    assert found
    return "data-unread" in found[1]


def on_card(page: str, task: Task) -> bool:
    found = re.search(rf'id="task-{task.id}"([^>]*)>', page)
    assert found
    return "data-unread" in found[1]


async def test_a_board_where_others_commented_is_new_until_it_is_looked_at(
    alice, comments, world
) -> None:
    here = f"/boards/{world.board.id}"
    assert not in_rail((await alice.get("/boards")).text, world.board)
    await comments("Half of it is written.")
    page = (await alice.get("/boards")).text
    assert in_rail(page, world.board)
    assert in_list(page, world.board)
    assert not in_rail(page, world.garden)
    assert not in_rail((await alice.get(here)).text, world.board)  # who is there, sees it
    page = (await alice.get("/boards")).text
    assert not in_rail(page, world.board)
    assert not in_list(page, world.board)
    await comments("All of it is.")
    assert in_rail((await alice.get("/rail")).text, world.board)


async def test_a_board_is_not_new_by_what_one_said_oneself_or_has_read(
    alice, bob, comments, there, world
) -> None:
    await comments("I begin.", world.bob)
    assert not in_rail((await bob.get("/rail")).text, world.board)
    assert in_rail((await alice.get("/rail")).text, world.board)
    assert (await alice.get(there)).status_code == 200
    assert not in_rail((await alice.get("/rail")).text, world.board)


async def test_what_is_new_on_a_board_is_nothing_to_those_who_do_not_read_it(
    bob, charlie, comments, transaction, world
) -> None:
    hidden = a_task(world.garden, "Plant")
    async with transaction() as session:
        session.add(hidden)
    await comments("It rains.", world.gardener, about=hidden)
    for browser in (bob, charlie):
        page = (await browser.get("/boards")).text
        assert "data-unread" not in page
        assert str(world.garden.id) not in page


async def test_a_task_is_new_on_its_board_until_its_conversation_is_opened(
    alice, comments, task, there, world
) -> None:
    here = f"/boards/{world.board.id}"
    await comments("Half of it is written.")
    for view in (here, f"{here}?view=list", here):  # looking at the board is not reading it
        assert on_card((await alice.get(view)).text, task)
    opened = await alice.get(there, headers=HTMX)
    assert opened.headers["HX-Trigger"] == "tasks"  # the board beside it shows that it was read
    assert not on_card((await alice.get(here)).text, task)
    assert "HX-Trigger" not in (await alice.get(there, headers=HTMX)).headers


async def test_a_line_stands_above_the_first_comment_that_is_new(alice, comments, there) -> None:
    await comments("One.")
    first = (await alice.get(there)).text
    assert LINE not in first  # where one was never, nothing is new more than the rest
    await comments("Two.")
    await comments("Three.")
    page = (await alice.get(there)).text
    assert page.count(LINE) == 1
    assert (
        page.index("<p>One.") < page.index(LINE) < page.index("<p>Two.") < page.index("<p>Three.")
    )
    assert LINE not in (await alice.get(there)).text  # it has been read


async def test_the_line_stays_for_as_long_as_the_page_is_open(
    alice, bob, comments, there, world
) -> None:
    await comments("One.")
    await alice.get(there)
    await comments("Two.")
    page = (await alice.get(there)).text
    found = re.search(r'hx-get="(/boards/[^"]*/conversation\?since=\d+)"', page)
    assert found
    await comments("Three.")
    part = await alice.get(found[1], headers=HTMX)
    assert part.headers["HX-Trigger"] == "tasks"
    assert part.text.index("<p>One.") < part.text.index(LINE) < part.text.index("<p>Two.")
    again = await alice.get(found[1], headers=HTMX)
    assert LINE in again.text
    assert "HX-Trigger" not in again.headers
    only = await alice.get(f"{found[1]}&show=comments", headers=HTMX)
    assert LINE in only.text


async def test_what_one_says_oneself_is_below_no_line(alice, comments, there, world) -> None:
    await comments("One.")
    await alice.get(there)
    await comments("Two.", world.alice)
    assert LINE not in (await alice.get(there)).text


@pytest.mark.parametrize("since", ["nonsense", "-1", "99999999999999999999", "0"])
async def test_an_address_with_nonsense_shows_the_conversation(
    alice, comments, there, since
) -> None:
    await comments("One.")
    assert "<p>One." in (await alice.get(f"{there}?since={since}")).text
