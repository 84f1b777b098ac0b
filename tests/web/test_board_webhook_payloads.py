"""The payloads of a board's webhook on its page, and on pages of their own."""

import re
from datetime import timedelta

import httpx2
import pytest
from sqlalchemy import select

from core.clock import now
from core.db.engine import TransactionFactory
from models import (
    Agent,
    BoardWebhook,
    Event,
    EventType,
    Message,
    MessageState,
    PayloadState,
    WebhookAction,
)
from tests.support.board_rows import (
    make_message,
    make_webhook,
    make_webhook_payload,
)
from tests.support.people_rows import token_secret
from tests.support.stored_webhooks import add_webhook
from tests.support.world import World

HTMX = {"HX-Request": "true", "HX-Request-Type": "partial"}
FAR_ID = "0193a5c2-7d1e-7c63-9a58-2f1d8f0b6a11"


async def test_payloads_are_listed_newest_first_in_pages_of_twenty(
    rita: httpx2.AsyncClient, world: World, transaction: TransactionFactory
) -> None:
    hook, path = await add_webhook(transaction, world)
    async with transaction() as session:
        for number in range(21):
            at = now() - timedelta(minutes=number)
            fields = {"headers": {"x-github-event": f"kind-{number:02}"}, "received_at": at}
            session.add(make_webhook_payload(hook, size=2_500, **fields))
    first = (await rita.get(path)).text
    kinds = re.findall(r"kind-\d\d", first)
    assert kinds == [f"kind-{number:02}" for number in range(20)]
    assert "1 to 20 of 21" in first
    assert "192.0.2.7" in first
    assert "2 kB" in first or "3 kB" in first
    second = (await rita.get(f"{path}?offset=20", headers=HTMX)).text
    assert second.lstrip().startswith("<section")
    assert re.findall(r"kind-\d\d", second) == ["kind-20"]
    assert "No payloads on this page." in (await rita.get(f"{path}?offset=40")).text
    listed = (await rita.get(path.rpartition("/")[0], headers=HTMX)).text
    assert "21 payloads, last" in listed


@pytest.mark.parametrize(
    ("state", "message_state", "label", "reason"),
    [
        (PayloadState.RECEIVED, None, "Not sent", "There was no agent to send it to."),
        (PayloadState.PROCESSED, None, "Processed", ""),
        (PayloadState.FAILED, None, "Failed", "because"),
        (PayloadState.FAILED, MessageState.SENT, "Failed", "because"),
        (PayloadState.PROCESSED, MessageState.QUEUED, "Waiting", ""),
        (PayloadState.PROCESSED, MessageState.ACKNOWLEDGED, "Acknowledged", ""),
        (PayloadState.PROCESSED, MessageState.FAILED, "Failed", "gateway said no"),
    ],
)
async def test_a_payload_shows_its_state_and_the_reason(
    rita: httpx2.AsyncClient,
    world: World,
    transaction: TransactionFactory,
    state: PayloadState,
    message_state: MessageState | None,
    label: str,
    reason: str,
) -> None:
    hook, path = await add_webhook(transaction, world)
    async with transaction() as session:
        message = None
        if message_state:
            error = "gateway said no" if message_state is MessageState.FAILED else None
            message = make_message(world.worker, state=message_state, last_error=error)
            session.add(message)
            await session.flush()
        payload = make_webhook_payload(
            hook,
            state=state,
            error="because" if state is PayloadState.FAILED else None,
            message_id=message.id if message else None,
            payload={"text": "<b>bold</b>", "more": [1]},
        )
        session.add(payload)
    assert label in (await rita.get(path)).text
    page = (await rita.get(f"{path}/payloads/{payload.id}")).text
    assert label in page
    assert reason in page
    assert "&lt;b&gt;bold&lt;/b&gt;" in page
    assert "  &#34;more&#34;: [" in page or "&#34;more&#34;" in page
    assert "content-type: application/json" in page
    assert (await rita.get(f"{path}/payloads/{FAR_ID}")).status_code == 404


async def test_a_payload_that_waits_for_a_message_with_others_says_so(
    rita: httpx2.AsyncClient, world: World, transaction: TransactionFactory
) -> None:
    hook, path = await add_webhook(transaction, world)
    async with transaction() as session:
        payload = make_webhook_payload(hook, is_queued=True)
        session.add(payload)
    of_webhook = (await rita.get(path)).text
    assert "Waiting" in of_webhook
    assert "1 payload waits." in of_webhook
    assert "1 payload waits." in (await rita.get(path, headers=HTMX)).text
    page = (await rita.get(f"{path}/payloads/{payload.id}")).text
    assert "Waiting" in page
    assert "The agent gets it with others, in their order." in page
    assert "There was no agent" not in page


async def test_a_payload_names_the_calls_with_which_agents_get_it(
    rita: httpx2.AsyncClient, world: World, transaction: TransactionFactory, browsers
) -> None:
    hook, path = await add_webhook(transaction, world)
    async with transaction() as session:
        payload = make_webhook_payload(hook)
        session.add(payload)
    page = (await rita.get(f"{path}/payloads/{payload.id}")).text
    calls = re.findall(r"<code>GET (/api/v1/[^<]+)</code>", page)
    assert len(calls) == 2
    headers = {"X-Agent-Token": token_secret(world.worker)}
    answers = [await browsers(None).get(call, headers=headers) for call in calls]
    assert [one.status_code for one in answers] == [200, 200]
    assert answers[1].json()["id"] == str(payload.id)
    async with transaction() as session:
        row = await session.get_one(BoardWebhook, hook.id)
        row.action = WebhookAction.FORGE  # which sends nothing to agents
    assert "/api/v1/agent" not in (await rita.get(f"{path}/payloads/{payload.id}")).text


async def test_a_payload_is_sent_again(
    bob: httpx2.AsyncClient, world: World, transaction: TransactionFactory
) -> None:
    """W-18."""
    hook, path = await add_webhook(transaction, world)
    async with transaction() as session:
        payload = make_webhook_payload(hook, state=PayloadState.FAILED, error="because")
        session.add(payload)
    address = f"{path}/payloads/{payload.id}"
    for _ in range(2):
        sent = await bob.post(f"{address}/messages")
        assert sent.headers["location"] == address
    page = (await bob.get(address, headers=HTMX)).text
    assert "Waiting" in page
    assert "because" not in page
    async with transaction() as session:
        messages = (await session.scalars(select(Message))).all()
        assert {one.kind for one in messages} == {"WEBHOOK EVENT RECEIVED"}
        assert {(one.agent_id, one.from_user_id) for one in messages} == {
            (world.worker.id, world.bob.id)
        }
        assert len(messages) == 2
        queued = select(Event).where(Event.type == EventType.MESSAGE_QUEUED)
        assert len((await session.scalars(queued)).all()) == 2


async def test_without_an_agent_nothing_is_sent_again(
    alice: httpx2.AsyncClient, world: World, transaction: TransactionFactory
) -> None:
    async with transaction() as session:
        hook = make_webhook(world.garden)
        session.add(hook)
        await session.flush()
        payload = make_webhook_payload(hook)
        session.add(payload)
        assert (await session.get_one(Agent, world.gardener.id)).is_board_lead is False
    address = f"/boards/{world.garden.id}/webhooks/{hook.id}/payloads/{payload.id}"
    rejected = await alice.post(f"{address}/messages")
    assert rejected.status_code == 409
    assert "There is no agent on this board to send it to." in rejected.text


async def test_a_long_payload_is_shown_up_to_its_limit(
    rita: httpx2.AsyncClient, world: World, transaction: TransactionFactory
) -> None:
    hook, path = await add_webhook(transaction, world)
    async with transaction() as session:
        payload = make_webhook_payload(hook, payload="x" * 1_000_000, size=1_000_000)
        session.add(payload)
    page = (await rita.get(f"{path}/payloads/{payload.id}")).text
    assert "Only the beginning is shown." in page
    assert len(page) < 350_000
