"""Determine the IP address of a caller behind trusted proxies."""

import ipaddress
from collections.abc import Sequence
from uuid import UUID

from starlette.requests import HTTPConnection

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


def get_client_ip(connection: HTTPConnection, trusted: Sequence[Network]) -> str:
    """Return the address of the nearest hop that is not one of the `trusted` proxies.

    Hops are read from right to left, because an untrusted hop can forge everything to its left
    (contract, S11). A proxy may set one of the two headers and forward the other unchanged; if they
    differ, both are ignored.
    """
    peer = connection.client.host if connection.client else "unknown"
    addresses = {_nearest_untrusted([*hops, peer], trusted) for hops in _forwarded_hops(connection)}
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


def _nearest_untrusted(hops: Sequence[str], trusted: Sequence[Network]) -> str:
    """Return the last untrusted hop, or the first hop if all are trusted."""
    return next((hop for hop in reversed(hops) if not is_trusted(hop, trusted)), hops[0])


def _forwarded_hops(connection: HTTPConnection) -> list[list[str]]:
    """Return the hops of each of the two headers that is present."""
    standard = [_for(element) for element in _elements(connection, "Forwarded")]
    usual = [_without_port(hop) for hop in _elements(connection, "X-Forwarded-For")]
    return [hops for hops in ([hop for hop in standard if hop], usual) if hops]


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


def hit_gateway_limits(request: HTTPConnection, organization_id: UUID, user_id: UUID) -> None:
    """Count a call to a gateway for the organization, the user and the address. Raises TooMany.

    A user can create any number of organizations, and must not scan ports with them.
    """
    address = get_client_ip(request, request.state.settings.trusted_proxies)
    limits = request.state.rate_limits
    limits.gateway_calls_by_address.hit(rate_limit_network(address))
    limits.gateway_calls.hit(f"user {user_id}")
    limits.gateway_calls.hit(str(organization_id))
