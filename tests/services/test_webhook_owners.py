"""A webhook sends only what its owner may read now."""

from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import delete, select, update

from core.errors import Forbidden
from models import (
    BoardAccess,
    EndpointState,
    Event,
    EventType,
    Member,
    Notification,
    Role,
    User,
    WebhookEndpoint,
)
from services import webhook_endpoints
from services.webhook_endpoints import WebhookEndpointUpdate
from tests.support.webhook_receiver import WebhookReceiver, receiver

__all__ = ["receiver"]

LOST = EndpointState.OWNER_WITHOUT_ACCESS


async def execute(receiver: WebhookReceiver, statement: Any) -> None:
    async with receiver.transaction() as session:
        await session.execute(statement)


async def own_endpoint_of_bob(receiver: WebhookReceiver, **fields: Any) -> WebhookEndpoint:
    """Create a webhook for Launch, which Bob owns, an admin who can read only this board."""
    world = receiver.world
    await execute(
        receiver, update(Member).where(Member.id == world.bob_member.id).values(role=Role.ADMIN)
    )
    endpoint = await receiver.create_endpoint(board_ids=[world.board.id], **fields)
    owned = update(WebhookEndpoint).where(WebhookEndpoint.id == endpoint.id)
    await execute(receiver, owned.values(owner_user_id=world.bob.id))
    return endpoint


LOSSES = {
    "board": lambda world: delete(BoardAccess).where(BoardAccess.id == world.bob_access.id),
    "organization": lambda world: delete(Member).where(Member.id == world.bob_member.id),
    "role": lambda world: (
        update(Member).where(Member.id == world.bob_member.id).values(role=Role.MEMBER)
    ),
    "account": lambda world: delete(User).where(User.id == world.bob.id),
}


@pytest.mark.parametrize("loss", LOSSES)
async def test_nothing_is_sent_when_the_owner_has_lost_access(
    receiver: WebhookReceiver, loss: str
) -> None:
    endpoint = await own_endpoint_of_bob(receiver, description="Statistics")
    await receiver.record_event()
    await receiver.deliver()
    assert len(receiver.host.received) == 1
    await execute(receiver, LOSSES[loss](receiver.world))
    await receiver.record_event()
    await receiver.deliver()
    assert len(receiver.host.received) == 1
    assert (await receiver.get_endpoint(endpoint)).state is LOST
    async with receiver.transaction() as session:
        is_disabled = Event.type == EventType.WEBHOOK_ENDPOINT_DISABLED
        [event] = await session.scalars(select(Event).where(is_disabled))
        reasons = [one.data["reason"] for one in await session.scalars(select(Notification))]
    assert (event.data or {})["reason"] == "owner_without_access"
    assert set(reasons) == {"owner_without_access"}


async def test_what_waits_for_another_attempt_is_not_sent_either(
    receiver: WebhookReceiver,
) -> None:
    endpoint = await own_endpoint_of_bob(receiver)
    receiver.respond(500)
    await receiver.record_event()
    await receiver.deliver()
    await execute(receiver, LOSSES["board"](receiver.world))
    await receiver.deliver()  # it is not due yet, and the webhook is disabled
    assert (await receiver.get_endpoint(endpoint)).state is LOST
    assert len(receiver.host.received) == 1


async def test_a_deleted_board_takes_no_access(receiver: WebhookReceiver) -> None:
    world = receiver.world
    endpoint = await own_endpoint_of_bob(receiver)
    also_gone = update(WebhookEndpoint).where(WebhookEndpoint.id == endpoint.id)
    ids = [str(world.board.id), str(endpoint.id)]
    await execute(receiver, also_gone.values(board_ids=ids))
    await receiver.record_event()
    await receiver.deliver()
    assert len(receiver.host.received) == 1


async def test_only_who_can_read_the_boards_takes_a_webhook_over(
    receiver: WebhookReceiver,
) -> None:
    world = receiver.world
    endpoint = await own_endpoint_of_bob(receiver)
    await execute(receiver, LOSSES["board"](world))
    await receiver.deliver()
    with pytest.raises(Forbidden):
        await enable(receiver, world.bob_member, endpoint)
    assert (await receiver.get_endpoint(endpoint)).state is LOST
    await enable(receiver, world.alice_member, endpoint)
    enabled = await receiver.get_endpoint(endpoint)
    assert (enabled.state, enabled.owner_user_id) == (EndpointState.ENABLED, world.alice.id)
    await receiver.record_event()
    await receiver.deliver()
    assert len(receiver.host.received) == 1


async def test_who_takes_a_webhook_over_receives_nothing_of_other_boards(
    receiver: WebhookReceiver,
) -> None:
    """A delivery that waits, and the log, have contents that the new owner may not read."""
    world = receiver.world
    endpoint = await receiver.create_endpoint()
    promoted = update(Member).where(Member.id == world.bob_member.id)
    await execute(receiver, promoted.values(role=Role.ADMIN))
    receiver.respond(500)
    await receiver.record_event(board=world.garden, title="Only for the garden")
    await receiver.record_event(title="For Launch")
    await receiver.deliver()
    assert len(await receiver.list_deliveries()) == 2
    async with receiver.transaction() as session:
        await webhook_endpoints.create_test_delivery(session, endpoint)
        bob = await session.get_one(Member, world.bob_member.id)
        bob.user = await session.get_one(User, bob.user_id)
        locked = await webhook_endpoints.lock_endpoint(session, bob, endpoint.id)
        changes = {"url": f"{endpoint.url}?bob", "board_ids": [world.board.id]}
        await webhook_endpoints.update_endpoint(
            session, bob, locked, WebhookEndpointUpdate.of(**changes)
        )
    left = await receiver.list_deliveries()
    assert not any("garden" in one.payload for one in left)
    assert sorted(one.event_id is None for one in left) == [False, True]
    receiver.respond(204)
    await receiver.deliver(timedelta(hours=1))
    bodies = [body for _, body in receiver.host.received]
    assert sum(b"Only for the garden" in body for body in bodies) == 1  # at the first address


async def enable(receiver: WebhookReceiver, member: Member, endpoint: WebhookEndpoint) -> None:
    async with receiver.transaction() as session:
        current = await session.get_one(Member, member.id)
        current.user = await session.get_one(User, member.user_id)
        locked = await webhook_endpoints.lock_endpoint(session, current, endpoint.id)
        await webhook_endpoints.update_endpoint(
            session, current, locked, WebhookEndpointUpdate.of(is_enabled=True)
        )


async def test_who_changes_the_address_becomes_the_owner(receiver: WebhookReceiver) -> None:
    endpoint = await own_endpoint_of_bob(receiver)
    async with receiver.transaction() as session:
        alice = await session.get_one(Member, receiver.world.alice_member.id)
        alice.user = await session.get_one(User, alice.user_id)
        for changes, owner_id in [
            ({"description": "Other"}, receiver.world.bob.id),
            ({"url": receiver.url + "?other"}, alice.user_id),
        ]:
            locked = await webhook_endpoints.lock_endpoint(session, alice, endpoint.id)
            await webhook_endpoints.update_endpoint(
                session, alice, locked, WebhookEndpointUpdate.of(**changes)
            )
            assert locked.owner_user_id == owner_id
