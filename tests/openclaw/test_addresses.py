"""Addresses of gateways that are allowed and forbidden (W-11)."""

from ipaddress import ip_address, ip_network
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

ALLOW_ALL = AddressPolicy((ip_network("0.0.0.0/0"), ip_network("::/0")))
ALLOW_NONE = AddressPolicy(())

RESERVED = [
    "0.0.0.0",
    "0.1.2.3",
    "169.254.169.254",
    "169.254.1.1",
    "100.100.100.200",
    "168.63.129.16",
    "192.0.0.192",
    "224.0.0.1",
    "239.255.255.255",
    "240.0.0.1",
    "255.255.255.255",
    "::",
    "fe80::1",
    "fec0::1",
    "ff02::1",
    "fd00:ec2::254",
    "fd20:ce::254",
    "::ffff:169.254.169.254",
    "::ffff:0.0.0.0",
    "::169.254.169.254",
    "2002:a9fe:a9fe::1",
    "64:ff9b::a9fe:a9fe",
    "64:ff9b:1::a9fe:a9fe",
    "2001:0:a9fe:a9fe::5601:5601",
]
PRIVATE = [
    "10.0.0.1",
    "172.16.5.5",
    "192.168.1.1",
    "100.64.0.1",
    "fd12:3456::1",
    "::ffff:10.0.0.1",
    "2002:0a00:0001::1",
    "64:ff9b::0a00:0001",
    "198.18.0.1",
]
LOOPBACK = ["127.0.0.1", "127.8.8.8", "::1", "::ffff:127.0.0.1", "64:ff9b::7f00:1"]
LOOPBACK += ["::ffff:0:127.0.0.1"]
PUBLIC = ["8.8.8.8", "1.1.1.1", "2606:4700:4700::1111", "::ffff:8.8.8.8"]


@pytest.mark.parametrize("ip", RESERVED)
def test_reserved_addresses_are_forbidden_with_every_setting(ip: str) -> None:
    assert not ALLOW_ALL.allows(ip_address(ip))


@pytest.mark.parametrize("ip", [*PRIVATE, *LOOPBACK])
def test_private_addresses_must_be_allowed(ip: str) -> None:
    """W-11."""
    assert not ALLOW_NONE.allows(ip_address(ip))
    assert ALLOW_ALL.allows(ip_address(ip))
    assert AddressPolicy().allows(ip_address(ip)) is (ip in LOOPBACK)


@pytest.mark.parametrize("ip", PUBLIC)
def test_public_addresses_are_always_allowed(ip: str) -> None:
    assert ALLOW_NONE.allows(ip_address(ip))


def test_only_configured_networks_are_allowed() -> None:
    policy = AddressPolicy((ip_network("10.1.0.0/16"), ip_network("fd12::/16")))
    assert policy.allows(ip_address("10.1.2.3"))
    assert policy.allows(ip_address("::ffff:10.1.2.3"))
    assert policy.allows(ip_address("fd12::5"))
    assert not policy.allows(ip_address("10.2.0.1"))
    assert not policy.allows(ip_address("127.0.0.1"))


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
