"""A gateway lets the client in, or turns it away in one of many ways."""

import asyncio
import logging
from dataclasses import replace
from typing import Any

import pytest

from openclaw import GatewayError, Target, Trouble, connect, dialing
from openclaw import connection as connections
from tests.openclaw.fake import TOKEN, Fake, running, target, token_of_device


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
