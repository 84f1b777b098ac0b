"""Where we go, and where nobody can send us (W-11)."""

from ipaddress import ip_address, ip_network
from typing import Any

import pytest

from openclaw import (
    Address,
    GatewayError,
    Guard,
    Target,
    Trouble,
    connect,
    dialing,
    parse,
)
from openclaw.addresses import resolve
from tests.openclaw.fake import TOKEN, Fake

EVERYTHING = Guard((ip_network("0.0.0.0/0"), ip_network("::/0")))
NOTHING = Guard(())

NEVER = [
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
PUBLIC = ["8.8.8.8", "1.1.1.1", "2606:4700:4700::1111", "::ffff:8.8.8.8"]


@pytest.mark.parametrize("ip", NEVER)
def test_some_addresses_are_opened_by_no_setting(ip: str) -> None:
    assert not EVERYTHING.allows(ip_address(ip))


@pytest.mark.parametrize("ip", [*PRIVATE, *LOOPBACK])
def test_what_is_not_public_has_to_be_allowed(ip: str) -> None:
    """W-11."""
    assert not NOTHING.allows(ip_address(ip))
    assert EVERYTHING.allows(ip_address(ip))
    assert Guard().allows(ip_address(ip)) is (ip in LOOPBACK)


@pytest.mark.parametrize("ip", PUBLIC)
def test_what_is_public_is_open(ip: str) -> None:
    assert NOTHING.allows(ip_address(ip))


def test_only_the_networks_that_are_named_are_allowed() -> None:
    guard = Guard((ip_network("10.1.0.0/16"), ip_network("fd12::/16")))
    assert guard.allows(ip_address("10.1.2.3"))
    assert guard.allows(ip_address("::ffff:10.1.2.3"))
    assert guard.allows(ip_address("fd12::5"))
    assert not guard.allows(ip_address("10.2.0.1"))
    assert not guard.allows(ip_address("127.0.0.1"))


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
def test_an_address_that_is_none_is_refused_with_a_reason(url: str) -> None:
    with pytest.raises(GatewayError) as caught:
        parse(url)
    assert caught.value.trouble is Trouble.ADDRESS_INVALID
    assert caught.value.message.endswith(".")
    assert "secret" not in caught.value.message


@pytest.mark.parametrize(
    ("url", "host", "port", "is_secure"),
    [
        ("ws://127.0.0.1:18789", "127.0.0.1", 18789, False),
        ("wss://Gateway.Example", "gateway.example", 443, True),
        ("WS://gateway.example/path", "gateway.example", 80, False),
        ("ws://[::1]:18789/", "::1", 18789, False),
    ],
)
def test_an_address_is_taken_apart(url: str, host: str, port: int, is_secure: bool) -> None:
    assert parse(url) == Address(url, host, port, is_secure)


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "2130706433", "0x7f.1", "[::1]"])
async def test_every_way_to_write_an_address_is_looked_at(host: str) -> None:
    with pytest.raises(GatewayError) as caught:
        await resolve(parse(f"ws://{host}:18789"), NOTHING)
    assert caught.value.trouble is Trouble.ADDRESS_FORBIDDEN
    assert await resolve(parse(f"ws://{host}:18789"), Guard())


async def test_a_name_that_leads_nowhere_is_told() -> None:
    for host in ("no-such-name.invalid", "a" * 64 + ".example"):
        with pytest.raises(GatewayError) as caught:
            await resolve(parse(f"ws://{host}"), Guard())
        assert caught.value.trouble is Trouble.DNS


async def test_a_name_that_changes_its_mind_is_not_followed(
    gateway: Fake, monkeypatch: pytest.MonkeyPatch
) -> None:
    """W-11. What was looked at is what is connected to: the name is asked once."""
    asked: list[str] = []

    async def rebinding(address: Address, guard: Guard) -> Any:
        asked.append(address.host)
        found = "127.0.0.1" if len(asked) == 1 else "169.254.169.254"
        return [ip_address(found)]

    monkeypatch.setattr(dialing, "resolve", rebinding)
    async with await connect(Target(f"ws://evil.invalid:{gateway.port}", TOKEN)) as connection:
        assert connection.hello.protocol == 4
    assert asked == ["evil.invalid"]
