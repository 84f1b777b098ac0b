"""The address of a client behind trusted proxies, and the key for its rate limits."""

import ipaddress
from collections.abc import Sequence

from starlette.requests import HTTPConnection

from core.config.parsers import Network


def get_client_ip(connection: HTTPConnection, trusted: Sequence[Network]) -> str:
    """Return the address of the nearest hop that is not one of the `trusted` proxies.

    Hops are read from right to left, because an untrusted hop can forge everything to its left. A
    proxy may set one of the two headers and forward the other unchanged; if they differ, both are
    ignored.
    """
    peer = connection.client.host if connection.client else "unknown"
    standard = [_for(element) for element in _elements(connection, "Forwarded")]
    usual = [_without_port(hop) for hop in _elements(connection, "X-Forwarded-For")]
    addresses = set()
    for forwarded in ([hop for hop in standard if hop], usual):
        if forwarded:
            hops = [*forwarded, peer]
            nearest = (hop for hop in reversed(hops) if not is_trusted(hop, trusted))
            addresses.add(next(nearest, hops[0]))  # the first hop if all are trusted
    return addresses.pop() if len(addresses) == 1 else peer


def rate_limit_network(ip: str) -> str:
    """Return the key for rate limits: the IPv4 address, or the /64 network of an IPv6 address."""
    try:
        address = ipaddress.ip_address(ip)
    except ValueError:
        return ip
    if address.version == 4:
        return ip
    if address.ipv4_mapped:
        return str(address.ipv4_mapped)
    return str(ipaddress.IPv6Network((int(address) >> 64 << 64, 64)))


def _elements(connection: HTTPConnection, header: str) -> list[str]:
    values = connection.headers.getlist(header)
    return [one.strip() for value in values for one in value.split(",") if one.strip()]


def _for(element: str) -> str:
    """Parse `for=` of one element of Forwarded (RFC 7239): an address, optionally with a port."""
    for pair in element.split(";"):
        name, _, value = pair.strip().partition("=")
        if name.lower() == "for":
            return _without_port(value.strip('"'))
    return ""


def _without_port(address: str) -> str:
    if address.startswith("["):
        return address[1:].partition("]")[0]
    return address.partition(":")[0] if address.count(":") == 1 else address


def is_trusted(hop: str, trusted: Sequence[Network]) -> bool:
    """Return whether an address is that of a trusted proxy."""
    try:
        address = ipaddress.ip_address(hop)
    except ValueError:
        return False
    return any(address in network for network in trusted)
