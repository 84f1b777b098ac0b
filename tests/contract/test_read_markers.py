"""What people have not read yet, and who looks at a board, by the API."""

from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import update

from kit.clock import now
from models import Presence
from services import presence
from tests.api.conftest import Client
from tests.conftest import Transaction
from tests.world import World


@pytest.fixture
def board(world: World) -> str:
    return f"/boards/{world.board.id}"


async def test_what_is_new_is_listed_until_it_is_read(
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
async def test_what_makes_no_sense_is_refused(
    alice: Client, board: str, path: str, body: dict[str, Any]
) -> None:
    assert (await alice.put(f"{board}/{path}", json=body)).status_code == 422


async def test_a_task_that_never_was_is_not_read(alice: Client, board: str, world: World) -> None:
    gone = await alice.put(f"{board}/tasks/{world.alice.id}/read-marker", json={"seen": "x"})
    assert (gone.status_code, gone.json()["code"]) == (404, "task_not_found")


async def test_who_looks_at_a_board_is_told_to_who_may_read_it(
    alice: Client,
    worker: Client,
    dana: Client,
    charlie: Client,
    board: str,
    world: World,
    transaction: Transaction,
) -> None:
    assert (await worker.get(f"{board}/presence")).json() == {"people": []}
    async with transaction() as session:
        for user in (world.bob, world.alice, world.bob):
            await presence.note(session, user, world.board.id)
        await presence.note(session, world.alice, world.garden.id)
    seen = (await worker.get(f"{board}/presence")).json()["people"]
    assert [one["name"] for one in seen] == ["Bob", "Alice"]
    assert seen[0].keys() == {"user_id", "name", "since"}
    assert (await dana.get(f"{board}/presence")).status_code == 403
    assert (await charlie.get(f"{board}/presence")).status_code == 404

    silent = now() - presence.GONE_AFTER - timedelta(seconds=1)
    async with transaction() as session:
        gone = update(Presence).where(Presence.user_id == world.bob.id)
        await session.execute(gone.values(since=silent, seen_at=silent))
    assert [one["name"] for one in (await alice.get(f"{board}/presence")).json()["people"]] == [
        "Alice"
    ]
    async with transaction() as session:
        await presence.note(session, world.bob, world.board.id)
    back = (await alice.get(f"{board}/presence")).json()["people"]
    assert [one["name"] for one in back] == ["Alice", "Bob"]


async def test_a_board_or_a_person_that_is_gone_is_no_trouble(
    transaction: Transaction, world: World
) -> None:
    async with transaction() as session:
        await presence.note(session, world.alice, world.alice.id)
        await session.delete(await session.merge(world.charlie))
    async with transaction() as session:
        await presence.note(session, world.charlie, world.board.id)
