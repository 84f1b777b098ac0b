"""Limits of requests to incoming webhooks: forged ones are cheap, and signed ones are stored."""

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any
from uuid import UUID

import httpx2
import pytest
from sqlalchemy import func, insert, select, update
from starlette.types import ASGIApp

from app import MAX_STORED_REJECTIONS
from core.clock import now
from core.config.settings import Settings
from core.db.engine import TransactionFactory
from models import (
    Agent,
    BoardWebhook,
    Message,
    MessageState,
    Note,
    Task,
    WebhookAction,
    WebhookPayload,
    new_id,
)
from services import board_webhooks
from services.board_webhooks import delivery
from tests.contract.test_board_webhooks import send, sign
from tests.support.api_fixtures import Client
from tests.support.app_on_transactions import build_app_on
from tests.support.board_rows import make_webhook, make_webhook_payload
from tests.support.forge_payloads import github_headers, github_issue
from tests.support.round_trips import record_round_trips
from tests.support.tiers import IS_COMPLETE_RUN, repetition
from tests.support.world import World
from worker.periodic import PeriodicTasks

LIMIT = 60  # rejected requests of an address in a minute
BURST = 600 if IS_COMPLETE_RUN else 100
DAY = timedelta(days=1)
BASE_URL = "http://mission.test"
FORGED = {"X-Hub-Signature-256": sign(b"other")}


@pytest.fixture
def limited_app(settings: Settings, transaction: TransactionFactory) -> ASGIApp:
    return build_app_on(settings, transaction)


def client_at(app: ASGIApp, address: str) -> Client:
    """Return a client that calls from an address."""
    transport = httpx2.ASGITransport(app, client=(address, 123))
    return httpx2.AsyncClient(transport=transport, base_url=f"{BASE_URL}/api/v1")


def path_of(hook: BoardWebhook) -> str:
    return f"/boards/{hook.board_id}/webhooks/{hook.id}"


async def add_webhook(transaction: TransactionFactory, world: World, **fields: Any) -> BoardWebhook:
    async with transaction() as session:
        hook = make_webhook(world.board, agent_id=world.worker.id, **fields)
        session.add(hook)
    return hook


async def count(transaction: TransactionFactory, what: Any, *where: Any) -> int:
    async with transaction() as session:
        return await session.scalar(select(func.count(what)).where(*where)) or 0


async def deliver_all(transaction: TransactionFactory, hook: BoardWebhook) -> list[str]:
    """Let the agents take their messages and time pass until no payload waits; return the texts."""
    taken: list[str] = []
    while True:
        async with transaction() as session:
            texts = await session.scalars(
                select(Message.content)
                .where(Message.state == MessageState.QUEUED)
                .order_by(Message.seq)
            )
            taken += texts
            earlier = {"created_at": Message.created_at - timedelta(minutes=11)}
            await session.execute(
                update(Message).values(state=MessageState.ACKNOWLEDGED, **earlier)
            )
        if not await count(transaction, WebhookPayload.id, WebhookPayload.is_queued):
            return taken
        async with transaction() as session:
            place = (hook.board_id, hook.id)
            await board_webhooks.send_queued_payloads(session, *place, base_url=BASE_URL)


async def test_many_deliveries_at_once_are_all_stored_and_sent_once(
    isolated_settings: Settings, isolated_transaction: TransactionFactory, isolated_world: World
) -> None:
    """All come from one address, with the default limits."""
    hook = await add_webhook(isolated_transaction, isolated_world)
    client = client_at(build_app_on(isolated_settings, isolated_transaction), "192.0.2.1")
    answers = await asyncio.gather(
        *(send(client, path_of(hook), json.dumps({"n": n}).encode()) for n in range(BURST))
    )
    assert Counter(one.status_code for one in answers) == {202: BURST}
    ids = {one.json()["payload_id"] for one in answers}
    assert len(ids) == BURST
    for model in (WebhookPayload, Note):
        assert await count(isolated_transaction, model.id) == BURST
    assert await count(isolated_transaction, Message.id) == delivery.MAX_UNSENT
    texts = await deliver_all(isolated_transaction, hook)
    async with isolated_transaction() as session:
        oldest = select(WebhookPayload.id).order_by(WebhookPayload.received_at, WebhookPayload.id)
        expected = [str(id) for id in await session.scalars(oldest)]
        agent = await session.get_one(Agent, isolated_world.worker.id)
        assert agent.held_at is None
    named = [
        line.removeprefix("Payload ID: ")
        for text in texts
        for line in text.splitlines()
        if line.startswith("Payload ID: ")
    ]
    assert set(named) == ids
    assert named == expected
    assert len(texts) == delivery.MAX_UNSENT + BURST // 50  # of 50 payloads each
    is_sent = WebhookPayload.message_id.is_not(None)
    assert await count(isolated_transaction, WebhookPayload.id, is_sent) == BURST


async def test_an_agent_gets_few_messages_however_much_arrives(
    transaction: TransactionFactory, world: World, limited_app: ASGIApp
) -> None:
    """The circuit breaker holds an agent after 100 messages in ten minutes."""
    hook = await add_webhook(transaction, world)
    client = client_at(limited_app, "192.0.2.1")
    for number in range(40):
        assert (await send(client, path_of(hook))).status_code == 202
        async with transaction() as session:
            await session.execute(update(Message).values(state=MessageState.ACKNOWLEDGED))
            place = (hook.board_id, hook.id)
            await board_webhooks.send_queued_payloads(session, *place, base_url=BASE_URL)
        assert await count(transaction, Message.id) == min(number + 1, delivery.MAX_RECENT)
    async with transaction() as session:
        a_minute_ago = {"created_at": Message.created_at - delivery.INTERVAL}
        await session.execute(update(Message).values(a_minute_ago))
        place = (hook.board_id, hook.id)
        assert await board_webhooks.send_queued_payloads(session, *place, base_url=BASE_URL)
        assert not await board_webhooks.send_queued_payloads(session, *place, base_url=BASE_URL)
        last = await session.scalars(select(Message.content).order_by(Message.seq.desc()))
    assert "Payloads: 30\n" in (last.first() or "")
    assert await count(transaction, WebhookPayload.id, WebhookPayload.is_queued) == 0


async def test_after_many_messages_in_a_day_the_interval_is_longer(
    transaction: TransactionFactory, world: World, limited_app: ASGIApp
) -> None:
    hook = await add_webhook(transaction, world)
    client = client_at(limited_app, "192.0.2.1")
    await send(client, path_of(hook))
    async with transaction() as session:
        sent = (await session.scalars(select(Message))).one()
        columns = {c.key: getattr(sent, c.key) for c in Message.__mapper__.column_attrs}
        values = columns | {"created_at": now() - timedelta(hours=1)}
        del values["seq"]
        values["state"] = MessageState.ACKNOWLEDGED
        copies = [
            values | {"id": (id := new_id()), "key": str(id)} for _ in range(delivery.MAX_TODAY - 1)
        ]
        await session.execute(insert(Message), copies)
        await session.execute(
            update(Message)
            .where(Message.id == sent.id)
            .values(created_at=now() - 2 * delivery.INTERVAL, state=MessageState.ACKNOWLEDGED)
        )
    await send(client, path_of(hook))
    assert await count(transaction, WebhookPayload.id, WebhookPayload.is_queued) == 1


@pytest.mark.parametrize(
    "action", [WebhookAction.TASK, pytest.param(WebhookAction.FORGE, marks=repetition)]
)
async def test_many_tasks_of_a_webhook_reach_the_lead_in_few_messages(
    isolated_settings: Settings,
    isolated_transaction: TransactionFactory,
    isolated_world: World,
    action: WebhookAction,
) -> None:
    world, template = isolated_world, {"title": "{{ issue.title }}"}
    hook = await add_webhook(isolated_transaction, world, action=action, template=template)
    client = client_at(build_app_on(isolated_settings, isolated_transaction), "192.0.2.1")
    headers = {name.replace("-", "_"): one for name, one in github_headers("issues").items()}
    for number in range(120):
        body = json.dumps(github_issue(number=number + 1)).encode()
        id = {"x_github_delivery": f"delivery {number}"}
        signed = headers | id | {"X_Hub_Signature_256": sign(body)}
        assert (await send(client, path_of(hook), body, **signed)).status_code == 202
    assert await count(isolated_transaction, Task.id) == 120
    texts = await deliver_all(isolated_transaction, hook)
    assert len(texts) == delivery.MAX_UNSENT + 3
    assert sum(text.count("Task ID: ") for text in texts) == 120
    async with isolated_transaction() as session:
        lead = await session.get_one(Agent, world.lead.id)
        assert lead.held_at is None


async def fill_queue(transaction: TransactionFactory, hook: BoardWebhook, number: int) -> None:
    """Let so many payloads of a webhook wait."""
    rows = [
        {
            "id": new_id(),
            "board_id": hook.board_id,
            "webhook_id": hook.id,
            "payload": {},
            "headers": {},
            "source_ip": "192.0.2.7",
            "size": 2,
            "received_at": now(),
            "is_queued": True,
        }
        for _ in range(number)
    ]
    async with transaction() as session:
        await session.execute(insert(WebhookPayload), rows)


async def test_the_queue_of_a_webhook_is_full_at_exactly_10_000(
    isolated_settings: Settings, isolated_transaction: TransactionFactory, isolated_world: World
) -> None:
    hook = await add_webhook(isolated_transaction, isolated_world)
    other = await add_webhook(isolated_transaction, isolated_world)
    await fill_queue(isolated_transaction, hook, board_webhooks.MAX_QUEUED - 5)
    client = client_at(build_app_on(isolated_settings, isolated_transaction), "192.0.2.1")
    answers = await asyncio.gather(*(send(client, path_of(hook)) for _ in range(20)))
    assert Counter(one.status_code for one in answers) == {202: 5, 429: 15}
    for one in answers:
        if one.status_code == 429:
            assert one.json()["code"] == "webhook_queue_full"
            assert one.headers["Retry-After"] == "60"
    assert (await send(client, path_of(other))).status_code == 202
    async with isolated_transaction() as session:
        assert await board_webhooks.delete_old_payloads(session, keep_days=30) == 0
        read = await session.get_one(BoardWebhook, hook.id)
        assert read.last_rejection == "webhook_queue_full"
    place = (hook.board_id, hook.id)
    async with isolated_transaction() as session:
        assert await board_webhooks.send_queued_payloads(session, *place, base_url=BASE_URL)
    assert (await send(client, path_of(hook))).status_code == 202


async def test_several_workers_send_each_waiting_payload_once(
    isolated_settings: Settings, isolated_transaction: TransactionFactory, isolated_world: World
) -> None:
    hook = await add_webhook(isolated_transaction, isolated_world)
    await fill_queue(isolated_transaction, hook, 120)
    worker = PeriodicTasks(isolated_settings, isolated_transaction, isolated_transaction)
    await asyncio.gather(*(worker.send_webhook_payloads() for _ in range(4)))
    assert await count(isolated_transaction, Message.id) == 3
    assert await count(isolated_transaction, WebhookPayload.id, WebhookPayload.is_queued) == 0


async def test_a_flood_to_one_webhook_does_not_hold_up_another_of_its_agent(
    isolated_settings: Settings, isolated_transaction: TransactionFactory, isolated_world: World
) -> None:
    transaction = isolated_transaction
    flooded, other = [await add_webhook(transaction, isolated_world) for _ in range(2)]
    await fill_queue(transaction, flooded, 50 * 4 * delivery.MAX_UNSENT)
    await fill_queue(transaction, other, 60)
    worker = PeriodicTasks(isolated_settings, transaction, transaction)
    orders = []
    for _ in range(3):
        async with transaction() as session:
            orders.append([id for _, id in await board_webhooks.list_queues(session)])
        await worker.send_webhook_payloads()
        async with transaction() as session:
            await session.execute(update(Message).values(state=MessageState.ACKNOWLEDGED))
            await session.execute(update(Message).values(created_at=Message.created_at - DAY))
    assert orders == [[flooded.id, other.id], [other.id, flooded.id], [flooded.id]]


async def test_payloads_that_a_template_excludes_hold_up_no_others(
    isolated_settings: Settings, isolated_transaction: TransactionFactory, isolated_world: World
) -> None:
    """The template was changed while they were waiting."""
    template = {"message": "Look.", "condition_path": "state", "condition_value": "failed"}
    fields = {"action": WebhookAction.MESSAGE, "template": template}
    hook = await add_webhook(isolated_transaction, isolated_world, **fields)
    await fill_queue(isolated_transaction, hook, 60)
    failed = make_webhook_payload(hook, payload={"state": "failed"}, is_queued=True)
    async with isolated_transaction() as session:
        session.add(failed)
    worker = PeriodicTasks(isolated_settings, isolated_transaction, isolated_transaction)
    await worker.send_webhook_payloads()
    assert await count(isolated_transaction, Message.id) == 1
    assert await count(isolated_transaction, WebhookPayload.id, WebhookPayload.is_queued) == 0


async def test_forged_requests_of_the_same_address_stop_no_signed_one(
    limited_app: ASGIApp, transaction: TransactionFactory, world: World
) -> None:
    hook, other = [await add_webhook(transaction, world) for _ in range(2)]
    client = client_at(limited_app, "192.0.2.1")
    statuses = [
        (await client.post(path_of(hook), content=b"{}", headers=FORGED)).status_code
        for _ in range(LIMIT + 20)
    ]
    assert statuses == [403] * LIMIT + [429] * 20
    for one in (hook, other):
        assert (await send(client, path_of(one))).status_code == 202
    for _ in range(LIMIT + 20):  # signed ones are not counted
        assert (await send(client, path_of(other), X_GitHub_Delivery="one")).status_code == 202


async def test_a_forged_request_costs_one_statement(
    isolated_settings: Settings, isolated_transaction: TransactionFactory, isolated_world: World
) -> None:
    """Also if the reasons alternate, and if it comes from many addresses."""
    hook = await add_webhook(isolated_transaction, isolated_world)
    app = build_app_on(isolated_settings, isolated_transaction)
    with record_round_trips() as sent:
        for number in range(200):
            client = client_at(app, f"192.0.2.{number // 4}")
            headers = FORGED if number % 2 else {}
            await client.post(path_of(hook), content=b"{}", headers=headers)
    reads = [one for one in sent.statements if one.startswith("SELECT board_webhooks.")]
    writes = [one for one in sent.statements if one.startswith("UPDATE board_webhooks")]
    assert len(reads) == 200
    assert len(writes) == MAX_STORED_REJECTIONS


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"X-Gitlab-Token": "guessed"},
        {"X-Hub-Signature-256": "sha256=abc"},
        {"webhook-signature": "v1,abc", "webhook-id": "1", "webhook-timestamp": "1700000000"},
        {"webhook-signature": "v2,abc"},
    ],
)
async def test_the_body_of_a_request_that_cannot_be_valid_is_not_read(
    limited_app: ASGIApp, transaction: TransactionFactory, world: World, headers: dict[str, str]
) -> None:
    hook = await add_webhook(transaction, world)
    read = 0

    async def stream() -> AsyncIterator[bytes]:
        nonlocal read
        read += 1
        yield b"{}"

    client = client_at(limited_app, "192.0.2.1")
    answer = await client.post(path_of(hook), content=stream(), headers=headers)
    assert answer.status_code == 403
    assert read == 0


async def test_an_unknown_webhook_is_limited_like_a_forged_request(
    limited_app: ASGIApp, world: World
) -> None:
    client = client_at(limited_app, "192.0.2.1")
    unknown = f"/boards/{world.board.id}/webhooks/{UUID(int=7)}"
    statuses = [(await send(client, unknown)).status_code for _ in range(LIMIT + 1)]
    assert statuses == [404] * LIMIT + [429]
