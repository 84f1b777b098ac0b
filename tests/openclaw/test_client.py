"""A client waits for gateways that are temporarily unavailable."""

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from openclaw import ErrorKind, GatewayClient, GatewayError, GatewayTarget, RetryPolicy
from openclaw.subscriptions import EVENTS_MISSED
from tests.support.fake_gateway import (
    ErrorResponse,
    FakeGateway,
    create_target,
    run_fake_gateway,
    wait_until,
)

RETRY_POLICY = RetryPolicy(call_timeout=5, total_timeout=5, first_delay=0.01, max_delay=0.05)
SHORT_POLICY = replace(RETRY_POLICY, total_timeout=0.3)


async def test_a_client_waits_for_a_gateway_that_is_starting(gateway: FakeGateway) -> None:
    gateway.startup_rejections = 3
    gateway.handlers = {"health": lambda _: "well"}
    async with GatewayClient(create_target(gateway), retry_policy=RETRY_POLICY) as client:
        assert await client.call_with_retry("health") == "well"
        assert (await client.get_hello()).protocol == 4
    assert len(gateway.connect_params) == 4
    gateway.startup_rejections = 1_000
    async with GatewayClient(create_target(gateway), retry_policy=SHORT_POLICY) as client:
        with pytest.raises(GatewayError) as caught:
            await client.call_with_retry("health")
    assert caught.value.kind is ErrorKind.STARTING_UP


async def test_a_client_retries_when_the_gateway_is_unavailable(gateway: FakeGateway) -> None:
    responses = iter([ErrorResponse("UNAVAILABLE"), ErrorResponse("UNAVAILABLE", retryAfterMs=20)])

    def health(_params: dict[str, Any]) -> str:
        for response in responses:
            raise response
        return "well"

    gateway.handlers = {"health": health}
    async with GatewayClient(create_target(gateway), retry_policy=RETRY_POLICY) as client:
        assert await client.call_with_retry("health") == "well"
    assert len(gateway.calls) == 3


async def test_a_client_does_not_retry_before_the_gateway_allows_it(gateway: FakeGateway) -> None:
    def health(_params: dict[str, Any]) -> str:
        raise ErrorResponse("UNAVAILABLE", retryAfterMs=60_000)

    gateway.handlers = {"health": health}
    async with GatewayClient(create_target(gateway), retry_policy=RETRY_POLICY) as client:
        pending_call = asyncio.create_task(client.call_with_retry("health"))
        await wait_until(lambda: len(gateway.calls) > 0)
        await asyncio.wait({pending_call}, timeout=0.1)
        pending_call.cancel()
    assert len(gateway.calls) == 1


async def test_a_call_without_response_is_retried_only_if_idempotent(
    gateway: FakeGateway,
) -> None:
    """A27.15. W-43: the repeated call has the same idempotency key."""
    gateway.handlers = {"chat.send": lambda params: params["idempotencyKey"]}
    gateway.close_codes = {"chat.send": 1012}
    key = {"idempotencyKey": "k-1"}
    async with GatewayClient(create_target(gateway), retry_policy=RETRY_POLICY) as client:
        assert await client.call_with_retry("chat.send", key, is_idempotent=True) == "k-1"
        assert gateway.calls == [("chat.send", key)] * 2
        gateway.close_codes = {"chat.send": 1012}
        with pytest.raises(GatewayError) as caught:
            await client.call_with_retry("chat.send", key)
        assert caught.value.kind is ErrorKind.RESTARTING
        assert await client.call_with_retry("chat.send", key) == "k-1"


async def test_a_connected_client_waits_for_its_gateway_to_restart() -> None:
    """A27.8. The restart of a gateway is not an error."""
    fake = FakeGateway(handlers={"health": lambda _: "well"})
    async with run_fake_gateway(fake):
        client = GatewayClient(create_target(fake), retry_policy=RETRY_POLICY)
        subscription = client.subscribe("chat")
        assert await client.call_with_retry("health") == "well"
    pending_call = asyncio.create_task(client.call_with_retry("health", is_idempotent=True))
    assert await subscription.next_event() is EVENTS_MISSED
    await asyncio.sleep(0.1)
    assert not pending_call.done()
    async with run_fake_gateway(fake):
        assert await pending_call == "well"
        await fake.send_event("chat", {"n": 1})
        assert (await subscription.next_event()).payload == {"n": 1}
        await client.close()


async def test_a_client_does_not_retry_permanent_errors(gateway: FakeGateway) -> None:
    gateway.token = "another"
    async with GatewayClient(create_target(gateway), retry_policy=RETRY_POLICY) as client:
        with pytest.raises(GatewayError) as caught:
            await client.call_with_retry("health")
    assert caught.value.kind is ErrorKind.TOKEN_MISMATCH
    assert len(gateway.connect_params) == 1
    async with GatewayClient(
        GatewayTarget("ws://127.0.0.1:9"), retry_policy=RETRY_POLICY
    ) as client:
        with pytest.raises(GatewayError) as caught:
            await client.call_with_retry("health")
    assert caught.value.kind is ErrorKind.REFUSED


async def test_a_client_never_exceeds_its_total_timeout(gateway: FakeGateway) -> None:
    """W-32. A27.10."""
    gateway.raw_responses = {"health": None}
    async with GatewayClient(create_target(gateway), retry_policy=SHORT_POLICY) as client:
        with pytest.raises(GatewayError) as caught:
            await client.call_with_retry("health")
    assert caught.value.kind is ErrorKind.TIMEOUT


async def test_a_persistent_client_reconnects_when_errors_are_fixed(
    gateway: FakeGateway,
) -> None:
    """This works for every error, without an action of the user (market need 1)."""
    gateway.requires_pairing = True
    changes: list[Any] = []

    async def on_change(change: Any) -> None:
        changes.append(getattr(change, "kind", "connected"))

    client = GatewayClient(create_target(gateway), retry_policy=RETRY_POLICY)
    connection_task = asyncio.create_task(client.stay_connected(on_change))
    await wait_until(lambda: len(changes) >= 2)
    assert set(changes) == {ErrorKind.PAIRING_REQUIRED}
    gateway.approve_device()
    await wait_until(lambda: changes[-1] == "connected")
    await gateway.close_connections(4001)
    await wait_until(lambda: changes[-2:] == [ErrorKind.RESTARTING, "connected"])
    connection_task.cancel()
    await client.close()


async def test_concurrent_callers_share_one_connection(gateway: FakeGateway) -> None:
    """A27.10."""
    gateway.handlers = {"health": lambda _: "well"}
    async with GatewayClient(create_target(gateway), retry_policy=RETRY_POLICY) as client:
        assert (
            await asyncio.gather(*(client.call_with_retry("health") for _ in range(20)))
            == ["well"] * 20
        )
    assert len(gateway.connect_params) == 1


def test_retry_delays_grow_and_are_randomized() -> None:
    delays = RetryPolicy(first_delay=1, max_delay=8).delays()
    first_delays = [next(delays) for _ in range(6)]
    for delay, expected in zip(first_delays, [1, 2, 4, 8, 8, 8], strict=True):
        assert 0.8 * expected <= delay <= 1.2 * expected
    assert len({next(RetryPolicy().delays()) for _ in range(20)}) > 1
