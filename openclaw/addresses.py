"""Parse addresses of gateways, and resolve them to IP addresses that are allowed."""

from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import ip_address
from urllib.parse import SplitResult, urlsplit

from core.http.address_policy import (
    AddressPolicy,
    ForbiddenHost,
    IpAddress,
    UnknownHost,
    can_be_allowed,
    resolve_host,
)
from core.text import N_
from openclaw.errors import ErrorKind, GatewayError

MAX_URL_LENGTH = 500  # characters
DEFAULT_PORTS = {"ws": 80, "wss": 443}


@dataclass(frozen=True)
class GatewayAddress:
    """The parts of a gateway URL."""

    url: str
    host: str
    port: int
    is_secure: bool

    @property
    def path(self) -> str:
        """The path of the URL."""
        return urlsplit(self.url).path or "/"

    @property
    def is_loopback(self) -> bool:
        """Whether it is a loopback address of this machine."""
        if self.host == "localhost":
            return True
        try:
            return ip_address(self.host).is_loopback
        except ValueError:
            return False


def parse_address(url: str) -> GatewayAddress:
    """Parse a gateway URL. Raises GatewayError with a sentence that explains the error."""
    parts = _split_url(url)
    if parts.scheme not in DEFAULT_PORTS:
        raise _invalid_address("scheme", N_("The address must begin with ws:// or wss://."))
    if not parts.hostname:
        raise _invalid_address("host", N_("The address does not contain a host."))
    if parts.username is not None or parts.password is not None:
        reason = N_(
            "The address must not contain a name or a password: the token has its own field."
        )
        raise _invalid_address("password", reason)
    if parts.query or parts.fragment:
        reason = N_("The address must end with its path: the token has its own field.")
        raise _invalid_address("query", reason)
    port = parts.port if parts.port is not None else DEFAULT_PORTS[parts.scheme]
    if port == 0:
        raise _invalid_address("port", N_("Port 0 is not a valid port."))
    return GatewayAddress(url, parts.hostname, port, parts.scheme == "wss")


async def resolve_address(address: GatewayAddress, policy: AddressPolicy) -> Sequence[IpAddress]:
    """Resolve a host name to the allowed IP addresses. Raises GatewayError."""
    try:
        return await resolve_host(address.host, address.port, policy)
    except UnknownHost as error:
        reason = f"The name {address.host} has no address."
        if error.is_timeout:
            reason = f"The address of {address.host} is unknown: the name server does not answer."
        raise GatewayError(ErrorKind.DNS, reason) from None
    except ForbiddenHost as error:
        reason = f"Mission Control does not connect to the address of {address.host}."
        details = {"setting": _get_allowing_setting(policy, error.ips)}
        raise GatewayError(ErrorKind.ADDRESS_FORBIDDEN, reason, details=details) from None


def _get_allowing_setting(policy: AddressPolicy, ips: Sequence[IpAddress]) -> str:
    """Return the setting of this server that allows one of the addresses, or "" if none does.

    Who may not use private addresses is not told which one a host name has.
    """
    ip = next(filter(can_be_allowed, ips), None)
    if ip is None:
        return ""
    if policy.is_public_only:
        return "GATEWAY_PRIVATE_FOR_ALL=true"
    return "GATEWAY_ALLOW_PRIVATE=" + ",".join(map(str, [*policy.allowed_private, ip]))


def _split_url(url: str) -> SplitResult:
    if len(url) > MAX_URL_LENGTH or not (url.isascii() and url.isprintable()) or " " in url:
        reason = N_(
            "The address must have only ASCII characters, no spaces, and at most 500 characters."
        )
        raise _invalid_address("characters", reason)
    try:
        parts = urlsplit(url)
        _ = parts.port  # validated on access
    except ValueError:
        raise _invalid_address("malformed", N_("This is not an address.")) from None
    return parts


def _invalid_address(cause: str, reason: str) -> GatewayError:
    return GatewayError(ErrorKind.ADDRESS_INVALID, reason, details={"cause": cause})
