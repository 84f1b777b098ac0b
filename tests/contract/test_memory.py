"""The contract's checklist (people-and-boards 7), 37 and 38: memory, chat and their messages."""

from typing import Any

import pytest
from sqlalchemy import delete, select

from api.app import OPERATIONS
from api.openapi import document
from models import Agent, Board, Event, EventType, Message, User, new_id
from tests.api.conftest import Caller, Client
from tests.conftest import Transaction
from tests.remembering import a_note, grouped
from tests.world import World

SAID = {"content": "  Hello  ", "tags": ["chat"]}


async def sent(transaction: Transaction) -> dict[str, tuple[str, bool]]:
    """Return what agents were told: the first line and whether out loud, by name."""
    async with transaction() as session:
        query = select(Agent.name, Message).join(Message, Message.agent_id == Agent.id)
        rows = (await session.execute(query)).all()
    assert len({name for name, _ in rows}) == len(rows), "somebody was told twice"
    return {name: (message.kind, message.deliver) for name, message in rows}


async def events(transaction: Transaction, *kinds: EventType) -> list[Event]:
    async with transaction() as session:
        query = select(Event).where(Event.type.in_(kinds)).order_by(Event.seq)
        return list((await session.scalars(query)).all())


async def test_a_note_is_kept_as_it_was_written(
    alice: Client, worker: Client, world: World, transaction: Transaction
) -> None:
    """Point 37. And 3.8."""
    at = f"/boards/{world.board.id}/memory"
    plain = (await worker.post(at, json={"content": " We ship. ", "tags": ["plan"]})).json()
    assert plain == plain | {
        "board_id": str(world.board.id),
        "content": "We ship.",
        "tags": ["plan"],
        "source": None,
        "is_chat": False,
    }
    labelled = {"content": "Kept", "source": "a script", "tags": None}
    assert (await alice.post(at, json=labelled)).json()["source"] == "a script"
    assert await sent(transaction) == {}
    listed = (await worker.get(at)).json()
    assert [one["content"] for one in listed["items"]] == ["Kept", "We ship."]
    assert listed["total"] == 2
    assert (await worker.get(f"/agent{at}")).json() == listed
    for wrong in ({}, {"content": " "}, {"content": None}, {"content": "a", "tags": "chat"}):
        assert (await worker.post(at, json=wrong)).status_code == 422


async def test_notes_that_say_nothing_are_not_shown(
    alice: Client, world: World, transaction: Transaction
) -> None:
    """3.8."""
    async with transaction() as session:
        session.add_all([a_note(world.board, " \n"), a_note(world.board, "Something")])
    [shown] = (await alice.get(f"/boards/{world.board.id}/memory")).json()["items"]
    assert shown["content"] == "Something"


@pytest.mark.parametrize("tags", [["chat"], ["plan", "chat"]])
async def test_the_tag_chat_makes_a_message_that_the_lead_hears(
    worker: Client, world: World, transaction: Transaction, tags: list[str]
) -> None:
    """Point 37."""
    at = f"/agent/boards/{world.board.id}/memory"
    said = (await worker.post(at, json={"content": "Hello", "tags": tags})).json()
    assert said["is_chat"] is True
    assert said["source"] == "Worker"
    assert await sent(transaction) == {"Lead": ("BOARD CHAT", False)}
    await worker.post(at, json={"content": "Kept", "tags": ["chats", "Chat"]})
    for is_chat, contents in [("true", ["Hello"]), ("false", ["Kept"])]:
        found = (await worker.get(f"{at}?is_chat={is_chat}")).json()["items"]
        assert [one["content"] for one in found] == contents
    assert (await worker.get(f"{at}?is_chat=perhaps")).status_code == 422


async def test_a_message_calls_who_is_mentioned_and_never_its_author(
    bob: Client, lead: Client, world: World, transaction: Transaction
) -> None:
    """Point 37. S15."""
    at = f"/boards/{world.board.id}/memory"
    await bob.post(at, json={"content": "@worker, see me@other.example", "tags": ["chat"]})
    assert await sent(transaction) == {
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
    await lead.post(at, json={"content": "@lead and @worker: on it", "tags": ["chat"]})
    assert await sent(transaction) == {"Worker": ("BOARD CHAT MENTION", False)}


async def test_who_writes_is_known_whatever_the_label_says(
    worker: Client, bob: Client, world: World, transaction: Transaction
) -> None:
    """S4, fixed."""
    at = f"/boards/{world.board.id}/memory"
    forged = {"agent_id": str(world.lead.id), "user_id": str(world.alice.id), "source": "Alice"}
    for client, author in [(worker, world.worker), (bob, world.bob)]:
        said = (await client.post(at, json={**SAID, **forged})).json()
        assert said["source"] == "Alice"
        assert said["author_name"] == author.name
        ids = (said["agent_id"], said["user_id"])
        assert str(author.id) in ids
        assert None in ids
    async with transaction() as session:
        content = await session.scalar(select(Message.content).limit(1))
    assert "Alice" not in (content or "")


@pytest.mark.parametrize("who", ["bob", "lead"])
async def test_a_command_reaches_all_agents_out_loud_and_pauses_the_board(
    request: pytest.FixtureRequest, world: World, transaction: Transaction, who: str, alice: Client
) -> None:
    """Point 37. S14, fixed."""
    client: Client = request.getfixturevalue(who)
    board, at = f"/boards/{world.board.id}", f"/boards/{world.board.id}/memory"
    assert (await alice.get(board)).json()["paused_at"] is None
    said = await client.post(at, json={"content": " /PAUSE ", "tags": ["chat"]})
    assert said.json()["content"] == "/PAUSE"
    everybody = {name: ("/pause", True) for name in ("Lead", "Worker", "Other worker")}
    everybody.pop("Lead" if who == "lead" else "", None)
    assert await sent(transaction) == everybody
    paused = (await alice.get(board)).json()["paused_at"]
    assert paused is not None

    await client.post(at, json={"content": "/pause", "tags": ["chat"]})
    assert (await alice.get(board)).json()["paused_at"] == paused
    await client.post(at, json={"content": "/resume", "tags": ["chat"]})
    assert (await alice.get(board)).json()["paused_at"] is None
    told = await events(transaction, EventType.BOARD_PAUSED, EventType.BOARD_RESUMED)
    assert [event.type for event in told] == ["board.paused", "board.resumed"]
    assert {event.board_id for event in told} == {world.board.id}


async def test_a_worker_commands_nobody_and_a_plain_note_is_no_command(
    worker: Client, bob: Client, rita: Client, world: World, transaction: Transaction
) -> None:
    """S14, fixed."""
    at = f"/boards/{world.board.id}/memory"
    for word in ("/pause", " /Resume"):
        refused = await worker.post(at, json={"content": word, "tags": ["chat"]})
        assert (refused.status_code, refused.json()["code"]) == (403, "lead_required")
        assert (await rita.post(at, json={"content": word, "tags": ["chat"]})).status_code == 403
    assert (await worker.get(at)).json()["items"] == []
    await bob.post(at, json={"content": "/pause", "tags": ["how-to"]})
    await worker.post(at, json={"content": "/pause the music", "tags": ["chat"]})
    assert await sent(transaction) == {"Lead": ("BOARD CHAT", False)}
    async with transaction() as session:
        assert (await session.get_one(Board, world.board.id)).paused_at is None


async def test_memory_is_in_no_feed_of_activity(
    alice: Client, worker: Client, world: World
) -> None:
    """3.8."""
    at = f"/boards/{world.board.id}/memory"
    note = (await worker.post(at, json={"content": "Kept"})).json()
    await worker.patch(f"{at}/{note['id']}", json={"content": "Changed"})
    await worker.delete(f"{at}/{note['id']}")
    for client in (alice, worker):
        told = (await client.get("/activity")).json()["items"]
        assert [one for one in told if "memory" in one["event_type"]] == []


async def test_a_note_is_changed_and_deleted_by_its_author_the_lead_and_people(
    worker: Client, other_worker: Client, lead: Client, bob: Client, rita: Client, world: World
) -> None:
    at = f"/boards/{world.board.id}/memory"
    note = (await worker.post(at, json={"content": "Friday", "tags": ["plan"]})).json()
    one = f"{at}/{note['id']}"
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
    alice: Client, world: World, transaction: Transaction
) -> None:
    async with transaction() as session:
        elsewhere = a_note(world.garden)
        session.add(elsewhere)
    at = f"/boards/{world.board.id}/memory/{elsewhere.id}"
    assert (await alice.get(at)).status_code == 404
    assert (await alice.patch(at, json={"content": "Mine"})).status_code == 404
    assert (await alice.patch(at, json={})).status_code == 404
    assert (await alice.delete(at)).status_code == 404


async def test_a_board_in_no_group_has_an_empty_memory_beside_it(
    worker: Client, alice: Client, world: World
) -> None:
    """Point 38."""
    at = f"/boards/{world.board.id}/group-memory"
    for client in (worker, alice):
        page = {"items": [], "total": 0, "limit": 200, "offset": 0}
        assert (await client.get(at)).json() == page
        refused = await client.post(at, json=SAID)
        assert (refused.status_code, refused.json()["code"]) == (422, "board_group_required")
        assert (await client.get(f"{at}/{new_id()}")).status_code == 404


async def in_a_group(transaction: Transaction, world: World) -> str:
    async with transaction() as session:
        group = await grouped(session, world.board, world.garden)
    return str(group.id)


async def test_boards_of_a_group_remember_together(
    worker: Client, alice: Client, world: World, calling: Caller, transaction: Transaction
) -> None:
    """Point 38. And 3.9."""
    group_id = await in_a_group(transaction, world)
    ours = f"/boards/{world.board.id}/group-memory"
    note = (await worker.post(ours, json={"content": "We ship together."})).json()
    assert note == note | {"board_group_id": group_id, "is_chat": False, "source": None}
    assert note["author_name"] == "Worker"
    assert await sent(transaction) == {}
    gardener = calling(world.gardener)
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
async def test_a_group_tells_leads_whom_it_calls_or_everybody(
    worker: Client, world: World, transaction: Transaction, note: dict[str, Any], kinds: Any
) -> None:
    """Point 38."""
    await in_a_group(transaction, world)
    said = await worker.post(f"/boards/{world.board.id}/group-memory", json=note)
    everybody = ("Lead", "Other worker", "Gardener")
    kinds = dict.fromkeys(everybody, "GROUP BROADCAST") if kinds == "all" else kinds
    assert await sent(transaction) == {name: (kind, False) for name, kind in kinds.items()}
    assert said.json()["source"] == ("Worker" if kinds else None)
    assert said.json()["is_chat"] is ("chat" in note.get("tags", []))
    async with transaction() as session:
        for message in await session.scalars(select(Message)):
            agent = await session.get_one(Agent, message.agent_id)
            assert f"/api/v1/boards/{agent.board_id}/group-memory" in message.content
            assert "Group: Birds" in message.content


async def test_a_group_is_written_to_by_people_who_change_one_of_its_boards(
    bob: Client, rita: Client, dana: Client, alice: Client, world: World, transaction: Transaction
) -> None:
    """1.12; S8, fixed: the rule of the group holds whichever way one comes."""
    group_id = await in_a_group(transaction, world)
    for at in (f"/board-groups/{group_id}/memory", f"/boards/{world.board.id}/group-memory"):
        made = await bob.post(at, json={"content": "Hello", "tags": ["chat"]})
        assert made.json()["source"] == made.json()["author_name"] == "Bob"
        one = f"{at}/{made.json()['id']}"
        assert (await rita.get(one)).status_code == 200
        assert (await rita.post(at, json=SAID)).status_code == 403
        assert (await rita.delete(one)).status_code == 403
        assert (await dana.get(at)).status_code == 403
        assert (await dana.post(at, json=SAID)).status_code == 403
        changed = (await alice.patch(one, json={"content": "Bye"})).json()
        assert (changed["content"], changed["version"], changed["user_id"]) == (
            "Bye",
            2,
            str(world.bob.id),
        )
        assert (await bob.delete(one)).json() == {"ok": True}
    told = await events(transaction, EventType.GROUP_MEMORY_DELETED)
    assert [event.data["group_id"] for event in told] == [group_id] * 2


async def test_strangers_remember_nothing_of_ours(
    calling: Caller, world: World, transaction: Transaction
) -> None:
    """S24, fixed."""
    group_id = await in_a_group(transaction, world)
    board = f"/boards/{world.board.id}"
    strangers: list[User | Agent] = [world.charlie, world.charlies_worker]
    for stranger in strangers:
        client = calling(stranger)
        for path in ("memory", "memory/stream", "group-memory", "group-memory/stream"):
            assert (await client.get(f"{board}/{path}")).status_code == 404
        for path in ("memory", "group-memory"):
            assert (await client.post(f"{board}/{path}", json=SAID)).status_code == 404
    charlie = calling(world.charlie)
    for path in ("memory", "memory/stream"):
        assert (await charlie.get(f"/board-groups/{group_id}/{path}")).status_code == 404
    assert (await charlie.post(f"/board-groups/{group_id}/memory", json=SAID)).status_code == 404
    assert await sent(transaction) == {}


def test_agents_find_memory_by_what_they_mean_to_do() -> None:
    """1.15, and 5 of the agents' contract."""
    paths = document(OPERATIONS)["paths"]
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
    glance = paths[f"{board}/group-snapshot"]["get"]
    assert {"agent-lead", "agent-worker"} <= set(glance["tags"])
    assert "x-llm-intent" not in glance
