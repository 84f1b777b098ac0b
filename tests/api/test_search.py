"""Search: access, format of the results, and invalid queries."""

import pytest

from core.db.engine import TransactionFactory
from models import Comment, new_id
from tests.support.api_fixtures import Client
from tests.support.board_rows import make_task
from tests.support.world import World


@pytest.fixture
async def heron_rows(world: World, transaction: TransactionFactory) -> World:
    """A row with the word heron on every board."""
    async with transaction() as session:
        for board in (world.board, world.garden, world.charlies_board):
            task = make_task(await session.merge(board), "Paint <the> heron")
            comment = Comment(
                id=new_id(),
                task=task,
                board_id=board.id,
                message="Which <b>heron</b>?",
                created_at=task.created_at,
            )
            session.add_all([task, comment])
    return world


async def test_a_search_hit_has_its_kind_and_location(alice: Client, heron_rows: World) -> None:
    page = (await alice.get("/search", params={"q": "HER", "kind": "comment"})).json()
    assert (page["total"], page["limit"], page["offset"]) == (2, 20, 0)
    hit = next(one for one in page["items"] if one["board_id"] == str(heron_rows.board.id))
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


async def test_search_returns_what_the_caller_may_read(
    alice: Client,
    bob: Client,
    dana: Client,
    charlie: Client,
    worker: Client,
    anonymous: Client,
    heron_rows: World,
) -> None:
    async def boards(client: Client) -> set[str]:
        page = (await client.get("/search", params={"q": "heron"})).json()
        assert page["total"] == len(page["items"])
        return {hit["board_id"] for hit in page["items"]}

    launch, garden, plover = (
        str(board.id) for board in (heron_rows.board, heron_rows.garden, heron_rows.charlies_board)
    )
    assert await boards(alice) == {launch, garden}
    assert await boards(bob) == await boards(worker) == {launch}
    assert await boards(dana) == set()
    assert await boards(charlie) == {plover}
    assert (await anonymous.get("/search", params={"q": "heron"})).status_code == 401


async def test_search_supports_pages_and_kinds(alice: Client, heron_rows: World) -> None:
    async def ask(**query: str | int) -> tuple[int, list[str]]:
        page = (await alice.get("/search", params={"q": "heron", **query})).json()
        return page["total"], [hit["kind"] for hit in page["items"]]

    assert await ask() == (4, ["task", "task", "comment", "comment"])
    assert await ask(kind="task, comment") == await ask()
    assert await ask(limit=1, offset=2) == (4, ["comment"])
    assert await ask(offset=50) == (4, [])
    assert await ask(kind="board,memory") == (0, [])


async def test_a_query_without_words_finds_nothing(alice: Client, heron_rows: World) -> None:
    nothing = {"items": [], "total": 0, "limit": 20, "offset": 0}
    for query in ("", "?q=", "?q=%20", "?q='", "?q=%26%7C!"):
        response = await alice.get(f"/search{query}")
        assert (response.status_code, response.json()) == (200, nothing), query


@pytest.mark.parametrize(
    "query",
    ["q=%00", "q=" + "x" * 201, "kind=people", "kind=%00", "limit=0", "limit=201", "offset=-1"],
)
async def test_an_invalid_search_is_rejected(alice: Client, query: str) -> None:
    response = await alice.get(f"/search?{query}")
    assert response.status_code == 422
    assert response.json()["detail"]
