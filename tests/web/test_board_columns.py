"""A column shows its first cards; the others are loaded when it is scrolled, or by a link."""

import re
from datetime import timedelta

import pytest

from core.clock import now
from core.db.engine import TransactionFactory
from models import Status, Task
from services.tasks import CARDS_IN_COLUMN
from tests.support.world import World

HTMX = {"HX-Request": "true", "HX-Request-Type": "partial", "HX-Target": "div#board-view"}


@pytest.fixture
async def many(transaction: TransactionFactory, world: World) -> list[Task]:
    """Create more tasks than a column shows at first, newest first."""
    many = [
        world.make_task(f"Task {number}", status=Status.REVIEW)
        for number in range(CARDS_IN_COLUMN + 7)
    ]
    for number, task in enumerate(many):
        task.created_at = now() - timedelta(minutes=number)
    async with transaction() as session:
        session.add_all(many)
    return many


def shown_ids(html: str, status: str = "review") -> list[str]:
    column = html.split(f'id="column-{status}"')[1].split('<section class="col')[0]
    return re.findall(r'<li class="card[^"]*" id="task-([^"]*)"', column)


def links(html: str, attribute: str) -> list[str]:
    found = re.findall(rf'<a class="more"[^>]* {attribute}="([^"]*)"', html)
    return [address.replace("&amp;", "&") for address in found]


async def test_a_long_column_shows_its_first_cards_and_a_link_to_all(alice, world, many) -> None:
    page = (await alice.get(f"/boards/{world.board.id}?q=Task")).text
    assert shown_ids(page) == [str(task.id) for task in many[:CARDS_IN_COLUMN]]
    assert f"Show all {len(many)}" in page
    [link] = links(page, "href")
    everything = (await alice.get(link)).text
    assert shown_ids(everything) == [str(task.id) for task in many]
    assert links(everything, "href") == []
    [part] = links(page, "hx-get")
    more = (await alice.get(part, headers=HTMX)).text
    assert shown_ids(more) == [str(task.id) for task in many]
    [reload] = re.findall(r'id="board-view" hx-get="([^"]*)"', more)
    assert shown_ids((await alice.get(reload.replace("&amp;", "&"))).text) == shown_ids(more)


async def test_filtered_cards_are_counted_up_to_a_limit(
    alice, world, transaction, monkeypatch
) -> None:
    monkeypatch.setattr("services.tasks.board_queries.MAX_COUNTED", CARDS_IN_COLUMN + 1)
    number = CARDS_IN_COLUMN + 3
    async with transaction() as session:
        session.add_all([world.make_task(f"Pot {one}") for one in range(number)])
    count = re.compile(r'<span class="(?:count|dim)">([^<]*)<')
    for view in ("", "&view=list"):
        assert f"{CARDS_IN_COLUMN + 1}+" in count.findall(
            (await alice.get(f"/boards/{world.board.id}?q=Pot{view}")).text
        )
        page = (await alice.get(f"/boards/{world.board.id}?done=1{view}")).text
        assert str(number) in [one.strip() for one in count.findall(page)]


async def test_counts_include_cards_that_are_not_shown(alice, world, many) -> None:
    page = (await alice.get(f"/boards/{world.board.id}")).text
    assert f'<span class="count">{len(many)}</span>' in page
    filtered = (await alice.get(f"/boards/{world.board.id}?q={many[-1].title}")).text
    assert shown_ids(filtered) == [str(many[-1].id)]


async def test_what_waits_for_an_answer_is_shown_first(alice, transaction, world, many) -> None:
    async with transaction() as session:
        session.add_all(world.make_approval(await session.get_one(Task, many[-1].id)))
    page = (await alice.get(f"/boards/{world.board.id}")).text
    assert shown_ids(page)[0] == str(many[-1].id)


async def test_a_moved_card_is_shown_however_far_down_it_is(
    alice, transaction, world, many
) -> None:
    oldest = world.make_task("Oldest")
    oldest.created_at = now() - timedelta(days=1)
    async with transaction() as session:
        session.add(oldest)
    path, board = f"/boards/{world.board.id}/tasks/{oldest.id}/moves", f"/boards/{world.board.id}"
    moved = await alice.post(f"{path}?sort=created", data={"to": "review"}, headers=HTMX)
    assert shown_ids(moved.text)[-1] == str(oldest.id)
    assert str(oldest.id) not in shown_ids((await alice.get(f"{board}?sort=created")).text)
    assert shown_ids((await alice.get(board)).text)[0] == str(oldest.id)


async def test_a_thousand_cards_are_loaded_in_few_steps(alice, transaction, world) -> None:
    async with transaction() as session:
        session.add_all([world.make_task("One", status=Status.REVIEW) for _ in range(1_000)])
    counts, [link] = [], [f"/boards/{world.board.id}/columns"]
    for _ in range(5):
        page = (await alice.get(link, headers=HTMX)).text
        counts.append(len(shown_ids(page)))
        [link] = links(page, "hx-get")
    assert counts == [50, 100, 200, 400, 800]
    assert len(shown_ids((await alice.get(link, headers=HTMX)).text)) == 1_000
    [everything] = links(page, "href")
    assert len(shown_ids((await alice.get(everything)).text)) == 1_000


@pytest.mark.parametrize(
    ("sort", "expected"),
    [
        ("priority", "bca"),
        ("-priority", "acb"),
        ("updated", "cba"),
        ("manual", "cba"),
        ("x", "cba"),
    ],
)
async def test_columns_are_sorted_as_the_address_says(
    alice, transaction, world, sort, expected
) -> None:
    ranks = {"a": "low", "b": "high", "c": "medium"}
    for title, priority in ranks.items():
        async with transaction() as session:
            session.add(world.make_task(title, priority=priority))
    page = (await alice.get(f"/boards/{world.board.id}?sort={sort}")).text
    assert "".join(re.findall(r">([abc])</a></h3>", page)) == expected
    assert ('data-order="manual"' in page) is (sort in ("manual", "x"))
    assert (", cards from:body" in page) is (sort not in ("manual", "x"))


async def test_a_scrolled_column_loads_no_cards_of_others(alice, transaction, world, many) -> None:
    async with transaction() as session:
        session.add_all([world.make_task("Other") for _ in range(CARDS_IN_COLUMN + 7)])
    counts, addresses = [], [f"/boards/{world.board.id}/columns"]
    for _ in range(3):
        page = (await alice.get(addresses[-1], headers=HTMX)).text
        counts.append([len(shown_ids(page, status)) for status in ("inbox", "review")])
        addresses = links(page, "hx-get")  # of the columns from left to right
    few, all = CARDS_IN_COLUMN, CARDS_IN_COLUMN + 7
    assert counts == [[few, few], [few, all], [all, all]]


@pytest.mark.parametrize(
    "more", ["x", "review", "review.x", "x.100,review.0", ",.", "review." * 50]
)
async def test_an_invalid_number_of_cards_shows_the_usual_one(alice, world, many, more) -> None:
    page = await alice.get(f"/boards/{world.board.id}?more={more}")
    assert len(shown_ids(page.text)) == CARDS_IN_COLUMN
    assert "more=" not in page.text.split('id="board-view"')[1].split(">")[0]


@pytest.mark.parametrize("limit", ["0", "-1", "x", "51", "9" * 5_000, "²"])
async def test_an_invalid_limit_shows_the_board(alice, world, many, limit) -> None:
    page = await alice.get(f"/boards/{world.board.id}?limit={limit}")
    assert page.status_code == 200
    assert len(shown_ids(page.text)) in (CARDS_IN_COLUMN, len(many))
