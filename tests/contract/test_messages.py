"""The contract of messages to agents (people-and-boards 1.16, 3.6, 3.10.6, 3.10.8 and 3.11.4)."""

from typing import Any

from sqlalchemy import update

from models import Agent, new_id
from services import messages
from tests.api.conftest import Caller, Client
from tests.conftest import Transaction
from tests.world import World, a_gateway

Json = dict[str, Any]


async def write(transaction: Transaction, to: Agent, content: str = "BOARD CHAT\nHi.") -> None:
    async with transaction() as session:
        await messages.queue(session, [messages.Draft(to=to, content=content)])


async def mail(agent: Client, query: str = "") -> list[Json]:
    answer = await agent.get(f"/agent/messages{query}")
    assert answer.status_code == 200, answer.text
    items: list[Json] = answer.json()["items"]
    return items


async def kinds(agent: Client) -> list[str]:
    return [message["kind"] for message in await mail(agent)]


async def test_an_agent_fetches_its_messages_and_says_that_it_has_them(
    worker: Client, lead: Client, alice: Client, world: World, transaction: Transaction
) -> None:
    """A27.11, for a board without a gateway."""
    for content in ("BOARD CHAT\nFirst.", "BOARD CHAT\nSecond."):
        await write(transaction, world.worker, content)
    await write(transaction, world.lead)
    first, second = await mail(worker)
    assert (first["content"], second["content"]) == ("BOARD CHAT\nFirst.", "BOARD CHAT\nSecond.")
    assert first.keys() == {
        "id",
        "kind",
        "content",
        "board_id",
        "task_id",
        "approval_id",
        "deliver",
        "state",
        "attempts",
        "created_at",
        "sent_at",
        "acknowledged_at",
    }
    assert (first["kind"], first["state"], first["deliver"]) == ("BOARD CHAT", "queued", False)

    taken = await worker.post(f"/agent/messages/{first['id']}/ack")
    again = await worker.post(f"/agent/messages/{first['id']}/ack")
    assert taken.status_code == again.status_code == 200
    assert taken.json() == again.json()
    assert taken.json()["state"] == "acknowledged"
    assert await mail(worker) == [second]
    assert await mail(worker, "?state=acknowledged") == [taken.json()]
    assert (await worker.get("/agent/messages?state=lost")).status_code == 422


async def test_an_agent_has_no_way_to_the_messages_of_another(
    worker: Client,
    lead: Client,
    alice: Client,
    calling: Caller,
    world: World,
    transaction: Transaction,
) -> None:
    await write(transaction, world.worker)
    [message] = await mail(worker)
    for stranger in (lead, calling(world.charlies_worker)):
        assert await mail(stranger) == []
        refused = await stranger.post(f"/agent/messages/{message['id']}/ack")
        assert (refused.status_code, refused.json()["code"]) == (404, "message_not_found")
    assert (await alice.get("/agent/messages")).status_code == 401
    assert (await mail(worker))[0]["state"] == "queued"


async def test_people_who_read_a_board_see_what_its_agents_are_told(
    alice: Client,
    bob: Client,
    rita: Client,
    dana: Client,
    charlie: Client,
    worker: Client,
    world: World,
    transaction: Transaction,
) -> None:
    for content in ("BOARD CHAT\nFirst.", "BOARD CHAT\nSecond."):
        await write(transaction, world.worker, content)
    path = f"/agents/{world.worker.id}/messages"
    for reader in (alice, bob, rita):
        seen = (await reader.get(path)).json()
        assert [one["content"] for one in seen["items"]] == [
            "BOARD CHAT\nSecond.",
            "BOARD CHAT\nFirst.",
        ]
        assert seen["items"][0]["agent_id"] == str(world.worker.id)
        assert seen["items"][0]["last_error"] is None
    assert (await alice.get(f"{path}?state=failed")).json()["total"] == 0
    assert (await dana.get(path)).status_code == 403
    assert (await charlie.get(path)).status_code == 404
    assert (await worker.get(path)).status_code == 401


async def test_admins_send_a_message_that_has_failed_once_more(
    alice: Client,
    bob: Client,
    charlie: Client,
    worker: Client,
    world: World,
    transaction: Transaction,
) -> None:
    """A27.11: visible failures."""
    await write(transaction, world.worker)
    [message] = await mail(worker)
    async with transaction() as session:
        await messages.give_up(session, patience=-messages.PATIENCE)
    [failed] = (await alice.get(f"/agents/{world.worker.id}/messages?state=failed")).json()["items"]
    assert failed["last_error"]
    assert await mail(worker) == []

    path = f"/agents/{world.worker.id}/messages/{message['id']}/retry"
    assert (await bob.post(path)).status_code == 403
    assert (await charlie.post(path)).status_code == 404
    elsewhere = path.replace(str(world.worker.id), str(world.lead.id))
    assert (await alice.post(elsewhere)).status_code == 404
    waits = await alice.post(path)
    assert (waits.status_code, waits.json()["state"]) == (200, "queued")
    assert (await alice.post(path)).json() == waits.json()
    [again] = await mail(worker)
    await worker.post(f"/agent/messages/{again['id']}/ack")
    refused = await alice.post(path)
    assert (refused.status_code, refused.json()["code"]) == (409, "message_not_failed")
    assert (await alice.post(path.replace(message["id"], str(new_id())))).status_code == 404


async def test_how_messages_go_from_hand_to_hand_is_not_in_the_activity(
    alice: Client, worker: Client, world: World, transaction: Transaction
) -> None:
    """1.18: that somebody was told is an event, that a message waits is none for people."""
    await write(transaction, world.worker)
    [message] = await mail(worker)
    await worker.post(f"/agent/messages/{message['id']}/ack")
    for client in (alice, worker):
        told = (await client.get("/activity")).json()["items"]
        assert not [one for one in told if one["event_type"].startswith("message.")]


async def test_deleting_an_agent_deletes_its_messages(
    alice: Client, world: World, transaction: Transaction
) -> None:
    await write(transaction, world.worker)
    assert (await alice.delete(f"/agents/{world.worker.id}")).status_code == 200
    assert (await alice.get(f"/agents/{world.worker.id}/messages")).status_code == 404


async def test_people_see_what_a_message_to_an_agent_on_a_gateway_waits_for(
    alice: Client, rita: Client, world: World, transaction: Transaction
) -> None:
    """Market need 18: delivered, or it is seen that it was not, and why."""
    gateway = a_gateway(world.tern, "Workshop")
    since = "2026-11-24T22:28:33.056093+00:00"
    failed = {"name": "port", "state": "failed", "sentence": "Nobody listens.", "since": since}
    gateway.checks = [failed]
    there = {"gateway_id": gateway.id, "desired_state": "running", "observed_generation": 1}
    there |= {"openclaw_session_id": "agent:mc-1:main"}
    async with transaction() as session:
        session.add(gateway)
        await session.flush()
        await session.execute(update(Agent).where(Agent.id == world.worker.id).values(**there))
    await write(transaction, world.worker)
    path = f"/agents/{world.worker.id}/messages"
    [waits] = (await rita.get(path)).json()["items"]
    assert waits["waits_for"] == {
        "reason": "gateway_away",
        "since": "2026-11-24T22:28:33.056093",
        "sentence": "Workshop is away. Nobody listens.",
    }
    assert (waits["state"], waits["attempts"], waits["run_id"]) == ("queued", 0, None)
    async with transaction() as session:
        await messages.give_up(session, patience=-messages.PATIENCE)
    [failed] = (await rita.get(path)).json()["items"]
    assert failed["waits_for"] is None
    again = await alice.post(f"{path}/{failed['id']}/retry")
    assert again.json()["waits_for"] == waits["waits_for"]
