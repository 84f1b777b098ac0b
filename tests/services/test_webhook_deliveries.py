"""Deliveries of webhooks: signed, retried over three days, and never with another id."""

import base64
import hashlib
import hmac
import json
from datetime import timedelta
from uuid import UUID

import pytest
from sqlalchemy import delete, select
from standardwebhooks import WebhookVerificationError

from core.clock import now
from core.errors import Conflict, Invalid
from models import (
    Comment,
    Event,
    EventType,
    Task,
    WebhookDelivery,
    WebhookDeliveryState,
    new_id,
)
from services import boards, events, tasks, webhook_endpoints
from services.webhook_endpoints.deliveries import MAX_REPLAYED
from tests.support.secret_key import CIPHER
from tests.support.webhook_receiver import (
    SETTINGS,
    WebhookReceiver,
    parse_headers,
    receiver,
)

__all__ = ["receiver"]


PENDING, DELIVERED, FAILED = WebhookDeliveryState
HOUR, DAY = timedelta(hours=1), timedelta(days=1)


async def test_an_event_is_delivered_with_a_valid_signature(receiver: WebhookReceiver) -> None:
    endpoint = await receiver.create_endpoint()
    await receiver.record_event()
    await receiver.deliver()
    [body] = receiver.verify(endpoint)
    assert body["type"] == "task.created"
    assert body["data"]["board_id"] == str(receiver.world.board.id)
    assert body["data"]["message"] == "Task created: Write the report"
    assert body["data"]["details"] == {"title": "Write the report"}
    [delivery] = await receiver.list_deliveries()
    assert (delivery.state, delivery.status, delivery.attempts) == (DELIVERED, 204, 1)
    [(headers, _)] = receiver.list_received()
    assert headers["webhook-id"] == str(delivery.id)
    with pytest.raises(WebhookVerificationError):
        receiver.verify(endpoint, "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")


async def test_the_signature_is_the_one_of_the_specification(receiver: WebhookReceiver) -> None:
    endpoint = await receiver.create_endpoint()
    await receiver.record_event()
    await receiver.deliver()
    [(head, body)] = receiver.host.received
    headers = parse_headers(head)
    key = base64.b64decode(receiver.secrets[endpoint.id].removeprefix("whsec_"))
    signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
    digest = base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
    assert headers["webhook-signature"] == f"v1,{digest}"
    assert len(key) == 32


async def test_events_before_the_endpoint_are_not_delivered(receiver: WebhookReceiver) -> None:
    await receiver.record_event(title="Earlier")
    await receiver.create_endpoint()
    for number in range(5):
        await receiver.record_event(title=f"Task {number}")
    await receiver.deliver()
    titles = [one.payload for one in await receiver.list_deliveries()]
    assert [json.loads(one)["data"]["details"]["title"] for one in titles] == [
        f"Task {number}" for number in range(5)
    ]
    assert len(receiver.host.received) == 5
    await receiver.deliver()
    assert len(receiver.host.received) == 5


async def test_an_endpoint_receives_only_its_types_and_boards(receiver: WebhookReceiver) -> None:
    world = receiver.world
    await receiver.create_endpoint(
        event_types=["task.deleted", "organization.stopped"], board_ids=[world.board.id]
    )
    await receiver.record_event()
    await receiver.record_event(EventType.TASK_DELETED)
    await receiver.record_event(EventType.TASK_DELETED, board=world.garden)
    await receiver.record_event(EventType.TASK_ASSIGNEE_NOTIFIED)  # not public
    await receiver.deliver()
    assert [body["type"] for _, body in receiver.list_received()] == ["task.deleted"]


async def test_an_endpoint_without_types_receives_all_public_events(
    receiver: WebhookReceiver,
) -> None:
    await receiver.create_endpoint()
    async with receiver.transaction() as session:
        rows = {"organization_id": receiver.world.tern.id, "data": {}, "created_at": now()}
        types = set(EventType) - {EventType.TASK_COMMENT}  # it needs a comment
        session.add_all([Event(id=new_id(), type=type, **rows) for type in types])
    await add_comment(receiver)
    for _ in range(20):
        await receiver.deliver()
    expected = {type for group in webhook_endpoints.EVENT_GROUPS.values() for type in group}
    assert {body["type"] for _, body in receiver.list_received()} == expected


async def test_a_payload_has_at_most_20_kilobytes(receiver: WebhookReceiver) -> None:
    await receiver.create_endpoint()
    await receiver.record_event(title="é" * 30_000)
    changes = {f"field_{number}": ["x" * 1_500, "y"] for number in range(50)}
    await receiver.record_event(EventType.TASK_UPDATED, changes=changes)
    await receiver.deliver()
    received = {body["type"]: body for _, body in receiver.list_received()}
    long_title, many_changes = received["task.created"], received["task.updated"]
    assert long_title["data"]["details"]["title"].endswith("…")
    assert many_changes["data"]["is_truncated"]
    for _, body in receiver.host.received:
        assert len(body) <= 20_000


async def test_the_text_of_a_comment_is_in_its_payload(receiver: WebhookReceiver) -> None:
    await receiver.create_endpoint()
    task, _ = await add_comment(receiver)
    await receiver.deliver()
    [(_, body)] = receiver.list_received()
    assert body["data"]["details"]["comment"] == "Done <b>"
    assert body["data"]["url"].endswith(f"/boards/{task.board_id}/tasks/{task.id}")


async def test_a_comment_is_not_sent_without_its_text(receiver: WebhookReceiver) -> None:
    """Its task was deleted before the worker has looked at the event."""
    endpoint = await receiver.create_endpoint()
    task, _ = await add_comment(receiver)
    async with receiver.transaction() as session:
        board = await boards.lock_board(session, receiver.world.alice, task.board_id)
        await tasks.delete_task(session, receiver.world.alice, board, task.id)
    await receiver.deliver()
    async with receiver.transaction() as session:
        member = await session.merge(receiver.world.alice_member)
        member.user = await session.merge(receiver.world.alice)
        locked = await webhook_endpoints.lock_endpoint(session, member, endpoint.id)
        period = (now() - HOUR, now() + HOUR)
        await webhook_endpoints.replay_period(session, locked, *period, SETTINGS.base_url)
    await receiver.deliver()
    types = [body["type"] for _, body in receiver.list_received()]
    assert types == ["task.deleted"]


async def test_a_comment_that_is_deleted_later_is_sent_as_it_was(
    receiver: WebhookReceiver,
) -> None:
    await receiver.create_endpoint()
    receiver.respond(503)
    _, id = await add_comment(receiver)
    await receiver.deliver()
    async with receiver.transaction() as session:
        await session.execute(delete(Comment).where(Comment.id == id))
    receiver.host.received.clear()
    receiver.respond(204)
    await receiver.deliver(HOUR)
    [(_, body)] = receiver.list_received()
    assert body["data"]["details"]["comment"] == "Done <b>"


async def add_comment(receiver: WebhookReceiver) -> tuple[Task, UUID]:
    """Add a task with a comment, and the event about it."""
    async with receiver.transaction() as session:
        task = receiver.world.make_task()
        session.add(task)
        await session.flush()
        id = new_id()
        session.add(
            Comment(
                id=id, board_id=task.board_id, task_id=task.id, message="Done <b>", created_at=now()
            )
        )
        event = Event(
            id=id,
            type=EventType.TASK_COMMENT,
            organization_id=receiver.world.tern.id,
            board_id=task.board_id,
            task_id=task.id,
            data={},
            created_at=now(),
        )
        session.add(event)
    return task, id


async def test_both_secrets_sign_for_a_day_after_a_rotation(receiver: WebhookReceiver) -> None:
    endpoint = await receiver.create_endpoint()
    old = receiver.secrets[endpoint.id]
    async with receiver.transaction() as session:
        member = await session.merge(receiver.world.alice_member)
        member.user = await session.merge(receiver.world.alice)
        locked = await webhook_endpoints.lock_endpoint(session, member, endpoint.id)
        new = await webhook_endpoints.rotate_secret(session, member, CIPHER, locked)
    assert new != old
    await receiver.record_event()
    await receiver.deliver()
    assert receiver.verify(endpoint, old) == receiver.verify(endpoint, new)
    receiver.host.received.clear()
    await receiver.record_event()
    await receiver.deliver(25 * HOUR)
    [(headers, _)] = receiver.list_received()
    assert " " not in headers["webhook-signature"]


async def test_a_delivery_is_sent_again_with_the_same_id(receiver: WebhookReceiver) -> None:
    endpoint = await receiver.create_endpoint()
    await receiver.record_event()
    await receiver.deliver()
    [delivery] = await receiver.list_deliveries()
    async with receiver.transaction() as session:
        await webhook_endpoints.replay_delivery(session, endpoint, delivery)
    await receiver.deliver()
    first, second = receiver.list_received()
    assert first[0]["webhook-id"] == second[0]["webhook-id"]
    assert first[1] == second[1]
    assert [one.attempts for one in await receiver.list_deliveries()] == [2]


async def test_a_period_is_sent_again_without_what_was_delivered(
    receiver: WebhookReceiver,
) -> None:
    """Failed deliveries, and events that were missed while the endpoint was paused."""
    began = now()
    endpoint = await receiver.create_endpoint()
    await receiver.record_event(title="Delivered")
    await receiver.deliver()
    receiver.respond(410)
    await receiver.record_event(title="Failed")
    await receiver.deliver()
    await receiver.record_event(title="Missed")
    receiver.respond(200)
    await receiver.update_endpoint(endpoint.id, is_enabled=True)
    await receiver.deliver()
    async with receiver.transaction() as session:
        locked = await session.merge(await receiver.get_endpoint(endpoint))
        with pytest.raises(Invalid):
            await webhook_endpoints.replay_period(
                session, locked, began - 31 * DAY, now(), "https://control.example"
            )
        count = await webhook_endpoints.replay_period(
            session, locked, began, now() + DAY, "https://control.example"
        )
    assert count == 2
    receiver.host.received.clear()
    await receiver.deliver(timedelta(seconds=1))
    titles = [body["data"]["details"]["title"] for _, body in receiver.list_received()]
    assert sorted(titles) == ["Failed", "Missed"]


async def test_events_that_an_endpoint_does_not_receive_do_not_limit_a_replay(
    receiver: WebhookReceiver,
) -> None:
    """Neither those of other boards nor those that are not public count."""
    world, began = receiver.world, now()
    endpoint = await receiver.create_endpoint(board_ids=[world.board.id])
    unwanted = [(EventType.TASK_CREATED, world.garden), (EventType.MESSAGE_QUEUED, world.board)]
    async with receiver.transaction() as session:
        new_events = [
            events.NewEvent(type, None, organization_id=world.tern.id, board=board.id)
            for type, board in unwanted * (MAX_REPLAYED // 2 + 1)
        ]
        await events.record_events(session, new_events)
    await receiver.record_event(title="Wanted")
    await receiver.deliver()
    async with receiver.transaction() as session:
        await session.execute(delete(WebhookDelivery))
        locked = await session.merge(await receiver.get_endpoint(endpoint))
        count = await webhook_endpoints.replay_period(
            session, locked, began, now() + DAY, "https://control.example"
        )
    assert count == 1


async def test_a_paused_endpoint_receives_nothing(receiver: WebhookReceiver) -> None:
    endpoint = await receiver.create_endpoint()
    await receiver.record_event(title="Waiting")
    receiver.respond(500)
    await receiver.deliver()
    receiver.respond(200)
    await receiver.update_endpoint(endpoint.id, is_enabled=False)
    await receiver.record_event(title="Missed")
    await receiver.deliver(HOUR)
    assert len(receiver.host.received) == 1
    async with receiver.transaction() as session:
        paused = await receiver.get_endpoint(endpoint)
        [delivery] = await receiver.list_deliveries()
        with pytest.raises(Conflict):
            await webhook_endpoints.replay_delivery(session, paused, delivery)
    await receiver.update_endpoint(endpoint.id, is_enabled=True)
    await receiver.deliver(HOUR)
    titles = [body["data"]["details"]["title"] for _, body in receiver.list_received()]
    assert titles == ["Waiting", "Waiting"]


async def test_a_test_delivery_is_attempted_once(receiver: WebhookReceiver) -> None:
    endpoint = await receiver.create_endpoint()
    receiver.respond(500)
    async with receiver.transaction() as session:
        await webhook_endpoints.create_test_delivery(session, endpoint)
    await receiver.deliver()
    assert [body["type"] for _, body in receiver.list_received()] == ["webhook.test"]
    assert [one.state for one in await receiver.list_deliveries()] == [FAILED]


async def test_old_deliveries_are_deleted(receiver: WebhookReceiver) -> None:
    await receiver.create_endpoint()
    for _ in range(2):
        await receiver.record_event()
    await receiver.deliver()
    async with receiver.transaction() as session:
        [old, _] = await session.scalars(select(WebhookDelivery).order_by("number"))
        old.created_at -= 31 * DAY
        await session.flush()
        await webhook_endpoints.delete_old_deliveries(session)
    assert old.id not in [one.id for one in await receiver.list_deliveries()]
    assert len(await receiver.list_deliveries()) == 1
