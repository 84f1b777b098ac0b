"""Which addresses we go to: a gateway's, and no place that only our own machine may reach.

An admin of any organization can name an address, so it must not lead into what lies around this
server. The name is resolved here, every address is looked at, and the connection is made to what
was looked at: a name that leads elsewhere a moment later changes nothing.
"""

import asyncio
import socket
from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address, ip_network
from typing import TypeAlias
from urllib.parse import SplitResult, urlsplit

from kit.setting_values import THIS_MACHINE, Network
from openclaw.errors import GatewayError, Trouble

IP: TypeAlias = IPv4Address | IPv6Address

NEVER = tuple(
    map(
        ip_network,
        (
            "0.0.0.0/8",
            "169.254.0.0/16",  # link-local, and there the metadata of most clouds
            "100.100.100.200/32",  # Alibaba's metadata
            "168.63.129.16/32",  # Azure's
            "192.0.0.192/32",  # Oracle's
            "224.0.0.0/3",  # multicast, and what is reserved
            "::/128",
            "fe80::/10",
            "fec0::/10",
            "ff00::/8",
            "fd00:ec2::/32",  # Amazon's metadata
            "fd20:ce::/32",  # Google's
        ),
    )
)
"""Addresses that no setting opens."""

NAT64 = (IPv6Network("64:ff9b::/96"), IPv6Network("64:ff9b:1::/48"))
LONGEST_URL = 500  # characters
PORTS = {"ws": 80, "wss": 443}


@dataclass(frozen=True)
class Address:
    """Where a gateway is: the parts of its URL."""

    url: str
    host: str
    port: int
    is_secure: bool

    @property
    def is_loopback(self) -> bool:
        """Whether it names this very machine."""
        if self.host == "localhost":
            return True
        try:
            return ip_address(self.host).is_loopback
        except ValueError:
            return False


@dataclass(frozen=True)
class Guard:
    """Says where we may go: to public addresses, and to these networks that are not."""

    private: Sequence[Network] = THIS_MACHINE

    def allows(self, ip: IP) -> bool:
        """Say whether we may connect to an address, whatever it is wrapped in."""
        inner = _unwrapped(ip)
        if any(inner in network or ip in network for network in NEVER):
            return False
        return inner.is_global or any(inner in network for network in self.private)


def parse(url: str) -> Address:
    """Take a URL apart. Raises GatewayError, with a sentence that says what is wrong with it."""
    parts = _split(url)
    if parts.scheme not in PORTS:
        raise _invalid("The address must begin with ws:// or wss://.")
    if not parts.hostname:
        raise _invalid("The address names no host.")
    if parts.username is not None or parts.password is not None:
        raise _invalid("The address must not hold a name or a password: the token has its field.")
    if parts.query or parts.fragment:
        raise _invalid("The address must end with its path: the token has its field.")
    port = parts.port if parts.port is not None else PORTS[parts.scheme]
    if port == 0:
        raise _invalid("The address names port 0, where nobody answers.")
    return Address(url, parts.hostname, port, parts.scheme == "wss")


async def resolve(address: Address, guard: Guard) -> Sequence[IP]:
    """Return the addresses behind a name to which we may go. Raises GatewayError."""
    loop = asyncio.get_running_loop()
    try:
        found = await loop.getaddrinfo(address.host, address.port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        reason = f"The name {address.host} leads to no address."
        raise GatewayError(Trouble.DNS, reason) from None
    ips = dict.fromkeys(ip_address(str(place[0])) for *_, place in found)
    allowed = [ip for ip in ips if guard.allows(ip)]
    if not allowed:
        reason = f"{address.host} is an address that Mission Control does not go to."
        raise GatewayError(Trouble.ADDRESS_FORBIDDEN, reason)
    return allowed


def _split(url: str) -> SplitResult:
    if len(url) > LONGEST_URL or not (url.isascii() and url.isprintable()) or " " in url:
        raise _invalid(f"The address must be plain letters without blanks, {LONGEST_URL} at most.")
    try:
        parts = urlsplit(url)
        _ = parts.port  # which is read only now
    except ValueError:
        raise _invalid("The address is none.") from None
    return parts


def _unwrapped(ip: IP) -> IP:
    """Return the address of version 4 that one of version 6 stands for, if it does."""
    if isinstance(ip, IPv4Address):
        return ip
    if any(ip in network for network in NAT64) or ip in IPv6Network("::/96"):
        low = IPv4Address(int(ip) & 0xFFFFFFFF)
        return ip if int(ip) <= 1 else low
    teredo = ip.teredo
    return ip.ipv4_mapped or ip.sixtofour or (teredo[1] if teredo else ip)


def _invalid(reason: str) -> GatewayError:
    return GatewayError(Trouble.ADDRESS_INVALID, reason)
