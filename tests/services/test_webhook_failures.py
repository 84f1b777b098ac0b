"""Deliveries that fail: outcomes, retries, and endpoints that are disabled."""

from datetime import timedelta

import pytest
from sqlalchemy import select

from core.config.parsers import LOOPBACK_NETWORKS
from core.config.settings import Settings
from core.http.outbound import OutboundClient
from models import (
    EndpointState,
    Event,
    EventType,
    Notification,
    NotificationKind,
    WebhookDeliveryState,
)
from services import webhook_endpoints
from services.webhook_endpoints import rules
from tests.support.secret_key import CIPHER
from tests.support.webhook_receiver import WebhookReceiver, create_worker, receiver

PENDING, DELIVERED, FAILED = WebhookDeliveryState
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
__all__ = ["receiver"]


async def test_a_failed_delivery_is_retried_over_three_days(receiver: WebhookReceiver) -> None:
    endpoint = await receiver.create_endpoint()
    receiver.respond(503, b"down")
    await receiver.record_event()
    delays = [timedelta(), *rules.OUTBOX.retry_delays]
    assert 3 * DAY < sum(delays, timedelta()) < 3.2 * DAY
    for number, delay in enumerate(delays):
        await receiver.deliver(delay * (1 - rules.OUTBOX.jitter) - timedelta(seconds=1))
        assert len(receiver.host.received) == number  # not before it is due
        await receiver.deliver(delay * 2 * rules.OUTBOX.jitter + timedelta(seconds=2))
        assert len(receiver.host.received) == number + 1
    [delivery] = await receiver.list_deliveries()
    assert (delivery.state, delivery.attempts) == (FAILED, 10)
    assert (delivery.outcome, delivery.status, delivery.response) == ("rejected", 503, "down")
    assert {headers["webhook-id"] for headers, _ in receiver.list_received()} == {str(delivery.id)}
    stamps = [headers["webhook-timestamp"] for headers, _ in receiver.list_received()]
    assert len(set(stamps)) == 10
    assert (await receiver.get_endpoint(endpoint)).is_enabled
    await receiver.deliver(30 * DAY)
    assert len(receiver.host.received) == 10


async def test_a_receiver_chooses_a_later_attempt(receiver: WebhookReceiver) -> None:
    await receiver.create_endpoint()
    receiver.respond(429, b"", **{"Retry-After": "7200"})
    await receiver.record_event()
    await receiver.deliver()
    await receiver.deliver(2 * HOUR - timedelta(minutes=1))
    assert len(receiver.host.received) == 1
    await receiver.deliver(timedelta(minutes=2))
    assert len(receiver.host.received) == 2


async def test_a_success_ends_the_retries(receiver: WebhookReceiver) -> None:
    endpoint = await receiver.create_endpoint()
    receiver.respond(500)
    await receiver.record_event()
    await receiver.deliver()
    assert (await receiver.get_endpoint(endpoint)).failing_since
    receiver.respond(200, b"thanks \0")
    await receiver.deliver(HOUR)
    [delivery] = await receiver.list_deliveries()
    assert (delivery.state, delivery.attempts) == (DELIVERED, 2)
    assert delivery.response == "thanks \ufffd"
    assert (await receiver.get_endpoint(endpoint)).failing_since is None


@pytest.mark.parametrize(
    ("url", "outcome"),
    [
        ("http://127.0.0.1:1/hook", "unreachable"),
        ("https://no-such-name.invalid/hook", "dns"),
        ("http://10.0.0.1/hook", "address_forbidden"),
        ("http://169.254.169.254/latest", "address_forbidden"),
        ("http://[::ffff:10.0.0.1]/hook", "address_forbidden"),
        ("http://[fd12::1]/hook", "address_forbidden"),
    ],
)
async def test_each_failure_has_a_named_outcome(
    receiver: WebhookReceiver, url: str, outcome: str
) -> None:
    await receiver.create_endpoint(url=url)
    await receiver.record_event()
    await receiver.deliver()
    [delivery] = await receiver.list_deliveries()
    assert (delivery.state, delivery.outcome, delivery.status) == (PENDING, outcome, None)
    assert delivery.next_attempt_at is not None


async def test_redirects_and_silent_and_huge_receivers_are_handled(
    receiver: WebhookReceiver, isolated_settings: Settings
) -> None:
    await receiver.create_endpoint()
    receiver.respond(302, Location="http://169.254.169.254/")
    await receiver.record_event()
    await receiver.deliver()
    receiver.respond(200, b"x" * 1_000_000)
    await receiver.record_event()
    await receiver.deliver()
    receiver.host.is_silent = True
    impatient = OutboundClient(LOOPBACK_NETWORKS, total_timeout=0.5)
    transaction, clock = receiver.transaction, receiver.clock
    receiver.worker = create_worker(isolated_settings, transaction, clock, impatient)
    await receiver.record_event()
    await receiver.deliver()
    deliveries = await receiver.list_deliveries()
    assert [one.outcome for one in deliveries] == ["redirected", "delivered", "timeout"]
    assert len(deliveries[1].response or "") == rules.MAX_RESPONSE_LENGTH


async def test_other_organizations_cannot_use_private_addresses(
    receiver: WebhookReceiver,
) -> None:
    """The allowed private networks are those of the operator's organization."""
    world = receiver.world
    async with receiver.transaction() as session:
        member = await session.merge(world.charlie_member)
        member.user = await session.merge(world.charlie)
        draft = webhook_endpoints.WebhookEndpointCreate(url=receiver.url)
        endpoint, _ = await webhook_endpoints.create_endpoint(session, member, CIPHER, draft)
        await webhook_endpoints.create_test_delivery(session, endpoint)
    await receiver.deliver()
    [delivery] = await receiver.list_deliveries()
    assert delivery.outcome == "address_forbidden"
    assert receiver.host.received == []


async def test_status_410_disables_an_endpoint_at_once(receiver: WebhookReceiver) -> None:
    endpoint = await receiver.create_endpoint()
    receiver.respond(410)
    await receiver.record_event()
    await receiver.deliver()
    assert (await receiver.get_endpoint(endpoint)).state is EndpointState.GONE
    [delivery] = await receiver.list_deliveries()
    assert delivery.state is FAILED
    await receiver.record_event()
    await receiver.deliver(DAY)
    assert len(receiver.host.received) == 1


async def test_an_endpoint_that_fails_for_days_is_disabled(receiver: WebhookReceiver) -> None:
    endpoint = await receiver.create_endpoint(description="Statistics")
    receiver.respond(500)
    for _ in range(6):
        await receiver.record_event()
        await receiver.deliver(DAY)
        if not (await receiver.get_endpoint(endpoint)).is_enabled:
            break
    disabled = await receiver.get_endpoint(endpoint)
    assert disabled.state is EndpointState.FAILING
    async with receiver.transaction() as session:
        is_disabled = Event.type == EventType.WEBHOOK_ENDPOINT_DISABLED
        [event] = await session.scalars(select(Event).where(is_disabled))
    assert event.data == {
        "endpoint_id": str(endpoint.id),
        "name": "Statistics",
        "reason": "failing",
    }
    world = receiver.world
    async with receiver.transaction() as session:
        notifications = (await session.scalars(select(Notification))).all()
    assert {one.user_id for one in notifications} == {world.alice.id, world.dana.id}
    assert {one.kind for one in notifications} == {NotificationKind.WEBHOOK_DISABLED}
    await receiver.update_endpoint(endpoint.id, is_enabled=True)
    async with receiver.transaction() as session:
        assert all(one.resolved_at for one in await session.scalars(select(Notification)))


async def test_a_secret_of_another_key_is_an_outcome(
    receiver: WebhookReceiver, isolated_settings: Settings
) -> None:
    endpoint = await receiver.create_endpoint()
    async with receiver.transaction() as session:
        row = await session.merge(endpoint)
        row.encrypted_secret = "v1.AAAA"
    await receiver.record_event()
    await receiver.deliver()
    [delivery] = await receiver.list_deliveries()
    assert (delivery.outcome, delivery.detail) == ("not_sent", "webhook_secret_unreadable")
