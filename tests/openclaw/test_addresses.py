"""Addresses of gateways that are allowed and forbidden (W-11)."""

from ipaddress import ip_address
from typing import Any

import pytest

from openclaw import (
    AddressPolicy,
    ErrorKind,
    GatewayAddress,
    GatewayError,
    GatewayTarget,
    open_connection,
    parse_address,
    websocket,
)
from openclaw.addresses import resolve_address
from tests.support.fake_gateway import TOKEN, FakeGateway

ALLOW_NONE = AddressPolicy(())


@pytest.mark.parametrize(
    "url",
    [
        "",
        "ws://",
        "http://gateway.example",
        "https://gateway.example",
        "file:///etc/passwd",
        "gateway.example:18789",
        "ws:gateway.example",
        "ws://user@gateway.example",
        "ws://user:password@gateway.example",
        "ws://:password@gateway.example",
        "ws://gateway.example?token=secret",
        "ws://gateway.example/#token",
        "ws://gateway.example:0",
        "ws://gateway.example:65536",
        "ws://gateway.example:port",
        "ws://[::1",
        "ws://[::1]x",
        "ws://gate way.example",
        "ws://gateway.example/\r\nHost: other",
        "ws://gätewäy.example",
        "ws://gateway.example/" + "a" * 500,
    ],
)
def test_an_invalid_address_is_rejected_with_a_reason(url: str) -> None:
    with pytest.raises(GatewayError) as error_info:
        parse_address(url)
    assert error_info.value.kind is ErrorKind.ADDRESS_INVALID
    assert error_info.value.message.endswith(".")
    assert "secret" not in error_info.value.message


@pytest.mark.parametrize(
    ("url", "host", "port", "is_secure"),
    [
        ("ws://127.0.0.1:18789", "127.0.0.1", 18789, False),
        ("wss://Gateway.Example", "gateway.example", 443, True),
        ("WS://gateway.example/path", "gateway.example", 80, False),
        ("ws://[::1]:18789/", "::1", 18789, False),
    ],
)
def test_an_address_is_parsed(url: str, host: str, port: int, is_secure: bool) -> None:
    assert parse_address(url) == GatewayAddress(url, host, port, is_secure)


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "2130706433", "0x7f.1", "[::1]"])
async def test_every_notation_of_an_address_is_checked(host: str) -> None:
    with pytest.raises(GatewayError) as error_info:
        await resolve_address(parse_address(f"ws://{host}:18789"), ALLOW_NONE)
    assert error_info.value.kind is ErrorKind.ADDRESS_FORBIDDEN
    assert await resolve_address(parse_address(f"ws://{host}:18789"), AddressPolicy())


async def test_an_unknown_host_name_is_reported() -> None:
    for host in ("no-such-name.invalid", "a" * 64 + ".example"):
        with pytest.raises(GatewayError) as error_info:
            await resolve_address(parse_address(f"ws://{host}"), AddressPolicy())
        assert error_info.value.kind is ErrorKind.DNS


async def test_a_host_name_is_resolved_only_once(
    gateway: FakeGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    """W-11. The connection uses the IP address that was checked (DNS rebinding)."""
    resolved_hosts: list[str] = []

    async def resolve_differently(address: GatewayAddress, policy: AddressPolicy) -> Any:
        resolved_hosts.append(address.host)
        ip = "127.0.0.1" if len(resolved_hosts) == 1 else "169.254.169.254"
        return [ip_address(ip)]

    monkeypatch.setattr(websocket, "resolve_address", resolve_differently)
    async with await open_connection(
        GatewayTarget(f"ws://evil.invalid:{gateway.port}", TOKEN)
    ) as connection:
        assert connection.hello.protocol == 4
    assert resolved_hosts == ["evil.invalid"]
