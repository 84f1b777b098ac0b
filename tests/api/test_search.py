"""Searching by the API: who finds what, how it looks, and what is refused."""

import pytest

from models import Comment, new_id
from tests.api.conftest import Client
from tests.conftest import Transaction
from tests.world import World, a_task


@pytest.fixture
async def herons(world: World, transaction: Transaction) -> World:
    """A heron on every board."""
    async with transaction() as session:
        for board in (world.board, world.garden, world.charlies_board):
            task = a_task(await session.merge(board), "Paint <the> heron")
            said = Comment(
                id=new_id(),
                task=task,
                board_id=board.id,
                message="Which <b>heron</b>?",
                created_at=task.created_at,
            )
            session.add_all([task, said])
    return world


async def test_a_hit_says_what_it_is_and_where(alice: Client, herons: World) -> None:
    page = (await alice.get("/search", params={"q": "HER", "kind": "comment"})).json()
    assert (page["total"], page["limit"], page["offset"]) == (2, 20, 0)
    hit = next(one for one in page["items"] if one["board_id"] == str(herons.board.id))
    assert hit["kind"] == "comment"
    assert hit["board_name"] == "Launch"
    assert hit["title"] == "Paint <the> heron"
    assert hit["task_id"]
    assert hit["board_group_id"] is None
    assert hit["title_parts"] == [
        {"text": "Paint <the> ", "hit": False},
        {"text": "heron", "hit": True},
    ]
    assert hit["snippet"] == [
        {"text": "Which <b>", "hit": False},
        {"text": "heron", "hit": True},
        {"text": "</b>?", "hit": False},
    ]
    assert len(hit["at"]) == len("2026-11-24T22:28:33.056093")


async def test_everybody_finds_what_they_may_read(
    alice: Client,
    bob: Client,
    dana: Client,
    charlie: Client,
    worker: Client,
    nobody: Client,
    herons: World,
) -> None:
    async def boards(client: Client) -> set[str]:
        page = (await client.get("/search", params={"q": "heron"})).json()
        assert page["total"] == len(page["items"])
        return {hit["board_id"] for hit in page["items"]}

    launch, garden, plover = (
        str(board.id) for board in (herons.board, herons.garden, herons.charlies_board)
    )
    assert await boards(alice) == {launch, garden}
    assert await boards(bob) == await boards(worker) == {launch}
    assert await boards(dana) == set()
    assert await boards(charlie) == {plover}
    assert (await nobody.get("/search", params={"q": "heron"})).status_code == 401


async def test_pages_and_kinds_can_be_asked_for(alice: Client, herons: World) -> None:
    async def ask(**query: str | int) -> tuple[int, list[str]]:
        page = (await alice.get("/search", params={"q": "heron", **query})).json()
        return page["total"], [hit["kind"] for hit in page["items"]]

    assert await ask() == (4, ["task", "task", "comment", "comment"])
    assert await ask(kind="task, comment") == await ask()
    assert await ask(limit=1, offset=2) == (4, ["comment"])
    assert await ask(offset=50) == (4, [])
    assert await ask(kind="board,memory") == (0, [])


async def test_what_holds_no_word_finds_nothing(alice: Client, herons: World) -> None:
    nothing = {"items": [], "total": 0, "limit": 20, "offset": 0}
    for query in ("", "?q=", "?q=%20", "?q='", "?q=%26%7C!"):
        response = await alice.get(f"/search{query}")
        assert (response.status_code, response.json()) == (200, nothing), query


@pytest.mark.parametrize(
    "query",
    ["q=%00", "q=" + "x" * 201, "kind=people", "kind=%00", "limit=0", "limit=201", "offset=-1"],
)
async def test_a_search_that_makes_no_sense_is_refused(alice: Client, query: str) -> None:
    response = await alice.get(f"/search?{query}")
    assert response.status_code == 422
    assert response.json()["detail"]
