"""The contract's checklist (people-and-boards 7), 37 and 38: memory, chat and their messages."""

from typing import Any

import pytest
from sqlalchemy import delete, select

from api.app import OPERATIONS
from api.openapi.document import build_document
from core.db.engine import TransactionFactory
from models import Agent, Board, Event, EventType, Message, User, new_id
from tests.support.api_fixtures import Client, ClientFactory
from tests.support.memory_rows import create_group_of, make_note
from tests.support.world import World

CHAT_MESSAGE = {"content": "  Hello  ", "tags": ["chat"]}


async def list_sent(transaction: TransactionFactory) -> dict[str, tuple[str, bool]]:
    """Return the kind and `deliver` of the message to each agent, by name."""
    async with transaction() as session:
        query = select(Agent.name, Message).join(Message, Message.agent_id == Agent.id)
        rows = (await session.execute(query)).all()
    assert len({name for name, _ in rows}) == len(rows), "an agent received two messages"
    return {name: (message.kind, message.deliver) for name, message in rows}


async def list_events(transaction: TransactionFactory, *kinds: EventType) -> list[Event]:
    async with transaction() as session:
        query = select(Event).where(Event.type.in_(kinds)).order_by(Event.seq)
        return list((await session.scalars(query)).all())


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


def test_memory_operations_have_guidance_for_agents() -> None:
    """1.15, and section 5 of the agents' contract."""
    paths = build_document(OPERATIONS)["paths"]
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
