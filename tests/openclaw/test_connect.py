"""A gateway accepts the connection of a client or rejects it in one of many ways."""

import asyncio
import logging
from dataclasses import replace
from typing import Any

import pytest

from openclaw import ErrorKind, GatewayError, GatewayTarget, open_connection, websocket
from openclaw import connection as connections
from tests.support.fake_gateway import (
    TOKEN,
    FakeGateway,
    create_target,
    get_device_token,
    run_fake_gateway,
)


async def fail_to_connect(target: GatewayTarget) -> GatewayError:
    with pytest.raises(GatewayError) as error_info:
        await open_connection(target)
    return error_info.value


async def test_a_gateway_accepts_us_and_reports_our_scopes(gateway: FakeGateway) -> None:
    gateway_target = create_target(gateway)
    async with await open_connection(gateway_target, caps=("tool-events",)) as connection:
        assert connection.hello.protocol == 4
        assert connection.hello.version == "2026.9.6"
        assert connection.hello.missing_scopes == []
        assert connection.hello.methods == gateway.methods
        assert gateway_target.device
        assert connection.hello.device_token == get_device_token(gateway_target.device.id)
    [connect_params] = gateway.connect_params
    assert connect_params["minProtocol"] <= 4 <= connect_params["maxProtocol"]
    assert connect_params["caps"] == ["tool-events"]
    assert connect_params["client"]["id"] == "gateway-client"
    assert connect_params["role"] == "operator"


async def test_a_token_is_in_no_url_header_or_repr(gateway: FakeGateway) -> None:
    """W-10."""
    gateway_target = create_target(gateway, device_token="another secret")
    async with await open_connection(gateway_target) as connection:
        assert TOKEN not in repr(gateway_target) + repr(connection.hello)
        assert "secret" not in repr(gateway_target)
    [request] = gateway.http_requests
    assert TOKEN not in request
    assert "Origin" not in request
    assert gateway.connect_params[0]["auth"] == {"token": TOKEN}


async def test_no_log_contains_a_token_at_any_level(
    gateway: FakeGateway, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG):
        async with await open_connection(create_target(gateway, device_token="another secret")):
            pass
        gateway.token = "changed"
        await fail_to_connect(create_target(gateway))
        gateway.first_frame = "nonsense"
        await fail_to_connect(create_target(gateway))
    assert TOKEN not in caplog.text
    assert "secret" not in caplog.text
    names = {one.name for one in caplog.records} - {"websockets.server"}
    loggers = {name for name in names if name.startswith(("openclaw", "websockets"))}
    assert loggers <= {"openclaw.connection"}  # the library would log complete frames


@pytest.mark.parametrize(
    ("gateway_attributes", "expected"),
    [
        ({"token": "another"}, ErrorKind.TOKEN_MISMATCH),
        ({"requires_pairing": True}, ErrorKind.PAIRING_REQUIRED),
        ({"protocol": 3}, ErrorKind.PROTOCOL_MISMATCH),
        ({"protocol": 9}, ErrorKind.PROTOCOL_MISMATCH),
        ({"hello_overrides": {"protocol": 7}}, ErrorKind.PROTOCOL_MISMATCH),
        ({"hello_overrides": {"protocol": None}}, ErrorKind.MALFORMED),
        ({"startup_rejections": 5}, ErrorKind.STARTING_UP),
        ({"first_frame": "{nonsense"}, ErrorKind.MALFORMED),
        ({"first_frame": "[]"}, ErrorKind.MALFORMED),
        ({"first_frame": "{}"}, ErrorKind.MALFORMED),
        ({"first_frame": b"\x00\x01"}, ErrorKind.MALFORMED),
        ({"first_frame": '{"type":"event","event":"tick"}'}, ErrorKind.MALFORMED),
        ({"first_frame": '{"type":"event","event":"connect.challenge"}'}, ErrorKind.MALFORMED),
        ({"first_frame": "[" * 100_000}, ErrorKind.MALFORMED),
        (
            {"http_response": (403, '{"error":{"type":"proxy_attribution_required"}}')},
            ErrorKind.PROXY_UNTRUSTED,
        ),
        ({"http_response": (404, "not here")}, ErrorKind.PATH_NOT_FOUND),
        ({"http_response": (200, "<h1>Hello</h1>")}, ErrorKind.NOT_A_GATEWAY),
        ({"http_response": (502, "bad gateway")}, ErrorKind.DOWN_BEHIND_PROXY),
        (
            {
                "connect_error": {
                    "code": "INVALID_REQUEST",
                    "details": {"code": "CONTROL_UI_ORIGIN_NOT_ALLOWED"},
                }
            },
            ErrorKind.ORIGIN_REFUSED,
        ),
        (
            {
                "connect_error": {
                    "code": "INVALID_REQUEST",
                    "details": {"code": "DEVICE_AUTH_NONCE_MISMATCH"},
                }
            },
            ErrorKind.DEVICE_REFUSED,
        ),
        (
            {
                "connect_error": {
                    "code": "NOT_PAIRED",
                    "details": {"code": "DEVICE_IDENTITY_REQUIRED"},
                }
            },
            ErrorKind.DEVICE_REQUIRED,
        ),
        (
            {
                "connect_error": {
                    "code": "INVALID_REQUEST",
                    "details": {"code": "AUTH_RATE_LIMITED"},
                }
            },
            ErrorKind.RATE_LIMITED,
        ),
        ({"connect_error": {"code": "INVALID_REQUEST", "close": 4001}}, ErrorKind.REJECTED),
    ],
)
async def test_every_failed_connect_has_an_error_kind(
    gateway: FakeGateway, gateway_attributes: dict[str, Any], expected: ErrorKind
) -> None:
    """W-36. A27.15."""
    for name, value in gateway_attributes.items():
        setattr(gateway, name, value)
    error = await fail_to_connect(create_target(gateway))
    assert error.kind is expected
    assert TOKEN not in str(error) + repr(error.details)


async def test_a_pairing_error_contains_the_id_for_its_approval(gateway: FakeGateway) -> None:
    """W-36."""
    gateway.requires_pairing = True
    gateway_target = create_target(gateway)
    assert (await fail_to_connect(gateway_target)).pairing_request == "req-123"
    gateway.approve_device()
    async with await open_connection(gateway_target) as connection:
        assert connection.hello.device_token


async def test_a_silent_gateway_causes_a_timeout(
    gateway: FakeGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    """W-32."""
    monkeypatch.setattr(connections, "CHALLENGE_TIMEOUT", 0.1)
    monkeypatch.setattr(connections, "CONNECT_TIMEOUT", 0.1)
    gateway.is_silent = True
    assert (await fail_to_connect(create_target(gateway))).kind is ErrorKind.TIMEOUT
    gateway.is_silent, gateway.ignores_connect = False, True
    assert (await fail_to_connect(create_target(gateway))).kind is ErrorKind.TIMEOUT


async def test_a_silent_port_causes_a_timeout(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(websocket, "UPGRADE_TIMEOUT", 0.1)

    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    server = await asyncio.start_server(silent, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with server:
        for scheme in ("ws", "wss"):
            error = await fail_to_connect(GatewayTarget(f"{scheme}://127.0.0.1:{port}"))
            assert error.kind is ErrorKind.TIMEOUT
    assert (
        await fail_to_connect(GatewayTarget(f"ws://127.0.0.1:{port}"))
    ).kind is ErrorKind.REFUSED


async def test_a_redirect_is_not_followed(gateway: FakeGateway) -> None:
    """Otherwise a gateway could redirect us into the network of this server (W-11)."""
    async with run_fake_gateway(FakeGateway()) as other:

        async def redirect(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n\r\n")
            location = other.url.replace("ws://", "http://")
            writer.write(f"HTTP/1.1 302 Found\r\nLocation: {location}\r\n\r\n".encode())
            writer.close()

        server = await asyncio.start_server(redirect, "127.0.0.1", 0)
        async with server:
            port = server.sockets[0].getsockname()[1]
            error = await fail_to_connect(GatewayTarget(f"ws://127.0.0.1:{port}"))
        assert error.kind is ErrorKind.NOT_A_GATEWAY
        assert not other.http_requests


async def test_proxy_variables_of_the_environment_are_ignored(
    gateway: FakeGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    async with await open_connection(create_target(gateway)) as connection:
        assert connection.hello.protocol == 4


async def test_a_device_token_replaces_a_changed_shared_token(gateway: FakeGateway) -> None:
    gateway_target = create_target(gateway)
    assert gateway_target.device
    async with await open_connection(gateway_target) as connection:
        device_token = connection.hello.device_token
    gateway.token = "a new one"
    assert (await fail_to_connect(gateway_target)).kind is ErrorKind.TOKEN_MISMATCH
    async with await open_connection(
        replace(gateway_target, device_token=device_token)
    ) as connection:
        assert connection.hello.missing_scopes == []
    async with await open_connection(
        replace(gateway_target, token="", device_token=device_token)
    ) as connection:
        assert gateway.connect_params[-1]["auth"] == {"token": device_token}
    gateway.accepts_device_token = False
    before = len(gateway.connect_params)
    assert (
        await fail_to_connect(replace(gateway_target, device_token=device_token))
    ).kind is ErrorKind.TOKEN_MISMATCH
    assert len(gateway.connect_params) == before + 1
