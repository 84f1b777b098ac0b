"""Restrict which addresses can be used as gateways, to prevent server-side request forgery.

An admin of any organization can enter an address, so it must not reach the internal network of this
server. The host name is resolved once, every IP address is checked, and the connection is made to a
checked address, so that a later change of the DNS record has no effect.
"""

import asyncio
import socket
from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address, ip_network
from typing import TypeAlias
from urllib.parse import SplitResult, urlsplit

from core.config.parsers import LOOPBACK_NETWORKS, Network
from openclaw.errors import ErrorKind, GatewayError

IpAddress: TypeAlias = IPv4Address | IPv6Address

BLOCKED_NETWORKS = tuple(
    map(
        ip_network,
        (
            "0.0.0.0/8",
            "169.254.0.0/16",  # link-local; metadata service of most clouds
            "100.100.100.200/32",  # metadata service of Alibaba
            "168.63.129.16/32",  # of Azure
            "192.0.0.192/32",  # of Oracle
            "224.0.0.0/3",  # multicast and reserved
            "::/128",
            "fe80::/10",
            "fec0::/10",
            "ff00::/8",
            "fd00:ec2::/32",  # metadata service of Amazon
            "fd20:ce::/32",  # of Google
        ),
    )
)
"""Networks that no setting can allow."""

TRANSLATED = (  # by NAT64, and by stateless translation (RFC 6052, RFC 8215, RFC 2765)
    *(IPv6Network("64:ff9b::/96"), IPv6Network("64:ff9b:1::/48")),
    IPv6Network("::ffff:0:0:0/96"),
)
MAX_URL_LENGTH = 500  # characters
DEFAULT_PORTS = {"ws": 80, "wss": 443}


@dataclass(frozen=True)
class GatewayAddress:
    """Hold the parts of a gateway URL."""

    url: str
    host: str
    port: int
    is_secure: bool

    @property
    def is_loopback(self) -> bool:
        """Whether it is a loopback address of this machine."""
        if self.host == "localhost":
            return True
        try:
            return ip_address(self.host).is_loopback
        except ValueError:
            return False


@dataclass(frozen=True)
class AddressPolicy:
    """Allow public addresses and the listed private networks."""

    allowed_private: Sequence[Network] = LOOPBACK_NETWORKS

    def allows(self, ip: IpAddress) -> bool:
        """Return whether connections to an IP address are allowed; embedded IPv4 is checked too."""
        inner = _embedded_ipv4(ip)
        if any(inner in network or ip in network for network in BLOCKED_NETWORKS):
            return False
        return inner.is_global or any(inner in network for network in self.allowed_private)


def parse_address(url: str) -> GatewayAddress:
    """Parse a gateway URL. Raises GatewayError with a sentence that explains the error."""
    parts = _split_url(url)
    if parts.scheme not in DEFAULT_PORTS:
        raise _invalid_address("The address must begin with ws:// or wss://.")
    if not parts.hostname:
        raise _invalid_address("The address names no host.")
    if parts.username is not None or parts.password is not None:
        raise _invalid_address(
            "The address must not hold a name or a password: the token has its field."
        )
    if parts.query or parts.fragment:
        raise _invalid_address("The address must end with its path: the token has its field.")
    port = parts.port if parts.port is not None else DEFAULT_PORTS[parts.scheme]
    if port == 0:
        raise _invalid_address("The address names port 0, where nobody answers.")
    return GatewayAddress(url, parts.hostname, port, parts.scheme == "wss")


async def resolve_address(address: GatewayAddress, policy: AddressPolicy) -> Sequence[IpAddress]:
    """Resolve a host name to the allowed IP addresses. Raises GatewayError."""
    loop = asyncio.get_running_loop()
    try:
        found = await loop.getaddrinfo(address.host, address.port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        reason = f"The name {address.host} leads to no address."
        raise GatewayError(ErrorKind.DNS, reason) from None
    ips = dict.fromkeys(ip_address(str(place[0])) for *_, place in found)
    allowed = [ip for ip in ips if policy.allows(ip)]
    if not allowed:
        reason = f"{address.host} is an address that Mission Control does not go to."
        raise GatewayError(ErrorKind.ADDRESS_FORBIDDEN, reason)
    return allowed


def _split_url(url: str) -> SplitResult:
    if len(url) > MAX_URL_LENGTH or not (url.isascii() and url.isprintable()) or " " in url:
        raise _invalid_address(
            f"The address must be plain letters without blanks, {MAX_URL_LENGTH} at most."
        )
    try:
        parts = urlsplit(url)
        _ = parts.port  # validated on access
    except ValueError:
        raise _invalid_address("The address is none.") from None
    return parts


def _embedded_ipv4(ip: IpAddress) -> IpAddress:
    """Return the IPv4 address embedded in an IPv6 address, or the address itself."""
    if isinstance(ip, IPv4Address):
        return ip
    if any(ip in network for network in TRANSLATED) or ip in IPv6Network("::/96"):
        low = IPv4Address(int(ip) & 0xFFFFFFFF)
        return ip if int(ip) <= 1 else low
    teredo = ip.teredo
    return ip.ipv4_mapped or ip.sixtofour or (teredo[1] if teredo else ip)


def _invalid_address(reason: str) -> GatewayError:
    return GatewayError(ErrorKind.ADDRESS_INVALID, reason)
