"""From which address a caller comes, if some of the hops between are ours."""

import ipaddress
from collections.abc import Sequence

from starlette.requests import HTTPConnection

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


def client_ip(connection: HTTPConnection, trusted: Sequence[Network]) -> str:
    """Return the caller's address: the nearest hop that is not one of the `trusted` proxies.

    The hops are read from the nearest to the farthest, since whoever is not trusted may have
    written anything to the left of itself (contract, S11).
    """
    peer = connection.client.host if connection.client else "unknown"
    hops = [*_forwarded(connection), peer]
    for hop in reversed(hops):
        if not _is_trusted(hop, trusted):
            return hop
    return hops[0]


def household(ip: str) -> str:
    """Return what limits count an address as: itself, or the /64 that one customer has of IPv6."""
    try:
        address = ipaddress.ip_address(ip)
    except ValueError:
        return ip
    if address.version == 4:
        return ip
    if address.ipv4_mapped:
        return str(address.ipv4_mapped)
    return str(ipaddress.IPv6Network((int(address) >> 64 << 64, 64)))


def _forwarded(connection: HTTPConnection) -> list[str]:
    standard = connection.headers.getlist("Forwarded")
    if standard:
        return [hop for value in standard for hop in map(_for, value.split(",")) if hop]
    usual = connection.headers.getlist("X-Forwarded-For")
    return [hop.strip() for value in usual for hop in value.split(",") if hop.strip()]


def _for(element: str) -> str:
    """Read `for=` of one element of Forwarded (RFC 7239): an address, maybe quoted, with a port."""
    for pair in element.split(";"):
        name, _, value = pair.strip().partition("=")
        if name.lower() == "for":
            address = value.strip('"')
            if address.startswith("["):
                return address[1:].partition("]")[0]
            return address.partition(":")[0] if address.count(":") == 1 else address
    return ""


def _is_trusted(hop: str, trusted: Sequence[Network]) -> bool:
    try:
        address = ipaddress.ip_address(hop)
    except ValueError:
        return False
    return any(address in network for network in trusted)
