"""The stop of all agents of an organization: who may do it, what it says, what it holds."""

from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import select, update

from core.clock import now
from core.db.engine import TransactionFactory
from models import Agent, Event, EventType, Organization
from services import messages
from tests.support.api_fixtures import Client
from tests.support.board_rows import make_message
from tests.support.world import World

STOP = "/organizations/me/stop"
FREE = {
    "is_stopped": False,
    "stopped_at": None,
    "stopped_by": None,
    "stopped_by_user_id": None,
    "reason": None,
}


async def list_contents(agent: Client, query: str = "") -> list[str]:
    answer = await agent.get(f"/agent/messages{query}")
    assert answer.status_code == 200, answer.text
    return [message["content"] for message in answer.json()["items"]]


async def test_an_admin_stops_and_resumes_all_agents(
    alice: Client, rita: Client, world: World, transaction: TransactionFactory
) -> None:
    assert (await alice.get(STOP)).json() == FREE
    stopped = await alice.post(STOP, json={"reason": "They delete the wrong rows."})
    assert stopped.status_code == 200, stopped.text
    body = stopped.json()
    assert (body["is_stopped"], body["stopped_by"]) == (True, "Alice")
    assert body["stopped_by_user_id"] == str(world.alice.id)
    assert body["reason"] == "They delete the wrong rows."
    again = await alice.post(STOP, json={"reason": "Another reason."})
    assert again.json() == body  # the first stop counts
    assert (await rita.get(STOP)).json() == body  # every member sees it

    assert (await alice.delete(STOP)).json() == {"ok": True}
    assert (await alice.delete(STOP)).status_code == 200
    assert (await alice.get(STOP)).json() == FREE
    types = (EventType.ORGANIZATION_STOPPED, EventType.ORGANIZATION_RESUMED)
    async with transaction() as session:
        query = select(Event).where(Event.type.in_(types)).order_by(Event.seq)
        first, second = await session.scalars(query)
    assert (first.type, second.type) == types
    assert first.user_id == second.user_id == world.alice.id
    assert first.data == {"name": "Tern", "by": "Alice", "reason": "They delete the wrong rows."}


async def test_a_stop_needs_no_reason(alice: Client) -> None:
    for body in ({}, {"reason": None}):
        assert (await alice.post(STOP, json=body)).json()["reason"] is None
    await alice.delete(STOP)
    assert (await alice.post(STOP, json={"reason": "x" * 501})).status_code == 422


async def test_only_admins_stop_and_resume(
    alice: Client,
    bob: Client,
    rita: Client,
    lead: Client,
    worker: Client,
    charlie: Client,
    anonymous: Client,
) -> None:
    for client, status in ((bob, 403), (rita, 403), (lead, 401), (worker, 401), (anonymous, 401)):
        assert (await client.post(STOP, json={})).status_code == status
    assert (await alice.get(STOP)).json() == FREE
    await alice.post(STOP, json={})
    for client, status in ((bob, 403), (rita, 403), (lead, 401), (worker, 401), (anonymous, 401)):
        assert (await client.delete(STOP)).status_code == status
    for client in (lead, worker, anonymous):
        assert (await client.get(STOP)).status_code == 401
    await charlie.delete(STOP)  # of his own organization
    assert (await charlie.get(STOP)).json() == FREE
    assert (await alice.get(STOP)).json()["is_stopped"] is True


async def test_messages_wait_and_are_fetched_in_order_afterwards(
    alice: Client, worker: Client, world: World, transaction: TransactionFactory
) -> None:
    contents = [f"BOARD CHAT\n{number}" for number in range(4)]
    outgoing = [messages.OutgoingMessage(to=world.worker, content=one) for one in contents]
    async with transaction() as session:
        await messages.enqueue_messages(session, outgoing[:2])
    await alice.post(STOP, json={})
    async with transaction() as session:
        await messages.enqueue_messages(session, outgoing[2:])
    assert await list_contents(worker) == await list_contents(worker, "?state=queued") == []
    [latest, *_] = (await alice.get(f"/agents/{world.worker.id}/messages")).json()["items"]
    assert latest["waits_for"]["reason"] == "organization_stopped"
    assert latest["waits_for"]["since"] is not None
    await alice.delete(STOP)
    assert await list_contents(worker) == contents


async def test_held_messages_do_not_expire(
    alice: Client, worker: Client, world: World, transaction: TransactionFactory
) -> None:
    old = make_message(world.worker)
    old.waiting_since = now() - 2 * messages.DELIVERY_TIMEOUT
    async with transaction() as session:
        session.add(old)
    await alice.post(STOP, json={})
    async with transaction() as session:
        assert await messages.expire_undelivered(session) == 0
    await alice.delete(STOP)
    async with transaction() as session:
        assert await messages.expire_undelivered(session) == 0
    assert await list_contents(worker) == [old.content]


@pytest.mark.parametrize("is_stopped", [True, False])
async def test_people_do_not_write_to_sessions_while_agents_are_stopped(
    alice: Client, gateway: Any, fake: Any, world: World, is_stopped: bool
) -> None:
    fake.handlers["chat.send"] = lambda params: {"status": "started", **params}
    if is_stopped:
        await alice.post(STOP, json={})
    path = f"/gateways/sessions/agent:main:main/message?board_id={world.board.id}"
    answer = await alice.post(path, json={"content": "Go on."})
    sent = [method for method, _ in fake.calls if method == "chat.send"]
    if is_stopped:
        assert (answer.status_code, answer.json()["code"]) == (409, "organization_stopped")
        assert sent == []
    else:
        assert answer.status_code == 200, answer.text
        assert sent == ["chat.send"]


async def test_a_held_agent_is_released_by_admins_only(
    alice: Client,
    bob: Client,
    worker: Client,
    charlie: Client,
    anonymous: Client,
    world: World,
    transaction: TransactionFactory,
) -> None:
    hold = {"cause": "loop", "reason": "It and Lead answer each other."}
    async with transaction() as session:
        session.add(make_message(world.worker))
        held = update(Agent).where(Agent.id == world.worker.id)
        await session.execute(held.values(held_at=now(), hold=hold))
        assert await session.get(Organization, world.tern.id)
    path = f"/agents/{world.worker.id}"
    shown = (await alice.get(path)).json()["hold"]
    assert shown.pop("since") is not None
    assert shown == hold
    assert await list_contents(worker) == []
    [row] = (await alice.get(f"{path}/messages")).json()["items"]
    assert row["waits_for"]["reason"] == "agent_held"
    assert "It and Lead answer each other." in row["waits_for"]["sentence"]
    for client, status in ((bob, 403), (worker, 401), (charlie, 404), (anonymous, 401)):
        assert (await client.delete(f"{path}/hold")).status_code == status
    assert await list_contents(worker) == []
    for _ in range(2):
        released = await alice.delete(f"{path}/hold")
        assert (released.status_code, released.json()["hold"]) == (200, None)
    assert len(await list_contents(worker)) == 1
    async with transaction() as session:
        query = select(Event).where(Event.type == EventType.AGENT_RELEASED)
        [event] = await session.scalars(query)
    assert (event.agent_id, event.user_id) == (world.worker.id, world.alice.id)


async def test_an_agent_is_paused_and_resumed_by_admins_only(
    alice: Client,
    bob: Client,
    worker: Client,
    charlie: Client,
    anonymous: Client,
    world: World,
    transaction: TransactionFactory,
) -> None:
    async with transaction() as session:
        session.add(make_message(world.worker))
    path = f"/agents/{world.worker.id}/hold"
    for client, status in ((bob, 403), (worker, 401), (charlie, 404), (anonymous, 401)):
        assert (await client.put(path)).status_code == status
    for _ in range(2):
        paused = await alice.put(path)
        assert paused.status_code == 200
        shown = paused.json()["hold"]
        assert shown.pop("since") is not None
        assert shown == {"cause": "person", "reason": "Paused by Alice."}
    assert await list_contents(worker) == []
    assert (await alice.delete(path)).json()["hold"] is None
    assert len(await list_contents(worker)) == 1
    async with transaction() as session:
        types = (EventType.AGENT_PAUSED, EventType.AGENT_RESUMED, EventType.AGENT_RELEASED)
        query = select(Event).where(Event.type.in_(types)).order_by(Event.seq)
        found = [(one.type, one.agent_id, one.user_id) for one in await session.scalars(query)]
    ids = (world.worker.id, world.alice.id)
    assert found == [(EventType.AGENT_PAUSED, *ids), (EventType.AGENT_RESUMED, *ids)]


async def test_a_paused_agent_takes_and_moves_no_tasks(
    alice: Client, worker: Client, lead: Client, world: World, transaction: TransactionFactory
) -> None:
    task = world.make_task("Count")
    async with transaction() as session:
        session.add(task)
    path = f"/boards/{world.board.id}/tasks/{task.id}"
    hold = f"/agents/{world.worker.id}/hold"
    await alice.put(hold)
    refused = await worker.patch(path, json={"status": "in_progress"})
    assert (refused.status_code, refused.json()["code"]) == (409, "agent_paused")
    assert "You are paused by Alice since" in refused.json()["detail"]["message"]
    comment = await worker.post(f"{path}/comments", json={"message": "I wait."})
    assert comment.status_code == 200
    assert (await lead.patch(path, json={"status": "in_progress"})).status_code != 409
    await alice.delete(hold)
    assert (await worker.patch(path, json={"status": "inbox"})).status_code == 200


async def test_a_pause_ends_the_hold_of_a_circuit_breaker(
    alice: Client, world: World, transaction: TransactionFactory
) -> None:
    hold = {"cause": "loop", "reason": "It and Lead answer each other."}
    async with transaction() as session:
        held = update(Agent).where(Agent.id == world.worker.id)
        await session.execute(held.values(held_at=now() - timedelta(hours=1), hold=hold))
    path = f"/agents/{world.worker.id}/hold"
    since = (await alice.get(f"/agents/{world.worker.id}")).json()["hold"]["since"]
    paused = (await alice.put(path)).json()["hold"]
    assert (paused["cause"], paused["since"]) == ("person", since)
    assert (await alice.delete(path)).json()["hold"] is None
