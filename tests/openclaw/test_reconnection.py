"""Reconnection of a persistent client: in time, but without being locked out by the gateway."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest

from openclaw import (
    ErrorKind,
    GatewayClient,
    GatewayError,
    GatewayTarget,
    RetryPolicy,
    connection,
    open_connection,
    websocket,
)
from openclaw.client import OPERATOR_ERRORS
from tests.support.fake_gateway import TOKEN, FakeGateway, create_target, wait_until
from worker.gateway_supervisor import DEFAULT_RETRY_POLICY

RETRY_POLICY = RetryPolicy(
    call_timeout=5, total_timeout=5, first_delay=0.01, max_delay=0.05, operator_delay=0.05
)
MAX_NOTICE_TIME = 10.0  # seconds from the fix until the check is green
WINDOW, LOCKED_OUT_AT = 60.0, 10  # seconds and failed attempts: the limit of a gateway
LONGEST_DELAY = 5.0  # seconds by which a gateway delays a rejection of a local client


@asynccontextmanager
async def stay_connected(gateway_target: GatewayTarget) -> AsyncGenerator[list[Any]]:
    """Keep a client connected during the block; yield the list of its status changes."""
    changes: list[Any] = []

    async def on_change(change: Any) -> None:
        changes.append(getattr(change, "kind", "connected"))

    async with GatewayClient(gateway_target, retry_policy=RETRY_POLICY) as client:
        connection_task = asyncio.create_task(client.stay_connected(on_change))
        yield changes
        connection_task.cancel()


async def test_a_token_fixed_on_the_gateway_needs_no_action_here(
    gateway: FakeGateway,
) -> None:
    gateway.token = "another"
    async with stay_connected(create_target(gateway)) as changes:
        await wait_until(lambda: len(changes) >= 2)
        assert set(changes) == {ErrorKind.TOKEN_MISMATCH}
        gateway.token = TOKEN
        await wait_until(lambda: changes[-1] == "connected")


async def test_a_frozen_gateway_is_reported_and_stays_connected(
    gateway: FakeGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "PROBE_INTERVAL", 0.01)
    monkeypatch.setattr(connection, "PONG_TIMEOUT", 0.05)
    async with stay_connected(create_target(gateway)) as changes:
        for _ in range(2):
            await wait_until(lambda: changes and changes[-1] == "connected")
            gateway.freeze()
            await wait_until(lambda: changes[-1] == ErrorKind.UNRESPONSIVE)
            gateway.resume()
        await wait_until(lambda: changes[-1] == "connected")
        assert changes == [
            *["connected", ErrorKind.UNRESPONSIVE] * 2,
            "connected",
        ]
    assert gateway.connection_count == 1


async def test_a_gateway_that_stays_frozen_is_disconnected_and_tried_again(
    gateway: FakeGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "PROBE_INTERVAL", 0.01)
    monkeypatch.setattr(connection, "PONG_TIMEOUT", 0.05)
    monkeypatch.setattr(websocket, "PING_INTERVAL", 0.01)
    monkeypatch.setattr(websocket, "PING_TIMEOUT", 0.2)
    async with stay_connected(create_target(gateway)) as changes:
        await wait_until(lambda: changes == ["connected"])
        gateway.freeze()
        await wait_until(lambda: changes[-1] == "connected" and len(changes) > 1)
        assert changes == ["connected", ErrorKind.UNRESPONSIVE, ErrorKind.CLOSED, "connected"]
    assert gateway.connection_count == 2


def test_silence_is_reported_within_ten_seconds_and_ends_the_connection_after_45() -> None:
    assert connection.PROBE_INTERVAL + connection.PONG_TIMEOUT < MAX_NOTICE_TIME
    assert websocket.PING_INTERVAL + websocket.PING_TIMEOUT == 45


async def test_a_rejected_device_token_is_not_tried_again(gateway: FakeGateway) -> None:
    """The gateway counts failed attempts: a second attempt each time would halve the limit."""
    gateway_target = create_target(gateway)
    assert gateway_target.device
    gateway.approved_devices.add(gateway_target.device.id)
    gateway.token = "another"
    async with stay_connected(
        replace(gateway_target, device_token="of a reinstalled gateway")
    ) as changes:
        await wait_until(lambda: len(changes) >= 4)
        tokens = [one["auth"]["token"] for one in gateway.connect_params]
        assert tokens[:2] == [TOKEN, "of a reinstalled gateway"]
        assert set(tokens[2:]) == {TOKEN}
        gateway.token = TOKEN
        await wait_until(lambda: changes[-1] == "connected")


async def test_a_client_with_only_a_device_token_keeps_trying_it(gateway: FakeGateway) -> None:
    gateway_target = create_target(gateway)
    async with await open_connection(gateway_target) as connection:
        device_token = connection.hello.device_token
    gateway.connect_error = {"code": "INVALID_REQUEST", "details": {"code": "AUTH_TOKEN_MISMATCH"}}
    async with stay_connected(
        replace(gateway_target, token="", device_token=device_token)
    ) as changes:
        await wait_until(lambda: len(changes) >= 2)
        gateway.connect_error = None
        await wait_until(lambda: changes[-1] == "connected")


@pytest.mark.parametrize("kind", sorted(OPERATOR_ERRORS))
@pytest.mark.parametrize("duration", [0.0, 0.3, LONGEST_DELAY])
def test_errors_fixed_by_an_operator_are_noticed_in_time(kind: ErrorKind, duration: float) -> None:
    """Even if the fix follows directly after an attempt, the next attempt is in time."""
    for previous_delay in (DEFAULT_RETRY_POLICY.first_delay, DEFAULT_RETRY_POLICY.max_delay):
        delay = DEFAULT_RETRY_POLICY.delay_after(GatewayError(kind, ""), previous_delay, duration)
        assert delay > 0
        assert duration + delay < MAX_NOTICE_TIME - 1  # one second is for connecting


def test_retries_are_too_few_to_be_locked_out_by_the_gateway() -> None:
    delay = DEFAULT_RETRY_POLICY.delay_after(
        GatewayError(ErrorKind.TOKEN_MISMATCH, ""), DEFAULT_RETRY_POLICY.first_delay, 0.0
    )
    attempts = -(-WINDOW // delay)
    manual_attempts = 2  # of a user who checks the connection: shared token and device token
    assert attempts + manual_attempts < LOCKED_OUT_AT


def test_temporary_errors_of_gateways_are_retried_in_time() -> None:
    delays = DEFAULT_RETRY_POLICY.delays()
    longest_delay = max(next(delays) for _ in range(40))
    error = GatewayError(ErrorKind.REFUSED, "")
    assert DEFAULT_RETRY_POLICY.delay_after(error, longest_delay, 3.0) == longest_delay
    assert longest_delay < MAX_NOTICE_TIME - 1


@pytest.mark.parametrize("kind", [ErrorKind.RATE_LIMITED, ErrorKind.STARTING_UP])
def test_the_retry_delay_that_a_gateway_requests_is_respected(kind: ErrorKind) -> None:
    error = GatewayError(kind, "", retry_after=300.0)
    assert DEFAULT_RETRY_POLICY.delay_after(error, 1.0, LONGEST_DELAY) == 300.0
