"""Restrict which addresses this server connects to, to prevent server-side request forgery.

Users enter addresses, so they must not lead into the internal network of this server. A host name
is resolved once, every IP address is checked, and the connection is made to a checked address, so
that a later change of the DNS record has no effect.
"""

import asyncio
import socket
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Any, TypeAlias
from weakref import WeakValueDictionary

from core.config.parsers import LOOPBACK_NETWORKS, Network

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
            "64:ff9b:1::/48",  # local NAT64 (RFC 8215): where the IPv4 address is, is not known
        ),
    )
)
"""Networks that no setting can allow."""

TRANSLATED = (  # by NAT64, and by stateless translation (RFC 6052, RFC 2765)
    IPv6Network("64:ff9b::/96"),
    IPv6Network("::ffff:0:0:0/96"),
)
ISATAP_IDENTIFIERS = (0x00005EFE, 0x02005EFE)  # before the IPv4 address (RFC 5214)
RESOLVE_TIMEOUT = 5.0  # seconds
CONNECT_TIMEOUT = 5.0  # seconds for each IP address
MAX_ADDRESSES = 4  # of one host that are tried
RESOLVERS = ThreadPoolExecutor(32, "resolver")
"""Threads of their own: a name service that does not answer must not delay passwords and files."""
MAX_OF_DOMAIN = 8  # threads for names of one domain, whose name service may not answer
_slots: WeakValueDictionary[str, asyncio.Semaphore] = WeakValueDictionary()
"""The free threads of each domain for which one is used."""


class UnknownHost(Exception):
    """A host name has no address, or the name service does not answer in time."""

    def __init__(self, *, is_timeout: bool = False) -> None:
        super().__init__()
        self.is_timeout = is_timeout


class ForbiddenHost(Exception):
    """The policy allows no address of a host; `ips` are those that it has."""

    def __init__(self, ips: Sequence[IpAddress] = ()) -> None:
        super().__init__()
        self.ips = ips


@dataclass(frozen=True)
class AddressPolicy:
    """Allow public addresses and the listed private networks.

    `is_public_only`: for this caller, the setting with the private networks does not apply.
    """

    allowed_private: Sequence[Network] = LOOPBACK_NETWORKS
    is_public_only: bool = False

    def allows(self, ip: IpAddress) -> bool:
        """Return whether connections to an IP address are allowed; embedded IPv4 is checked too."""
        if not can_be_allowed(ip):
            return False
        return all(
            one.is_global or any(one in network for network in self.allowed_private)
            for one in _list_checked(ip)
        )


def build_service_policy(host: str, allowed_private: Sequence[Network]) -> AddressPolicy:
    """Return the policy for a service that a setting of the operator names by its host.

    An IP address in the setting, and this machine, are allowed by being named; what a host name
    stands for is decided by the name service, so that its private addresses need the other setting.
    """
    try:
        named: Sequence[Network] = (ip_network(host.strip("[]")),)
    except ValueError:
        named = LOOPBACK_NETWORKS if host.lower() == "localhost" else ()
    return AddressPolicy((*allowed_private, *named))


def can_be_allowed(ip: IpAddress) -> bool:
    """Return whether a setting can allow connections to an IP address."""
    checked = (ip, *_list_checked(ip))
    return not any(one in network for one in checked for network in BLOCKED_NETWORKS)


async def resolve_host(host: str, port: int, policy: AddressPolicy) -> Sequence[IpAddress]:
    """Resolve a host name once to its allowed IP addresses. Raises UnknownHost, ForbiddenHost."""
    try:
        async with asyncio.timeout(RESOLVE_TIMEOUT):
            found = await _look_up(host, port)
    except TimeoutError:
        raise UnknownHost(is_timeout=True) from None
    except (OSError, UnicodeError):
        raise UnknownHost from None
    ips = dict.fromkeys(ip_address(str(place[0])) for *_, place in found)
    allowed = [ip for ip in ips if policy.allows(ip)]
    if not allowed:
        raise ForbiddenHost(list(ips))
    return allowed


async def _look_up(host: str, port: int) -> Sequence[Any]:
    """Ask the name service in a thread, which can need longer than anybody waits for it."""
    domain = ".".join(host.lower().rstrip(".").split(".")[-2:])
    slots = _slots.setdefault(domain, asyncio.Semaphore(MAX_OF_DOMAIN))
    await slots.acquire()
    loop = asyncio.get_running_loop()
    asked = RESOLVERS.submit(_ask_name_service, host, port)

    def release(_: object) -> None:
        with suppress(RuntimeError):  # the loop is closed
            loop.call_soon_threadsafe(slots.release)

    asked.add_done_callback(release)
    return await asyncio.wrap_future(asked)


async def connect_socket(ip: IpAddress, port: int) -> socket.socket:
    """Connect to a checked IP address. Raises OSError, also when nothing answers in time."""
    family = socket.AF_INET6 if ip.version == 6 else socket.AF_INET
    open_socket = socket.socket(family, socket.SOCK_STREAM)
    open_socket.setblocking(False)
    try:
        async with asyncio.timeout(CONNECT_TIMEOUT):
            await asyncio.get_running_loop().sock_connect(open_socket, (str(ip), port))
    except BaseException:
        open_socket.close()
        raise
    return open_socket


def _ask_name_service(host: str, port: int) -> Sequence[Any]:
    return socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)


def _list_checked(ip: IpAddress) -> Sequence[IpAddress]:
    """Return the IPv4 addresses embedded in an IPv6 address, or the address itself.

    A packet to an ISATAP address may go to either, so both are checked.
    """
    if isinstance(ip, IPv4Address):
        return [ip]
    low = IPv4Address(int(ip) & 0xFFFFFFFF)
    if any(ip in network for network in TRANSLATED) or ip in IPv6Network("::/96"):
        return [ip if int(ip) <= 1 else low]
    is_isatap = (int(ip) >> 32) & 0xFFFFFFFF in ISATAP_IDENTIFIERS
    outer = ip.teredo or [ip.ipv4_mapped or ip.sixtofour or ip]
    return [*outer, low] if is_isatap else [*outer]
