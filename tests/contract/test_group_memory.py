"""The contract's checklist (people-and-boards 7), 38: memory and chat of a board group."""

from typing import Any

import pytest
from sqlalchemy import select

from core.db.engine import TransactionFactory
from models import Agent, EventType, Message, User, new_id
from tests.support.api_fixtures import Client, ClientFactory
from tests.support.memory_messages import CHAT_MESSAGE, list_events, list_sent
from tests.support.memory_rows import create_group_of
from tests.support.world import World


async def test_a_board_without_a_group_has_an_empty_group_memory(
    worker: Client, alice: Client, world: World
) -> None:
    """Point 38."""
    path = f"/boards/{world.board.id}/group-memory"
    for client in (worker, alice):
        page = {"items": [], "total": 0, "limit": 200, "offset": 0}
        assert (await client.get(path)).json() == page
        rejected = await client.post(path, json=CHAT_MESSAGE)
        assert (rejected.status_code, rejected.json()["code"]) == (422, "board_group_required")
        assert (await client.get(f"{path}/{new_id()}")).status_code == 404


async def create_group(transaction: TransactionFactory, world: World) -> str:
    async with transaction() as session:
        group = await create_group_of(session, world.board, world.garden)
    return str(group.id)


async def test_boards_of_a_group_share_its_memory(
    worker: Client,
    alice: Client,
    world: World,
    client_for: ClientFactory,
    transaction: TransactionFactory,
) -> None:
    """Point 38. And 3.9."""
    group_id = await create_group(transaction, world)
    ours = f"/boards/{world.board.id}/group-memory"
    note = (await worker.post(ours, json={"content": "We ship together."})).json()
    assert note == note | {"board_group_id": group_id, "is_chat": False, "source": None}
    assert note["author_name"] == "Worker"
    assert await list_sent(transaction) == {}
    gardener = client_for(world.gardener)
    for client, path in [
        (gardener, f"/boards/{world.garden.id}/group-memory"),
        (alice, f"/board-groups/{group_id}/memory"),
        (alice, ours),
    ]:
        assert (await client.get(path)).json()["items"] == [note]
        assert (await client.get(f"{path}/{note['id']}")).json() == note
    assert (await worker.get(f"/boards/{world.garden.id}/group-memory")).status_code == 403


@pytest.mark.parametrize(
    ("note", "kinds"),
    [
        ({"content": "Hm", "tags": ["chat"]}, {"Lead": "GROUP CHAT"}),
        (
            {"content": "Hm, @gardener", "tags": ["chat"]},
            {"Lead": "GROUP CHAT", "Gardener": "GROUP CHAT MENTION"},
        ),
        ({"content": "Hm, @gardener", "tags": ["plan"]}, {}),
        ({"content": "Hm", "tags": ["broadcast"]}, "all"),
        ({"content": "Hm, @all"}, "all"),
    ],
)
async def test_group_chat_reaches_leads_mentioned_or_all_agents(
    worker: Client, world: World, transaction: TransactionFactory, note: dict[str, Any], kinds: Any
) -> None:
    """Point 38."""
    await create_group(transaction, world)
    response = await worker.post(f"/boards/{world.board.id}/group-memory", json=note)
    recipients = ("Lead", "Other worker", "Gardener")
    kinds = dict.fromkeys(recipients, "GROUP BROADCAST") if kinds == "all" else kinds
    assert await list_sent(transaction) == {name: (kind, False) for name, kind in kinds.items()}
    assert response.json()["source"] == ("Worker" if kinds else None)
    assert response.json()["is_chat"] is ("chat" in note.get("tags", []))
    async with transaction() as session:
        for message in await session.scalars(select(Message)):
            agent = await session.get_one(Agent, message.agent_id)
            assert f"/api/v1/boards/{agent.board_id}/group-memory" in message.content
            assert "Group: Birds" in message.content


async def test_group_notes_require_write_access_to_one_of_its_boards(
    bob: Client,
    rita: Client,
    dana: Client,
    alice: Client,
    world: World,
    transaction: TransactionFactory,
) -> None:
    """1.12; S8, fixed: the rule of the group applies to both paths."""
    group_id = await create_group(transaction, world)
    for path in (f"/board-groups/{group_id}/memory", f"/boards/{world.board.id}/group-memory"):
        made = await bob.post(path, json={"content": "Hello", "tags": ["chat"]})
        assert made.json()["source"] == made.json()["author_name"] == "Bob"
        one = f"{path}/{made.json()['id']}"
        assert (await rita.get(one)).status_code == 200
        assert (await rita.post(path, json=CHAT_MESSAGE)).status_code == 403
        assert (await rita.delete(one)).status_code == 403
        assert (await dana.get(path)).status_code == 403
        assert (await dana.post(path, json=CHAT_MESSAGE)).status_code == 403
        changed = (await alice.patch(one, json={"content": "Bye"})).json()
        assert (changed["content"], changed["version"], changed["user_id"]) == (
            "Bye",
            2,
            str(world.bob.id),
        )
        assert (await bob.delete(one)).json() == {"ok": True}
    recorded = await list_events(transaction, EventType.GROUP_MEMORY_DELETED)
    assert [event.data["group_id"] for event in recorded] == [group_id] * 2


async def test_strangers_cannot_access_memory(
    client_for: ClientFactory, world: World, transaction: TransactionFactory
) -> None:
    """S24, fixed."""
    group_id = await create_group(transaction, world)
    board = f"/boards/{world.board.id}"
    strangers: list[User | Agent] = [world.charlie, world.charlies_worker]
    for stranger in strangers:
        client = client_for(stranger)
        for path in ("memory", "memory/stream", "group-memory", "group-memory/stream"):
            assert (await client.get(f"{board}/{path}")).status_code == 404
        for path in ("memory", "group-memory"):
            assert (await client.post(f"{board}/{path}", json=CHAT_MESSAGE)).status_code == 404
    charlie = client_for(world.charlie)
    for path in ("memory", "memory/stream"):
        assert (await charlie.get(f"/board-groups/{group_id}/{path}")).status_code == 404
    assert (
        await charlie.post(f"/board-groups/{group_id}/memory", json=CHAT_MESSAGE)
    ).status_code == 404
    assert await list_sent(transaction) == {}
