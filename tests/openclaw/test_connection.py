"""Calls and events on a connection, with valid and invalid frames from the gateway."""

import asyncio
import gc
import json
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosedOK

from openclaw import ErrorKind, GatewayConnection, GatewayError, open_connection, websocket
from openclaw.subscriptions import EVENTS_MISSED
from tests.support.fake_gateway import ErrorResponse, FakeGateway, create_target, wait_until
from tests.support.loop_holds import calibrate, measure_holds


async def test_calls_receive_their_own_responses_in_any_order(gateway: FakeGateway) -> None:
    """W-44."""
    gateway.handlers = {"first": lambda _: {"it": "first"}, "second": lambda _: None}
    gateway.raw_responses = {"pending": None}
    async with await open_connection(create_target(gateway)) as connection:
        pending = asyncio.create_task(connection.call("pending"))
        first, second = await asyncio.gather(connection.call("first"), connection.call("second"))
        assert first == {"it": "first"}
        assert second is None  # a valid result (W-44)
        await wait_until(lambda: len(gateway.calls) == 3)
        pending.cancel()
    assert gateway.calls[0] == ("pending", {})


async def test_a_late_response_is_ignored(
    gateway: FakeGateway,
) -> None:
    late_response = json.dumps({"type": "res", "id": "1", "ok": True, "payload": "late"})
    unknown_frame = json.dumps({"type": "pong", "id": "1"})
    gateway.raw_responses = {"slow": None, "late": late_response}
    gateway.handlers = {"health": lambda _: "well"}
    async with await open_connection(create_target(gateway)) as connection:
        with pytest.raises(GatewayError) as error_info:
            await connection.call("slow", time_limit=0.05)
        assert error_info.value.kind is ErrorKind.TIMEOUT
        with pytest.raises(GatewayError):
            await connection.call("late", time_limit=0.05)
        gateway.raw_responses = {"late": unknown_frame}
        with pytest.raises(GatewayError):
            await connection.call("late", time_limit=0.05)
        assert await connection.call("health") == "well"


async def test_error_codes_determine_the_error_kind(gateway: FakeGateway) -> None:
    """W-37."""
    details = {"code": "MISSING_SCOPE", "missingScope": "operator.admin"}

    def reject(params: dict[str, Any]) -> None:
        raise ErrorResponse(**params)

    gateway.handlers = {"ask": reject}
    async with await open_connection(create_target(gateway)) as connection:
        for answer, expected in [
            ({"code": "FORBIDDEN", "details": details}, ErrorKind.MISSING_SCOPE),
            ({"code": "UNAVAILABLE", "message": "does not exist"}, ErrorKind.UNAVAILABLE),
            ({"code": "INVALID_REQUEST", "message": "timeout, unavailable"}, ErrorKind.REJECTED),
            ({"code": "SOMETHING_NEW"}, ErrorKind.REJECTED),
            ({"code": 5, "message": ["odd"], "retryAfterMs": "soon"}, ErrorKind.REJECTED),
        ]:
            with pytest.raises(GatewayError) as error_info:
                await connection.call("ask", answer)
            assert error_info.value.kind is expected, answer
    assert GatewayError(ErrorKind.MISSING_SCOPE, "", details=details).missing_scopes == [
        "operator.admin"
    ]


@pytest.mark.parametrize("raw", ["{nonsense", b"binary", "[]", '{"type":"res","id":1,"ok":true}'])
async def test_an_invalid_frame_ends_the_connection_for_all_callers(
    gateway: FakeGateway, raw: str | bytes
) -> None:
    gateway.raw_responses = {"pending": None, "break": raw}
    connection = await open_connection(create_target(gateway))
    pending = asyncio.create_task(connection.call("pending"))
    await wait_until(lambda: gateway.calls)
    for call in (connection.call("break"), pending, connection.call("health")):
        with pytest.raises(GatewayError) as error_info:
            await call
        assert error_info.value.kind is ErrorKind.MALFORMED
    assert (await connection.wait_closed()).kind is ErrorKind.MALFORMED
    await connection.close()


async def test_too_large_frames_are_neither_accepted_nor_sent(gateway: FakeGateway) -> None:
    """W-32."""
    gateway.max_payload = 100_000
    gateway.handlers = {"much": lambda _: "x" * 200_000, "health": lambda _: "x" * 90_000}
    async with await open_connection(create_target(gateway)) as connection:
        with pytest.raises(GatewayError) as error_info:
            await connection.call("health", {"text": "ü" * 50_000})
        assert error_info.value.kind is ErrorKind.TOO_LARGE
        assert len(await connection.call("health")) == 90_000
        with pytest.raises(GatewayError) as error_info:
            await connection.call("much")
        assert error_info.value.kind is ErrorKind.TOO_LARGE


async def test_all_waiting_frames_together_have_a_limit(
    gateway: FakeGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A gateway that sends faster than frames are read fills no memory."""
    gateway.max_payload = 4_000_000
    waiting: list[int] = []
    reading = asyncio.Event()
    real = websocket.GatewayWebSocket.data_received

    def recording(self: websocket.GatewayWebSocket, data: bytes) -> None:
        real(self, data)
        waiting.append(self.count_waiting())

    async def read_nothing(_: GatewayConnection) -> GatewayError:
        await reading.wait()
        return await read(_)

    read = GatewayConnection._read_until_closed
    monkeypatch.setattr(websocket.GatewayWebSocket, "data_received", recording)
    monkeypatch.setattr(GatewayConnection, "_read_until_closed", read_nothing)
    connection = await open_connection(create_target(gateway))
    for _ in range(3):
        await gateway.send_event("chat", {"text": "x" * 3_000_000})
    await wait_until(lambda: not gateway.is_connected)
    reading.set()

    assert (await connection.wait_closed()).kind is ErrorKind.TOO_LARGE
    assert 3_000_000 < max(waiting) < 4_500_000
    await connection.close()


async def test_a_frame_with_too_many_values_ends_the_connection(gateway: FakeGateway) -> None:
    """W-32."""
    response = {"type": "res", "id": "1", "ok": True, "payload": [[]] * 250_001}
    gateway.raw_responses = {"health": json.dumps(response, separators=(",", ":"))}
    connection = await open_connection(create_target(gateway))
    with pytest.raises(GatewayError) as error_info:
        await connection.call("health")
    assert error_info.value.kind is ErrorKind.TOO_LARGE
    assert "more than 250,000 values" in error_info.value.message
    await connection.close()


async def test_commas_and_brackets_in_texts_do_not_count_as_values(gateway: FakeGateway) -> None:
    gateway.handlers = {"health": lambda _: '[{"a": 1},' * 300_000}
    async with await open_connection(create_target(gateway)) as connection:
        assert await connection.call("health") == '[{"a": 1},' * 300_000


async def test_a_frame_with_many_values_does_not_hold_the_event_loop(gateway: FakeGateway) -> None:
    payload = {f"key {number}": [{"text": "x" * 50}] for number in range(80_000)}
    response = {"type": "res", "id": "1", "ok": True, "payload": payload}
    gateway.raw_responses = {"health": json.dumps(response, separators=(",", ":"))}
    async with await open_connection(create_target(gateway)) as connection:
        with measure_holds() as holds:
            assert await connection.call("health") == payload
    assert holds.longest < calibrate()


async def test_long_numbers_in_a_frame_do_not_hold_the_event_loop(gateway: FakeGateway) -> None:
    """The time to read one grows with the square of its length."""
    numbers = ",".join(["9" * 4_300] * 2_500)
    gateway.raw_responses = {"health": f'{{"type":"res","id":"1","ok":true,"payload":[{numbers}]}}'}
    connection = await open_connection(create_target(gateway))
    with measure_holds() as holds, pytest.raises(GatewayError) as error_info:
        await connection.call("health")
    assert error_info.value.kind is ErrorKind.MALFORMED
    assert holds.longest < calibrate()
    await connection.close()


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        (1012, ErrorKind.RESTARTING),
        (1013, ErrorKind.STARTING_UP),
        (4001, ErrorKind.RESTARTING),
        (1000, ErrorKind.CLOSED),
        (1008, ErrorKind.CLOSED),
    ],
)
async def test_the_close_code_determines_the_error_kind(
    gateway: FakeGateway, code: int, expected: ErrorKind
) -> None:
    gateway.close_codes = {"health": code}
    connection = await open_connection(create_target(gateway))
    with pytest.raises(GatewayError) as error_info:
        await connection.call("health")
    assert error_info.value.kind is expected
    await connection.close()


async def test_a_subscriber_receives_its_events_in_order(gateway: FakeGateway) -> None:
    async with await open_connection(create_target(gateway)) as connection:
        chat_events, all_events = connection.hub.subscribe("chat"), connection.hub.subscribe()
        for number in range(3):
            await gateway.send_event("chat", {"n": number})
            await gateway.send_event("tick", {})
        assert [(await chat_events.next_event()).payload["n"] for _ in range(3)] == [0, 1, 2]
        assert [(await all_events.next_event()).name for _ in range(6)] == ["chat", "tick"] * 3
        chat_events.close()
        await gateway.send_event("chat", {})
        await all_events.next_event()
    assert await all_events.next_event() is EVENTS_MISSED


async def test_a_slow_subscriber_misses_events_and_is_notified(gateway: FakeGateway) -> None:
    async with await open_connection(create_target(gateway)) as connection:
        slow = connection.hub.subscribe("chat", most=10)
        other = connection.hub.subscribe("end")
        for number in range(50):
            await gateway.send_event("chat", {"n": number})
        await gateway.send_event("end", {})
        await other.next_event()
        assert await slow.next_event() is EVENTS_MISSED
        assert [(await slow.next_event()).payload["n"] for _ in range(10)] == list(range(40, 50))


async def test_calls_on_a_closed_connection_fail(gateway: FakeGateway) -> None:
    connection: GatewayConnection = await open_connection(create_target(gateway))
    await connection.close()
    with pytest.raises(GatewayError) as error_info:
        await connection.call("health")
    assert error_info.value.kind is ErrorKind.CLOSED


async def test_a_call_that_is_not_sent_before_the_end_leaves_no_error_behind(
    gateway: FakeGateway, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    gc.freeze()  # ignores what other tests have left
    connection = await open_connection(create_target(gateway))

    async def wait_for_the_end(*_: object) -> None:
        await connection.close()
        raise ConnectionClosedOK(None, None)

    monkeypatch.setattr(websocket.GatewayWebSocket, "send", wait_for_the_end)
    with pytest.raises(GatewayError):
        await connection.call("health")
    gc.collect()
    assert not [one for one in caplog.records if one.name == "asyncio"]


async def test_the_error_of_a_closed_connection_keeps_no_traces_of_calls(
    gateway: FakeGateway,
) -> None:
    connection = await open_connection(create_target(gateway))
    await connection.close()
    lengths = []
    for _ in range(3):
        with pytest.raises(GatewayError) as error_info:
            await connection.call("health")
        lengths.append(len(error_info.traceback))
    assert len({*lengths}) == 1
