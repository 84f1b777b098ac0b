"""The client calls a gateway that answers in every way that gateways do, and worse."""

import asyncio
import json
from typing import Any

import pytest

from openclaw import Connection, GatewayError, Trouble, connect, dialing
from openclaw.subscriptions import MISSED
from tests.openclaw.fake import Fake, Refused, soon, target


async def test_calls_wait_for_their_own_answers_whatever_the_order(gateway: Fake) -> None:
    """W-44."""
    gateway.methods = {"first": lambda _: {"it": "first"}, "second": lambda _: None}
    gateway.answers = {"held": None}
    async with await connect(target(gateway)) as connection:
        held = asyncio.create_task(connection.call("held"))
        first, second = await asyncio.gather(connection.call("first"), connection.call("second"))
        assert first == {"it": "first"}
        assert second is None  # a good answer (W-44)
        await soon(lambda: len(gateway.calls) == 3)
        held.cancel()
    assert gateway.calls[0] == ("held", {})


async def test_an_answer_that_nobody_waits_for_any_more_is_passed_over(gateway: Fake) -> None:
    late = json.dumps({"type": "res", "id": "1", "ok": True, "payload": "late"})
    strange = json.dumps({"type": "pong", "id": "1"})
    gateway.answers = {"slow": None, "late": late}
    gateway.methods = {"health": lambda _: "well"}
    async with await connect(target(gateway)) as connection:
        with pytest.raises(GatewayError) as caught:
            await connection.call("slow", within=0.05)
        assert caught.value.trouble is Trouble.TIMEOUT
        with pytest.raises(GatewayError):
            await connection.call("late", within=0.05)
        gateway.answers = {"late": strange}
        with pytest.raises(GatewayError):
            await connection.call("late", within=0.05)
        assert await connection.call("health") == "well"


async def test_what_a_gateway_refuses_is_told_by_codes(gateway: Fake) -> None:
    """W-37."""
    details = {"code": "MISSING_SCOPE", "missingScope": "operator.admin"}

    def refuse(params: dict[str, Any]) -> None:
        raise Refused(**params)

    gateway.methods = {"ask": refuse}
    async with await connect(target(gateway)) as connection:
        for answer, expected in [
            ({"code": "FORBIDDEN", "details": details}, Trouble.MISSING_SCOPE),
            ({"code": "UNAVAILABLE", "message": "does not exist"}, Trouble.UNAVAILABLE),
            ({"code": "INVALID_REQUEST", "message": "timeout, unavailable"}, Trouble.REJECTED),
            ({"code": "SOMETHING_NEW"}, Trouble.REJECTED),
            ({"code": 5, "message": ["odd"], "retryAfterMs": "soon"}, Trouble.REJECTED),
        ]:
            with pytest.raises(GatewayError) as caught:
                await connection.call("ask", answer)
            assert caught.value.trouble is expected, answer
    assert GatewayError(Trouble.MISSING_SCOPE, "", details=details).missing_scopes == [
        "operator.admin"
    ]


@pytest.mark.parametrize("raw", ["{nonsense", b"binary", "[]", '{"type":"res","id":1,"ok":true}'])
async def test_a_frame_that_is_none_ends_the_connection_for_all(
    gateway: Fake, raw: str | bytes
) -> None:
    gateway.answers = {"held": None, "break": raw}
    connection = await connect(target(gateway))
    held = asyncio.create_task(connection.call("held"))
    await soon(lambda: gateway.calls)
    for waiting in (connection.call("break"), held, connection.call("health")):
        with pytest.raises(GatewayError) as caught:
            await waiting
        assert caught.value.trouble is Trouble.MALFORMED
    assert (await connection.wait_closed()).trouble is Trouble.MALFORMED
    await connection.close()


async def test_what_is_too_large_is_not_taken_and_not_sent(
    gateway: Fake, monkeypatch: pytest.MonkeyPatch
) -> None:
    """W-32."""
    monkeypatch.setattr(dialing, "LARGEST", 100_000)
    gateway.largest = 1_000
    gateway.methods = {"much": lambda _: "x" * 200_000, "health": lambda _: "x" * 90_000}
    async with await connect(target(gateway)) as connection:
        with pytest.raises(GatewayError) as caught:
            await connection.call("health", {"text": "ü" * 500})
        assert caught.value.trouble is Trouble.TOO_LARGE
        assert len(await connection.call("health")) == 90_000
        with pytest.raises(GatewayError) as caught:
            await connection.call("much")
        assert caught.value.trouble is Trouble.TOO_LARGE


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        (1012, Trouble.RESTARTING),
        (1013, Trouble.STARTING_UP),
        (4001, Trouble.RESTARTING),
        (1000, Trouble.CLOSED),
        (1008, Trouble.CLOSED),
    ],
)
async def test_the_code_with_which_a_gateway_closes_says_why(
    gateway: Fake, code: int, expected: Trouble
) -> None:
    gateway.closes = {"health": code}
    connection = await connect(target(gateway))
    with pytest.raises(GatewayError) as caught:
        await connection.call("health")
    assert caught.value.trouble is expected
    await connection.close()


async def test_events_come_in_order_and_only_those_that_were_wanted(gateway: Fake) -> None:
    async with await connect(target(gateway)) as connection:
        chats, everything = connection.hub.subscribe("chat"), connection.hub.subscribe()
        for number in range(3):
            await gateway.tell("chat", {"n": number})
            await gateway.tell("tick", {})
        assert [(await chats.next()).payload["n"] for _ in range(3)] == [0, 1, 2]
        assert [(await everything.next()).name for _ in range(6)] == ["chat", "tick"] * 3
        chats.close()
        await gateway.tell("chat", {})
        await everything.next()
    assert await everything.next() is MISSED


async def test_who_listens_too_slowly_is_told_so_and_costs_no_memory(gateway: Fake) -> None:
    async with await connect(target(gateway)) as connection:
        slow = connection.hub.subscribe("chat", most=10)
        other = connection.hub.subscribe("end")
        for number in range(50):
            await gateway.tell("chat", {"n": number})
        await gateway.tell("end", {})
        await other.next()
        assert await slow.next() is MISSED
        assert [(await slow.next()).payload["n"] for _ in range(10)] == list(range(40, 50))


async def test_a_connection_that_was_closed_answers_nobody(gateway: Fake) -> None:
    connection: Connection = await connect(target(gateway))
    await connection.close()
    with pytest.raises(GatewayError) as caught:
        await connection.call("health")
    assert caught.value.trouble is Trouble.CLOSED
