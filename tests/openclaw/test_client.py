"""The client against a gateway that behaves in every way that gateways do, and worse."""

import asyncio
import json
import logging
from dataclasses import replace
from typing import Any

import pytest

from openclaw import (
    Budget,
    Connection,
    GatewayError,
    Link,
    Target,
    Trouble,
    connect,
    dialing,
)
from openclaw import connection as connections
from openclaw.subscriptions import MISSED
from tests.openclaw.fake import TOKEN, Fake, Refused, running, soon, target, token_of_device

QUICK = Budget(call=5, whole=5, first_rest=0.01, longest_rest=0.05)
SHORT = replace(QUICK, whole=0.3)


async def trouble(target: Target) -> GatewayError:
    with pytest.raises(GatewayError) as caught:
        await connect(target)
    return caught.value


async def test_a_gateway_lets_us_in_and_says_which_rights_we_have(gateway: Fake) -> None:
    at = target(gateway)
    async with await connect(at, caps=("tool-events",)) as connection:
        assert connection.hello.protocol == 4
        assert connection.hello.version == "2026.9.6"
        assert connection.hello.missing_scopes == []
        assert connection.hello.methods == {"health", "sessions.list"}
        assert at.device
        assert connection.hello.device_token == token_of_device(at.device.id)
    [asked] = gateway.connects
    assert asked["minProtocol"] <= 4 <= asked["maxProtocol"]
    assert asked["caps"] == ["tool-events"]
    assert asked["client"]["id"] == "gateway-client"
    assert asked["role"] == "operator"


async def test_a_token_is_in_no_address_no_header_and_no_repr(gateway: Fake) -> None:
    """W-10."""
    at = target(gateway, device_token="another secret")
    async with await connect(at) as connection:
        assert TOKEN not in repr(at) + repr(connection.hello)
        assert "secret" not in repr(at)
    [request] = gateway.requests
    assert TOKEN not in request
    assert "Origin" not in request
    assert gateway.connects[0]["auth"] == {"token": TOKEN}


async def test_no_log_tells_a_token_however_much_is_logged(
    gateway: Fake, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG):
        async with await connect(target(gateway, device_token="another secret")):
            pass
        gateway.token = "changed"
        await trouble(target(gateway))
        gateway.first = "nonsense"
        await trouble(target(gateway))
    assert TOKEN not in caplog.text
    assert "secret" not in caplog.text
    told = {record.name for record in caplog.records} - {"asyncio", "websockets.server"}
    assert told == {"openclaw.connection"} or not told  # and never the library, frame by frame


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


@pytest.mark.parametrize(
    ("behaviour", "expected"),
    [
        ({"token": "another"}, Trouble.TOKEN_MISMATCH),
        ({"asks_for_pairing": True}, Trouble.PAIRING_REQUIRED),
        ({"protocol": 3}, Trouble.PROTOCOL_MISMATCH),
        ({"protocol": 9}, Trouble.PROTOCOL_MISMATCH),
        ({"hello": {"protocol": 7}}, Trouble.PROTOCOL_MISMATCH),
        ({"hello": {"protocol": None}}, Trouble.MALFORMED),
        ({"starting": 5}, Trouble.STARTING_UP),
        ({"first": "{nonsense"}, Trouble.MALFORMED),
        ({"first": "[]"}, Trouble.MALFORMED),
        ({"first": "{}"}, Trouble.MALFORMED),
        ({"first": b"\x00\x01"}, Trouble.MALFORMED),
        ({"first": '{"type":"event","event":"tick"}'}, Trouble.MALFORMED),
        ({"first": '{"type":"event","event":"connect.challenge"}'}, Trouble.MALFORMED),
        ({"first": "[" * 100_000}, Trouble.MALFORMED),
        (
            {"upgrade_status": (403, '{"error":{"type":"proxy_attribution_required"}}')},
            Trouble.PROXY_UNTRUSTED,
        ),
        ({"upgrade_status": (404, "not here")}, Trouble.NOT_A_GATEWAY),
        ({"upgrade_status": (200, "<h1>Hello</h1>")}, Trouble.NOT_A_GATEWAY),
        ({"upgrade_status": (502, "bad gateway")}, Trouble.UNAVAILABLE),
        (
            {
                "refuses": {
                    "code": "INVALID_REQUEST",
                    "details": {"code": "CONTROL_UI_ORIGIN_NOT_ALLOWED"},
                }
            },
            Trouble.ORIGIN_REFUSED,
        ),
        (
            {
                "refuses": {
                    "code": "INVALID_REQUEST",
                    "details": {"code": "DEVICE_AUTH_NONCE_MISMATCH"},
                }
            },
            Trouble.DEVICE_REFUSED,
        ),
        (
            {"refuses": {"code": "NOT_PAIRED", "details": {"code": "DEVICE_IDENTITY_REQUIRED"}}},
            Trouble.DEVICE_REQUIRED,
        ),
        (
            {"refuses": {"code": "INVALID_REQUEST", "details": {"code": "AUTH_RATE_LIMITED"}}},
            Trouble.RATE_LIMITED,
        ),
        ({"refuses": {"code": "INVALID_REQUEST", "close": 4001}}, Trouble.REJECTED),
    ],
)
async def test_every_way_to_be_turned_away_has_its_name(
    gateway: Fake, behaviour: dict[str, Any], expected: Trouble
) -> None:
    """W-36. A27.15."""
    for name, value in behaviour.items():
        setattr(gateway, name, value)
    error = await trouble(target(gateway))
    assert error.trouble is expected
    assert TOKEN not in str(error) + repr(error.details)


async def test_a_pairing_request_has_the_id_by_which_it_is_approved(gateway: Fake) -> None:
    """W-36."""
    gateway.asks_for_pairing = True
    at = target(gateway)
    assert (await trouble(at)).pairing_request == "req-123"
    gateway.approve()
    async with await connect(at) as connection:
        assert connection.hello.device_token


async def test_who_is_silent_is_not_waited_for_for_ever(
    gateway: Fake, monkeypatch: pytest.MonkeyPatch
) -> None:
    """W-32."""
    monkeypatch.setattr(connections, "TO_CHALLENGE", 0.1)
    monkeypatch.setattr(connections, "TO_LET_IN", 0.1)
    gateway.is_silent = True
    assert (await trouble(target(gateway))).trouble is Trouble.TIMEOUT
    gateway.is_silent, gateway.is_mute = False, True
    assert (await trouble(target(gateway))).trouble is Trouble.TIMEOUT


async def test_a_port_where_nobody_speaks_is_not_waited_for_for_ever(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(dialing, "TO_UPGRADE", 0.1)

    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    server = await asyncio.start_server(silent, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with server:
        for scheme in ("ws", "wss"):
            error = await trouble(Target(f"{scheme}://127.0.0.1:{port}"))
            assert error.trouble is Trouble.TIMEOUT
    assert (await trouble(Target(f"ws://127.0.0.1:{port}"))).trouble is Trouble.REFUSED


async def test_a_redirect_leads_nowhere(gateway: Fake) -> None:
    """Else a gateway could send us into what lies around this server (W-11)."""
    async with running(Fake()) as other:

        async def redirect(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n\r\n")
            place = other.url.replace("ws://", "http://")
            writer.write(f"HTTP/1.1 302 Found\r\nLocation: {place}\r\n\r\n".encode())
            writer.close()

        server = await asyncio.start_server(redirect, "127.0.0.1", 0)
        async with server:
            port = server.sockets[0].getsockname()[1]
            error = await trouble(Target(f"ws://127.0.0.1:{port}"))
        assert error.trouble is Trouble.NOT_A_GATEWAY
        assert not other.requests


async def test_the_environments_proxy_is_not_asked(
    gateway: Fake, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    async with await connect(target(gateway)) as connection:
        assert connection.hello.protocol == 4


async def test_a_device_token_helps_where_the_shared_one_has_changed(gateway: Fake) -> None:
    at = target(gateway)
    assert at.device
    async with await connect(at) as connection:
        given = connection.hello.device_token
    gateway.token = "a new one"
    assert (await trouble(at)).trouble is Trouble.TOKEN_MISMATCH
    async with await connect(replace(at, device_token=given)) as connection:
        assert connection.hello.missing_scopes == []
    async with await connect(replace(at, token="", device_token=given)) as connection:
        assert gateway.connects[-1]["auth"] == {"token": given}
    gateway.takes_device_token = False
    before = len(gateway.connects)
    assert (await trouble(replace(at, device_token=given))).trouble is Trouble.TOKEN_MISMATCH
    assert len(gateway.connects) == before + 1


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


async def test_a_link_waits_for_a_gateway_that_starts(gateway: Fake) -> None:
    gateway.starting = 3
    gateway.methods = {"health": lambda _: "well"}
    async with Link(target(gateway), budget=QUICK) as link:
        assert await link.call("health") == "well"
        assert (await link.hello()).protocol == 4
    assert len(gateway.connects) == 4
    gateway.starting = 1_000
    async with Link(target(gateway), budget=SHORT) as link:
        with pytest.raises(GatewayError) as caught:
            await link.call("health")
    assert caught.value.trouble is Trouble.STARTING_UP


async def test_a_link_asks_again_when_the_gateway_was_not_ready(gateway: Fake) -> None:
    answers = iter([Refused("UNAVAILABLE"), Refused("UNAVAILABLE", retryAfterMs=20)])

    def health(_params: dict[str, Any]) -> str:
        for no in answers:
            raise no
        return "well"

    gateway.methods = {"health": health}
    async with Link(target(gateway), budget=QUICK) as link:
        assert await link.call("health") == "well"
    assert len(gateway.calls) == 3


async def test_a_call_whose_answer_was_lost_is_repeated_only_if_that_is_safe(
    gateway: Fake,
) -> None:
    """A27.15. W-43: what is sent again carries the same key."""
    gateway.methods = {"chat.send": lambda params: params["idempotencyKey"]}
    gateway.closes = {"chat.send": 1012}
    key = {"idempotencyKey": "k-1"}
    async with Link(target(gateway), budget=QUICK) as link:
        assert await link.call("chat.send", key, repeatable=True) == "k-1"
        assert gateway.calls == [("chat.send", key)] * 2
        gateway.closes = {"chat.send": 1012}
        with pytest.raises(GatewayError) as caught:
            await link.call("chat.send", key)
        assert caught.value.trouble is Trouble.RESTARTING
        assert await link.call("chat.send", key) == "k-1"


async def test_a_link_that_was_there_waits_for_its_gateway_to_come_back() -> None:
    """A27.8. A gateway that restarts is no failure."""
    fake = Fake(methods={"health": lambda _: "well"})
    async with running(fake):
        link = Link(target(fake), budget=QUICK)
        listening = link.subscribe("chat")
        assert await link.call("health") == "well"
    asking = asyncio.create_task(link.call("health", repeatable=True))
    assert await listening.next() is MISSED
    await asyncio.sleep(0.1)
    assert not asking.done()
    async with running(fake):
        assert await asking == "well"
        await fake.tell("chat", {"n": 1})
        assert (await listening.next()).payload == {"n": 1}
        await link.close()


async def test_a_link_gives_up_at_once_where_waiting_does_not_help(gateway: Fake) -> None:
    gateway.token = "another"
    async with Link(target(gateway), budget=QUICK) as link:
        with pytest.raises(GatewayError) as caught:
            await link.call("health")
    assert caught.value.trouble is Trouble.TOKEN_MISMATCH
    assert len(gateway.connects) == 1
    async with Link(Target("ws://127.0.0.1:9"), budget=QUICK) as link:
        with pytest.raises(GatewayError) as caught:
            await link.call("health")
    assert caught.value.trouble is Trouble.REFUSED


async def test_a_link_never_waits_longer_than_its_budget(gateway: Fake) -> None:
    """W-32. A27.10."""
    gateway.answers = {"health": None}
    async with Link(target(gateway), budget=SHORT) as link:
        with pytest.raises(GatewayError) as caught:
            await link.call("health")
    assert caught.value.trouble is Trouble.TIMEOUT


async def test_a_link_that_is_kept_comes_back_by_itself_when_all_is_mended(gateway: Fake) -> None:
    """Whatever is in the way: nobody has to press a button (market need 1)."""
    gateway.asks_for_pairing = True
    heard: list[Any] = []

    async def hear(news: Any) -> None:
        heard.append(getattr(news, "trouble", "connected"))

    link = Link(target(gateway), budget=QUICK)
    keeping = asyncio.create_task(link.keep(hear))
    await soon(lambda: len(heard) >= 2)
    assert set(heard) == {Trouble.PAIRING_REQUIRED}
    gateway.approve()
    await soon(lambda: heard[-1] == "connected")
    await gateway.drop(4001)
    await soon(lambda: heard[-2:] == [Trouble.RESTARTING, "connected"])
    keeping.cancel()
    await link.close()


async def test_many_callers_share_one_connection(gateway: Fake) -> None:
    """A27.10."""
    gateway.methods = {"health": lambda _: "well"}
    async with Link(target(gateway), budget=QUICK) as link:
        assert await asyncio.gather(*(link.call("health") for _ in range(20))) == ["well"] * 20
    assert len(gateway.connects) == 1


def test_rests_grow_and_are_not_the_same_for_all() -> None:
    rests = Budget(first_rest=1, longest_rest=8).rests()
    found = [next(rests) for _ in range(6)]
    for rest, middle in zip(found, [1, 2, 4, 8, 8, 8], strict=True):
        assert 0.8 * middle <= rest <= 1.2 * middle
    assert len({next(Budget().rests()) for _ in range(20)}) > 1


async def test_a_connection_that_was_closed_answers_nobody(gateway: Fake) -> None:
    connection: Connection = await connect(target(gateway))
    await connection.close()
    with pytest.raises(GatewayError) as caught:
        await connection.call("health")
    assert caught.value.trouble is Trouble.CLOSED
