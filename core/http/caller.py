"""Who makes a request: the address behind trusted proxies, the tokens, and the key for limits."""

import ipaddress
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit
from uuid import UUID

from starlette.requests import HTTPConnection
from starlette.types import ASGIApp, Receive, Scope, Send

from core.config.parsers import is_loopback
from core.config.settings import Settings

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


def get_client_ip(connection: HTTPConnection, trusted: Sequence[Network]) -> str:
    """Return the address of the nearest hop that is not one of the `trusted` proxies.

    Hops are read from right to left, because an untrusted hop can forge everything to its left
    (S11). A proxy may set one of the two headers and forward the other unchanged; if they
    differ, both are ignored.
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


async def hit_gateway_limits(request: HTTPConnection, organization_id: UUID, user_id: UUID) -> None:
    """Count a call to a gateway for the organization, the user and the address. Raises TooMany.

    A user can create any number of organizations, and must not scan ports with them.
    """
    address = get_client_ip(request, request.state.settings.trusted_proxies)
    limits = request.state.rate_limits
    await limits.gateway_calls_by_address.hit(rate_limit_network(address))
    await limits.gateway_calls.hit(f"user {user_id}")
    await limits.gateway_calls.hit(str(organization_id))


ADVICE = (
    "Add the address of the proxy to TRUSTED_PROXIES. Otherwise all callers behind it count as one"
    " address in rate limits, and sessions show its address."
)

log = logging.getLogger("mission_control")


def find_proxy_problem(settings: Settings) -> str | None:
    """Return a sentence if the address shows that there is a proxy, and none is trusted.

    A stored address of this machine shows none: its port can be that of an earlier start.
    """
    address = urlsplit(settings.base_url)
    default_port = 443 if address.scheme == "https" else 80
    port = default_port if address.port is None else address.port
    is_local = is_loopback(address.hostname or "") and not address.path
    is_direct = address.scheme == "http" and (port == settings.port or is_local)
    if settings.trusted_proxies or is_direct:
        return None
    cause = f"The address {settings.base_url} shows a proxy, and TRUSTED_PROXIES is empty."
    return f"{cause} {ADVICE}"


class ProxyCheckMiddleware:
    """Logs once that a peer which is not trusted sends the headers of a proxy."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app
        self._is_reported = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Run the application."""
        if scope["type"] == "http" and not self._is_reported:
            self._check(HTTPConnection(scope))
        await self.app(scope, receive, send)

    def _check(self, connection: HTTPConnection) -> None:
        names = [one for one in ("Forwarded", "X-Forwarded-For") if one in connection.headers]
        peer = connection.client.host if connection.client else ""
        trusted = connection.state.settings.trusted_proxies
        if names and not is_trusted(peer, trusted):
            self._is_reported = True
            log.warning("%s sends the header %s and is not trusted. %s", peer, names[0], ADVICE)


AGENT_TOKEN_HEADER = "X-Agent-Token"  # noqa: S105 - the name of a header


def get_agent_token(connection: HTTPConnection) -> str:
    """Return the token in the header for agents, or an empty text."""
    return connection.headers.get(AGENT_TOKEN_HEADER, "").strip()


def get_bearer_token(connection: HTTPConnection) -> str:
    """Return the bearer token (RFC 6750), or an empty text."""
    scheme, _, token = connection.headers.get("Authorization", "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else ""


@dataclass(frozen=True)
class Caller:
    """A user with all sessions and tokens, an agent, or the network of an unknown caller."""

    key: str
    group: str = ""  # of callers that also have a limit in common
    is_user_with_token: bool = False  # whose requests do not take the slots of their pages

    @classmethod
    def from_user(cls, user_id: UUID, *, with_token: bool) -> "Caller":
        """Return the caller of a user, who uses a token, or else a page."""
        return cls(f"user {user_id}", is_user_with_token=with_token)

    @classmethod
    def from_agent(cls, agent_id: UUID, organization_id: UUID) -> "Caller":
        """Return the caller of an agent. The agents of an organization are a group."""
        return cls(f"agent {agent_id}", f"agents of {organization_id}")

    @classmethod
    def from_network(cls, network: str) -> "Caller":
        """Return the caller of requests without a valid credential."""
        return cls(f"network {network}")
