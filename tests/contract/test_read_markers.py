"""Unread items, read markers and presence in the API."""

from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import update

from core.clock import now
from core.db.engine import TransactionFactory
from models import Presence
from services import presence
from tests.support.api_fixtures import Client
from tests.support.world import World


@pytest.fixture
def board(world: World) -> str:
    return f"/boards/{world.board.id}"


async def test_unread_items_are_listed_until_marked_as_read(
    alice: Client, worker: Client, rita: Client, board: str, world: World
) -> None:
    task = (await alice.post(f"{board}/tasks", json={"title": "Write"})).json()["id"]
    for text in ("One", "Two"):
        await worker.post(f"{board}/tasks/{task}/comments", json={"message": text})
    await worker.post(f"{board}/memory", json={"content": "Hello", "tags": ["chat"]})
    [chat, comments] = (await alice.get("/unread")).json()["items"]
    assert (chat["kind"], chat["task_id"], chat["unread"]) == ("chat", None, 1)
    assert (comments["kind"], comments["task_id"], comments["unread"]) == ("comments", task, 2)
    assert comments["board_id"] == str(world.board.id)
    assert (comments["seen"], comments["seen_at"]) == (None, None)
    assert (await alice.get("/unread?limit=1")).json()["total"] == 2

    for path in (f"{board}/tasks/{task}/read-marker", f"{board}/read-markers/chat"):
        for client in (alice, rita):
            read = (await client.put(path, json={})).json()
            assert read["unread"] == 0
            assert read["seen"] > 0
            assert read["seen_at"]
    assert (await alice.put(f"{board}/read-markers/approvals")).status_code == 200
    assert (await alice.get("/unread")).json()["total"] == 0


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("read-markers/comments", {}),
        ("read-markers/chat", {"seen": -1}),
        ("read-markers/chat", {"seen": 2**53}),
        ("read-markers/chat", {"seen": "x"}),
        ("tasks/none/read-marker", {}),
    ],
)
async def test_invalid_read_markers_are_rejected(
    alice: Client, board: str, path: str, body: dict[str, Any]
) -> None:
    assert (await alice.put(f"{board}/{path}", json=body)).status_code == 422


async def test_unknown_task_cannot_be_marked_as_read(
    alice: Client, board: str, world: World
) -> None:
    response = await alice.put(f"{board}/tasks/{world.alice.id}/read-marker", json={"seen": "x"})
    assert (response.status_code, response.json()["code"]) == (404, "task_not_found")


async def test_viewers_are_visible_to_readers_of_the_board(
    alice: Client,
    worker: Client,
    dana: Client,
    charlie: Client,
    board: str,
    world: World,
    transaction: TransactionFactory,
) -> None:
    assert (await worker.get(f"{board}/presence")).json() == {"people": []}
    async with transaction() as session:
        for user in (world.bob, world.alice, world.bob):
            await presence.record_visits(session, [presence.Visit(world.board.id, user.id)])
        await presence.record_visits(session, [presence.Visit(world.garden.id, world.alice.id)])
    viewers = (await worker.get(f"{board}/presence")).json()["people"]
    assert [one["name"] for one in viewers] == ["Bob", "Alice"]
    assert viewers[0].keys() == {"user_id", "name", "since"}
    assert (await dana.get(f"{board}/presence")).status_code == 403
    assert (await charlie.get(f"{board}/presence")).status_code == 404

    absent = now() - presence.ABSENT_AFTER - timedelta(seconds=1)
    async with transaction() as session:
        statement = update(Presence).where(Presence.user_id == world.bob.id)
        await session.execute(statement.values(since=absent, seen_at=absent))
    assert [one["name"] for one in (await alice.get(f"{board}/presence")).json()["people"]] == [
        "Alice"
    ]
    async with transaction() as session:
        await presence.record_visits(session, [presence.Visit(world.board.id, world.bob.id)])
    viewers = (await alice.get(f"{board}/presence")).json()["people"]
    assert [one["name"] for one in viewers] == ["Alice", "Bob"]


async def test_presence_ignores_deleted_boards_and_users(
    transaction: TransactionFactory, world: World
) -> None:
    async with transaction() as session:
        await presence.record_visits(session, [presence.Visit(world.alice.id, world.alice.id)])
        await session.delete(await session.merge(world.charlie))
    async with transaction() as session:
        await presence.record_visits(session, [presence.Visit(world.board.id, world.charlie.id)])
