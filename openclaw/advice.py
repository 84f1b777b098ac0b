"""What a person is told about each trouble: one sentence, and the one command that helps."""

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from openclaw.addresses import Address, parse
from openclaw.errors import GatewayError, Trouble
from openclaw.protocol import PROTOCOLS

INSIDE_A_CONTAINER = Path("/.dockerenv")
STATUS = "openclaw gateway status"
START = "openclaw gateway run"  # `status` only looks
TO_READ_IT = 'grep token "$(openclaw config file)"'  # `openclaw config get` hides it


class Advice(NamedTuple):
    """A sentence, and a command to run on the gateway's machine, if one helps."""

    sentence: str
    command: str | None = None


SAID: Mapping[Trouble, Advice] = {
    Trouble.ADDRESS_INVALID: Advice("{message}"),
    Trouble.ADDRESS_FORBIDDEN: Advice(
        "{host} is in a private network. Whoever runs this server can allow it:"
        " GATEWAY_ALLOW_PRIVATE."
    ),
    Trouble.DNS: Advice("No name server knows {host}: look at how it is spelled."),
    Trouble.REFUSED: Advice(
        "Nobody listens at {host}, port {port}: start the gateway, or correct the port.", START
    ),
    Trouble.UNREACHABLE: Advice(
        "{host}, port {port} does not answer: a firewall may be in between, or it is switched off.",
        STATUS,
    ),
    Trouble.TLS: Advice("{message} Use a certificate that is trusted here, or allow this one."),
    Trouble.NO_TLS: Advice("{message} Begin the address with ws://, not with wss://."),
    Trouble.NOT_A_GATEWAY: Advice(
        "Somebody answers at {host}, port {port}, but it is no gateway. {message}"
    ),
    Trouble.PROXY_UNTRUSTED: Advice(
        "The gateway does not trust the proxy in front of it: name the proxy's address there.",
        "openclaw config set gateway.trustedProxies '[\"<address of the proxy>\"]' --strict-json",
    ),
    Trouble.ORIGIN_REFUSED: Advice(
        "A proxy adds an Origin header that the gateway refuses: have the proxy leave it out.",
    ),
    Trouble.PROTOCOL_MISMATCH: Advice(
        "The gateway speaks protocol {spoken}, and we speak {ours}: update whichever is older.",
        "openclaw update",
    ),
    Trouble.TOKEN_MISSING: Advice(
        "The gateway wants a token: enter the one that its config names.",
        TO_READ_IT,
    ),
    Trouble.TOKEN_MISMATCH: Advice(
        "The token is not the gateway's: enter the one that its config names.",
        TO_READ_IT,
    ),
    Trouble.DEVICE_REQUIRED: Advice(
        "The gateway wants to know our device: switch device pairing on for it, here.",
    ),
    Trouble.DEVICE_REFUSED: Advice(
        "The gateway does not accept our device's signature:"
        " remove the device there, and pair again.",
        "openclaw devices list",
    ),
    Trouble.PAIRING_REQUIRED: Advice(
        "The gateway does not know this Mission Control yet: approve it there, once.",
        "openclaw devices approve {request}",
    ),
    Trouble.MISSING_SCOPE: Advice(
        "The gateway lets us in without these rights: {scopes}.", "openclaw devices list"
    ),
    Trouble.STARTING_UP: Advice("The gateway is starting. It will be there in a moment."),
    Trouble.UNAVAILABLE: Advice("The gateway is busy with itself. Try again in a moment."),
    Trouble.RATE_LIMITED: Advice(
        "The gateway has seen too many wrong tokens, and lets nobody try for a moment."
    ),
    Trouble.RESTARTING: Advice("The gateway restarts. It will be there in a moment."),
    Trouble.CLOSED: Advice("The gateway closed the connection without a word.", STATUS),
    Trouble.TIMEOUT: Advice("{host}, port {port} is open, but nobody speaks there.", STATUS),
    Trouble.TOO_LARGE: Advice("The gateway sent more than 25 MiB at once.", STATUS),
    Trouble.MALFORMED: Advice("{message} It is no gateway, or a broken one.", STATUS),
    Trouble.REJECTED: Advice("The gateway says no: {message}", STATUS),
}


def advise(error: GatewayError, url: str) -> Advice:
    """Say what a person can do about a trouble, with the names of this very case."""
    address = _address(url)
    sentence, command = SAID[error.trouble]
    known = {
        "message": error.message,
        "host": address.host if address else "the host",
        "port": address.port if address else "the port",
        "spoken": error.spoken or "another",
        "ours": " or ".join(map(str, PROTOCOLS)),
        "request": error.pairing_request or "--latest",
        "scopes": ", ".join(error.missing_scopes) or "those we need",
    }
    told = sentence.format_map(known)
    return Advice(told + _in_a_container(error, address), command and command.format_map(known))


def _address(url: str) -> Address | None:
    try:
        return parse(url)
    except GatewayError:
        return None


def _in_a_container(error: GatewayError, address: Address | None) -> str:
    """Explain the commonest surprise of containers, where it is one."""
    if error.trouble is not Trouble.REFUSED or not (address and address.is_loopback):
        return ""
    if not INSIDE_A_CONTAINER.exists():
        return ""
    return (
        f" Inside a container {address.host} is the container itself:"
        " the machine around it is host.docker.internal."
    )
