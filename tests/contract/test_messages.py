"""The contract of messages to agents (people-and-boards 1.16, 3.6, 3.10.6, 3.10.8 and 3.11.4)."""

from typing import Any

from sqlalchemy import update

from core.db.engine import TransactionFactory
from models import Agent, new_id
from services import messages
from tests.support.api_fixtures import Client, ClientFactory
from tests.support.gateway_rows import make_gateway
from tests.support.world import World

Json = dict[str, Any]


async def enqueue(
    transaction: TransactionFactory, to: Agent, content: str = "BOARD CHAT\nHi."
) -> None:
    async with transaction() as session:
        await messages.enqueue_messages(session, [messages.OutgoingMessage(to=to, content=content)])


async def list_messages(agent: Client, query: str = "") -> list[Json]:
    answer = await agent.get(f"/agent/messages{query}")
    assert answer.status_code == 200, answer.text
    items: list[Json] = answer.json()["items"]
    return items


async def list_kinds(agent: Client) -> list[str]:
    return [message["kind"] for message in await list_messages(agent)]


async def test_an_agent_fetches_and_acknowledges_its_messages(
    worker: Client, lead: Client, alice: Client, world: World, transaction: TransactionFactory
) -> None:
    """A27.11, for a board without a gateway."""
    for content in ("BOARD CHAT\nFirst.", "BOARD CHAT\nSecond."):
        await enqueue(transaction, world.worker, content)
    await enqueue(transaction, world.lead)
    first, second = await list_messages(worker)
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

    acknowledged = await worker.post(f"/agent/messages/{first['id']}/ack")
    again = await worker.post(f"/agent/messages/{first['id']}/ack")
    assert acknowledged.status_code == again.status_code == 200
    assert acknowledged.json() == again.json()
    assert acknowledged.json()["state"] == "acknowledged"
    assert await list_messages(worker) == [second]
    assert await list_messages(worker, "?state=acknowledged") == [acknowledged.json()]
    assert (await worker.get("/agent/messages?state=lost")).status_code == 422


async def test_an_agent_cannot_access_messages_of_another_agent(
    worker: Client,
    lead: Client,
    alice: Client,
    client_for: ClientFactory,
    world: World,
    transaction: TransactionFactory,
) -> None:
    await enqueue(transaction, world.worker)
    [message] = await list_messages(worker)
    for stranger in (lead, client_for(world.charlies_worker)):
        assert await list_messages(stranger) == []
        rejected = await stranger.post(f"/agent/messages/{message['id']}/ack")
        assert (rejected.status_code, rejected.json()["code"]) == (404, "message_not_found")
    assert (await alice.get("/agent/messages")).status_code == 401
    assert (await list_messages(worker))[0]["state"] == "queued"


async def test_members_with_read_access_see_messages_of_agents(
    alice: Client,
    bob: Client,
    rita: Client,
    dana: Client,
    charlie: Client,
    worker: Client,
    world: World,
    transaction: TransactionFactory,
) -> None:
    for content in ("BOARD CHAT\nFirst.", "BOARD CHAT\nSecond."):
        await enqueue(transaction, world.worker, content)
    path = f"/agents/{world.worker.id}/messages"
    for reader in (alice, bob, rita):
        page = (await reader.get(path)).json()
        assert [one["content"] for one in page["items"]] == [
            "BOARD CHAT\nSecond.",
            "BOARD CHAT\nFirst.",
        ]
        assert page["items"][0]["agent_id"] == str(world.worker.id)
        assert page["items"][0]["last_error"] is None
    assert (await alice.get(f"{path}?state=failed")).json()["total"] == 0
    assert (await dana.get(path)).status_code == 403
    assert (await charlie.get(path)).status_code == 404
    assert (await worker.get(path)).status_code == 401


async def test_admins_retry_failed_messages(
    alice: Client,
    bob: Client,
    charlie: Client,
    worker: Client,
    world: World,
    transaction: TransactionFactory,
) -> None:
    """A27.11: visible failures."""
    await enqueue(transaction, world.worker)
    [message] = await list_messages(worker)
    async with transaction() as session:
        await messages.expire_undelivered(session, max_age=-messages.DELIVERY_TIMEOUT)
    [failed] = (await alice.get(f"/agents/{world.worker.id}/messages?state=failed")).json()["items"]
    assert failed["last_error"]
    assert await list_messages(worker) == []

    path = f"/agents/{world.worker.id}/messages/{message['id']}/retry"
    assert (await bob.post(path)).status_code == 403
    assert (await charlie.post(path)).status_code == 404
    elsewhere = path.replace(str(world.worker.id), str(world.lead.id))
    assert (await alice.post(elsewhere)).status_code == 404
    queued = await alice.post(path)
    assert (queued.status_code, queued.json()["state"]) == (200, "queued")
    assert (await alice.post(path)).json() == queued.json()
    [again] = await list_messages(worker)
    await worker.post(f"/agent/messages/{again['id']}/ack")
    rejected = await alice.post(path)
    assert (rejected.status_code, rejected.json()["code"]) == (409, "message_not_failed")
    assert (await alice.post(path.replace(message["id"], str(new_id())))).status_code == 404


async def test_message_state_changes_are_not_in_the_activity_feed(
    alice: Client, worker: Client, world: World, transaction: TransactionFactory
) -> None:
    """1.18: notifications are events for users, state changes of messages are not."""
    await enqueue(transaction, world.worker)
    [message] = await list_messages(worker)
    await worker.post(f"/agent/messages/{message['id']}/ack")
    for client in (alice, worker):
        items = (await client.get("/activity")).json()["items"]
        assert not [one for one in items if one["event_type"].startswith("message.")]


async def test_deleting_an_agent_deletes_its_messages(
    alice: Client, world: World, transaction: TransactionFactory
) -> None:
    await enqueue(transaction, world.worker)
    assert (await alice.delete(f"/agents/{world.worker.id}")).status_code == 200
    assert (await alice.get(f"/agents/{world.worker.id}/messages")).status_code == 404


async def test_users_see_why_a_message_to_a_gateway_agent_is_pending(
    alice: Client, rita: Client, world: World, transaction: TransactionFactory
) -> None:
    """Market need 18: a message is delivered, or users see that it is not, and why."""
    gateway = make_gateway(world.tern, "Workshop")
    since = "2026-11-24T22:28:33.056093+00:00"
    failed = {"name": "port", "state": "failed", "sentence": "Nobody listens.", "since": since}
    gateway.checks = [failed]
    fields = {"gateway_id": gateway.id, "desired_state": "running", "observed_generation": 1}
    fields |= {"openclaw_session_id": "agent:mc-1:main"}
    async with transaction() as session:
        session.add(gateway)
        await session.flush()
        await session.execute(update(Agent).where(Agent.id == world.worker.id).values(**fields))
    await enqueue(transaction, world.worker)
    path = f"/agents/{world.worker.id}/messages"
    [pending] = (await rita.get(path)).json()["items"]
    assert pending["waits_for"] == {
        "reason": "gateway_away",
        "since": "2026-11-24T22:28:33.056093",
        "sentence": "Workshop is away. Nobody listens.",
    }
    assert (pending["state"], pending["attempts"], pending["run_id"]) == ("queued", 0, None)
    async with transaction() as session:
        await messages.expire_undelivered(session, max_age=-messages.DELIVERY_TIMEOUT)
    [failed] = (await rita.get(path)).json()["items"]
    assert failed["waits_for"] is None
    again = await alice.post(f"{path}/{failed['id']}/retry")
    assert again.json()["waits_for"] == pending["waits_for"]
