"""IP addresses that this server may connect to (W-11)."""

import asyncio
import socket
import threading
from ipaddress import ip_address, ip_network
from typing import Any

import pytest

from core.http import address_policy
from core.http.address_policy import AddressPolicy, resolve_host

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
    "64:ff9b:1::808:808",  # as /96; other lengths of the prefix follow
    "64:ff9b:1:a00:0:100::",
    "64:ff9b:1:ff0a:0:1::",
    "64:ff9b:1:ff:0a:0:100:0",
    "2001:4860::5efe:a9fe:a9fe",
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
    "2001:4860::5efe:10.0.0.1",  # ISATAP
    "2001:4860::200:5efe:10.0.0.1",
    "2002:808:808::5efe:10.0.0.1",  # within 6to4
    "fd12::5efe:8.8.8.8",
    "2001:0:a00:1::f7f7:f7f7",  # a Teredo server, with the client 8.8.8.8
    "2001:0:808:808::f5ff:fffe",  # the client 10.0.0.1
]
LOOPBACK = ["127.0.0.1", "127.8.8.8", "::1", "::ffff:127.0.0.1", "64:ff9b::7f00:1"]
LOOPBACK += ["::ffff:0:127.0.0.1"]
PUBLIC = ["8.8.8.8", "1.1.1.1", "2606:4700:4700::1111", "::ffff:8.8.8.8", "64:ff9b::808:808"]
PUBLIC += ["2002:808:808::1", "2001:4860::5efe:8.8.8.8", "2001:0:808:808::f7f7:f7f7"]


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


async def test_a_domain_without_an_answer_leaves_threads_to_the_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    loop, is_asked, is_over = asyncio.get_running_loop(), asyncio.Event(), threading.Event()

    def ask(name: str, port: int) -> Any:
        if name.endswith(".silent.example"):
            loop.call_soon_threadsafe(is_asked.set)
            is_over.wait()
        return [(socket.AF_INET, None, None, "", ("8.8.8.8", port))]

    monkeypatch.setattr(address_policy, "_ask_name_service", ask)
    names = [f"host{number}.silent.example" for number in range(100)]
    asked = [asyncio.create_task(resolve_host(one, 443, ALLOW_NONE)) for one in names]
    try:
        await is_asked.wait()
        assert await resolve_host("www.other.test", 443, ALLOW_NONE) == [ip_address("8.8.8.8")]
    finally:
        is_over.set()
        await asyncio.gather(*asked, return_exceptions=True)
    assert await resolve_host("silent.example", 443, ALLOW_NONE) == [ip_address("8.8.8.8")]
