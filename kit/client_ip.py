"""From which address a caller comes, if some of the hops between are ours."""

import ipaddress
from collections.abc import Sequence

from starlette.requests import HTTPConnection

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


def client_ip(connection: HTTPConnection, trusted: Sequence[Network]) -> str:
    """Return the caller's address: the nearest hop that is not one of the `trusted` proxies.

    The hops are read from the nearest to the farthest, since whoever is not trusted may have
    written anything to the left of itself (contract, S11). A proxy that writes one of the two
    headers may pass the other one on as it came: where they differ, neither is believed.
    """
    peer = connection.client.host if connection.client else "unknown"
    told = {_nearest([*hops, peer], trusted) for hops in _forwarded(connection)}
    return told.pop() if len(told) == 1 else peer


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


def _nearest(hops: Sequence[str], trusted: Sequence[Network]) -> str:
    """Return the last hop that is not trusted, or the first if all of them are."""
    return next((hop for hop in reversed(hops) if not _is_trusted(hop, trusted)), hops[0])


def _forwarded(connection: HTTPConnection) -> list[list[str]]:
    """Return the hops that each of the two headers tells of, if it tells of any."""
    standard = [_for(element) for element in _elements(connection, "Forwarded")]
    usual = [_without_port(hop) for hop in _elements(connection, "X-Forwarded-For")]
    return [hops for hops in ([hop for hop in standard if hop], usual) if hops]


def _elements(connection: HTTPConnection, header: str) -> list[str]:
    values = connection.headers.getlist(header)
    return [one.strip() for value in values for one in value.split(",") if one.strip()]


def _for(element: str) -> str:
    """Read `for=` of one element of Forwarded (RFC 7239): an address, maybe quoted, with a port."""
    for pair in element.split(";"):
        name, _, value = pair.strip().partition("=")
        if name.lower() == "for":
            return _without_port(value.strip('"'))
    return ""


def _without_port(address: str) -> str:
    if address.startswith("["):
        return address[1:].partition("]")[0]
    return address.partition(":")[0] if address.count(":") == 1 else address


def _is_trusted(hop: str, trusted: Sequence[Network]) -> bool:
    try:
        address = ipaddress.ip_address(hop)
    except ValueError:
        return False
    return any(address in network for network in trusted)
