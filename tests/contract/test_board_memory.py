"""The contract's checklist (people-and-boards 7), 37: memory and chat of a board."""

import pytest
from sqlalchemy import delete, select

from core.db.engine import TransactionFactory
from models import Board, EventType, Message
from tests.support.api_document import DOCUMENT
from tests.support.api_fixtures import Client
from tests.support.memory_messages import CHAT_MESSAGE, list_events, list_sent
from tests.support.memory_rows import make_note
from tests.support.world import World


async def test_a_note_is_stored_unchanged(
    alice: Client, worker: Client, world: World, transaction: TransactionFactory
) -> None:
    """Point 37. And 3.8."""
    path = f"/boards/{world.board.id}/memory"
    plain = (await worker.post(path, json={"content": " We ship. ", "tags": ["plan"]})).json()
    assert plain == plain | {
        "board_id": str(world.board.id),
        "content": "We ship.",
        "tags": ["plan"],
        "source": None,
        "is_chat": False,
    }
    labelled = {"content": "Kept", "source": "a script", "tags": None}
    assert (await alice.post(path, json=labelled)).json()["source"] == "a script"
    assert await list_sent(transaction) == {}
    listed = (await worker.get(path)).json()
    assert [one["content"] for one in listed["items"]] == ["Kept", "We ship."]
    assert listed["total"] == 2
    assert (await worker.get(f"/agent{path}")).json() == listed
    for wrong in ({}, {"content": " "}, {"content": None}, {"content": "a", "tags": "chat"}):
        assert (await worker.post(path, json=wrong)).status_code == 422


async def test_blank_notes_are_not_listed(
    alice: Client, world: World, transaction: TransactionFactory
) -> None:
    """3.8."""
    async with transaction() as session:
        session.add_all([make_note(world.board, " \n"), make_note(world.board, "Something")])
    [shown] = (await alice.get(f"/boards/{world.board.id}/memory")).json()["items"]
    assert shown["content"] == "Something"


@pytest.mark.parametrize("tags", [["chat"], ["plan", "chat"]])
async def test_a_note_with_the_chat_tag_is_sent_to_the_lead(
    worker: Client, world: World, transaction: TransactionFactory, tags: list[str]
) -> None:
    """Point 37."""
    path = f"/agent/boards/{world.board.id}/memory"
    response = (await worker.post(path, json={"content": "Hello", "tags": tags})).json()
    assert response["is_chat"] is True
    assert response["source"] == "Worker"
    assert await list_sent(transaction) == {"Lead": ("BOARD CHAT", False)}
    await worker.post(path, json={"content": "Kept", "tags": ["chats", "Chat"]})
    for is_chat, contents in [("true", ["Hello"]), ("false", ["Kept"])]:
        found = (await worker.get(f"{path}?is_chat={is_chat}")).json()["items"]
        assert [one["content"] for one in found] == contents
    assert (await worker.get(f"{path}?is_chat=perhaps")).status_code == 422


async def test_a_chat_message_notifies_mentioned_agents_but_not_its_author(
    bob: Client, lead: Client, world: World, transaction: TransactionFactory
) -> None:
    """Point 37. S15."""
    path = f"/boards/{world.board.id}/memory"
    await bob.post(path, json={"content": "@worker, see me@other.example", "tags": ["chat"]})
    assert await list_sent(transaction) == {
        "Lead": ("BOARD CHAT", False),
        "Worker": ("BOARD CHAT MENTION", False),
    }
    async with transaction() as session:
        [content, *_] = await session.scalars(select(Message.content))
        await session.execute(delete(Message))
    assert "From: Bob" in content
    assert f"/api/v1/agent/boards/{world.board.id}/memory" in content
    fence = content.index("--- BEGIN EXTERNAL DATA"), content.index("--- END EXTERNAL DATA")
    assert fence[0] < content.index("see me@other.example") < fence[1]
    await lead.post(path, json={"content": "@lead and @worker: on it", "tags": ["chat"]})
    assert await list_sent(transaction) == {"Worker": ("BOARD CHAT MENTION", False)}


async def test_the_author_is_recorded_regardless_of_the_source(
    worker: Client, bob: Client, world: World, transaction: TransactionFactory
) -> None:
    """S4, fixed."""
    path = f"/boards/{world.board.id}/memory"
    forged = {"agent_id": str(world.lead.id), "user_id": str(world.alice.id), "source": "Alice"}
    for client, author in [(worker, world.worker), (bob, world.bob)]:
        response = (await client.post(path, json={**CHAT_MESSAGE, **forged})).json()
        assert response["source"] == "Alice"
        assert response["author_name"] == author.name
        ids = (response["agent_id"], response["user_id"])
        assert str(author.id) in ids
        assert None in ids
    async with transaction() as session:
        content = await session.scalar(select(Message.content).limit(1))
    assert "Alice" not in (content or "")


@pytest.mark.parametrize("author", ["bob", "lead"])
async def test_a_command_is_sent_to_all_agents_and_pauses_the_board(
    request: pytest.FixtureRequest,
    world: World,
    transaction: TransactionFactory,
    author: str,
    alice: Client,
) -> None:
    """Point 37. S14, fixed."""
    client: Client = request.getfixturevalue(author)
    board, path = f"/boards/{world.board.id}", f"/boards/{world.board.id}/memory"
    assert (await alice.get(board)).json()["paused_at"] is None
    response = await client.post(path, json={"content": " /PAUSE ", "tags": ["chat"]})
    assert response.json()["content"] == "/PAUSE"
    recipients = {name: ("/pause", True) for name in ("Lead", "Worker", "Other worker")}
    recipients.pop("Lead" if author == "lead" else "", None)
    assert await list_sent(transaction) == recipients
    paused = (await alice.get(board)).json()["paused_at"]
    assert paused is not None

    await client.post(path, json={"content": "/pause", "tags": ["chat"]})
    assert (await alice.get(board)).json()["paused_at"] == paused
    await client.post(path, json={"content": "/resume", "tags": ["chat"]})
    assert (await alice.get(board)).json()["paused_at"] is None
    recorded = await list_events(transaction, EventType.BOARD_PAUSED, EventType.BOARD_RESUMED)
    assert [event.type for event in recorded] == ["board.paused", "board.resumed"]
    assert {event.board_id for event in recorded} == {world.board.id}


async def test_workers_cannot_command_and_plain_notes_are_not_commands(
    worker: Client, bob: Client, rita: Client, world: World, transaction: TransactionFactory
) -> None:
    """S14, fixed."""
    path = f"/boards/{world.board.id}/memory"
    for word in ("/pause", " /Resume"):
        rejected = await worker.post(path, json={"content": word, "tags": ["chat"]})
        assert (rejected.status_code, rejected.json()["code"]) == (403, "lead_required")
        assert (await rita.post(path, json={"content": word, "tags": ["chat"]})).status_code == 403
    assert (await worker.get(path)).json()["items"] == []
    await bob.post(path, json={"content": "/pause", "tags": ["how-to"]})
    await worker.post(path, json={"content": "/pause the music", "tags": ["chat"]})
    assert await list_sent(transaction) == {"Lead": ("BOARD CHAT", False)}
    async with transaction() as session:
        assert (await session.get_one(Board, world.board.id)).paused_at is None


async def test_memory_is_not_in_the_activity_feed(
    alice: Client, worker: Client, world: World
) -> None:
    """3.8."""
    path = f"/boards/{world.board.id}/memory"
    note = (await worker.post(path, json={"content": "Kept"})).json()
    await worker.patch(f"{path}/{note['id']}", json={"content": "Changed"})
    await worker.delete(f"{path}/{note['id']}")
    for client in (alice, worker):
        items = (await client.get("/activity")).json()["items"]
        assert [one for one in items if "memory" in one["event_type"]] == []


async def test_authors_leads_and_users_change_and_delete_notes(
    worker: Client, other_worker: Client, lead: Client, bob: Client, rita: Client, world: World
) -> None:
    path = f"/boards/{world.board.id}/memory"
    note = (await worker.post(path, json={"content": "Friday", "tags": ["plan"]})).json()
    one = f"{path}/{note['id']}"
    assert note["version"] == 1
    assert (await rita.get(one)).json() == note
    for client in (other_worker, rita):
        assert (await client.patch(one, json={"content": "Mine"})).status_code == 403
        assert (await client.delete(one)).status_code == 403
    for number, client in enumerate((worker, lead, bob), start=2):
        changed = (await client.patch(one, json={"content": f"Day {number}"})).json()
        assert changed == note | {
            "content": f"Day {number}",
            "version": number,
            "updated_at": changed["updated_at"],
        }
    same = (await worker.patch(one, json={"content": "Day 4", "nonsense": 1})).json()
    assert same["version"] == 4
    talk = (await worker.patch(one, json={"tags": ["chat"]})).json()
    assert (talk["is_chat"], talk["version"]) == (True, 5)
    for wrong in ({"content": None}, {"content": " "}, {"tags": [5]}, {"source": "a" * 201}):
        assert (await worker.patch(one, json=wrong)).status_code == 422
    assert (await bob.delete(one)).json() == {"ok": True}
    assert (await bob.get(one)).status_code == 404
    assert (await bob.delete(one)).json()["code"] == "memory_not_found"


async def test_a_note_of_another_board_is_not_found(
    alice: Client, world: World, transaction: TransactionFactory
) -> None:
    async with transaction() as session:
        elsewhere = make_note(world.garden)
        session.add(elsewhere)
    path = f"/boards/{world.board.id}/memory/{elsewhere.id}"
    assert (await alice.get(path)).status_code == 404
    assert (await alice.patch(path, json={"content": "Mine"})).status_code == 404
    assert (await alice.patch(path, json={})).status_code == 404
    assert (await alice.delete(path)).status_code == 404


def test_memory_operations_have_guidance_for_agents() -> None:
    """1.15, and section 5 of the agents' contract."""
    paths = DOCUMENT["paths"]
    board, agents = "/api/v1/boards/{board_id}", "/api/v1/agent/boards/{board_id}"
    for path, method, intent in [
        (f"{agents}/memory", "get", "agent_board_memory_discovery"),
        (f"{agents}/memory", "post", "agent_board_memory_record"),
        (f"{board}/group-memory", "get", "agent_board_group_memory_discovery"),
        (f"{board}/group-memory", "post", "agent_board_group_memory_record"),
        (f"{board}/group-memory/stream", "get", "agent_board_group_memory_stream"),
    ]:
        operation = paths[path][method]
        assert operation["x-llm-intent"] == intent
        assert {"agent-lead", "agent-worker"} <= set(operation["tags"])
        assert ("agent-main" in operation["tags"]) == path.startswith(agents)
    for method, deed in [("get", "list"), ("post", "create")]:
        name = f"{deed}_board_memory_api_v1_agent_boards__board_id__memory_{method}"
        assert paths[f"{agents}/memory"][method]["operationId"] == name
    snapshot = paths[f"{board}/group-snapshot"]["get"]
    assert {"agent-lead", "agent-worker"} <= set(snapshot["tags"])
    assert "x-llm-intent" not in snapshot
