"""Provide a sentence and a helpful command for each error kind."""

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from openclaw.addresses import GatewayAddress, parse_address
from openclaw.capabilities import MIN_VERSION, UPDATE_COMMAND
from openclaw.errors import ErrorKind, GatewayError
from openclaw.protocol import PROTOCOLS

CONTAINER_MARKER = Path("/.dockerenv")
STATUS_COMMAND = "openclaw gateway status"
START_COMMAND = "openclaw gateway run"  # `status` does not start it
RESTART_COMMAND = "openclaw gateway restart"
CONFIG_COMMAND = "openclaw config validate"
SHOW_TOKEN_COMMAND = 'grep token "$(openclaw config file)"'  # noqa: S105 - `config get` masks it


RENEW_CA_COMMAND = (
    r"printf 'basicConstraints=critical,CA:TRUE\nkeyUsage=critical,keyCertSign,cRLSign\n"
    r"subjectKeyIdentifier=hash\n' | openssl x509 -in ca.pem -signkey ca.key -days 3650 -clrext"
    " -extfile /dev/stdin -out new-ca.pem"
)
COMMANDS_ELSEWHERE = frozenset(
    {ErrorKind.ADDRESS_FORBIDDEN, ErrorKind.ORIGIN_REFUSED, ErrorKind.CA_KEY_USAGE}
)
"""Errors whose command is a setting of this server, of a proxy, or for the machine of the CA."""


class ErrorHint(NamedTuple):
    """A sentence and an optional command, which is run on the machine of the gateway.

    The command of `COMMANDS_ELSEWHERE` belongs somewhere else; the sentence says where.
    """

    sentence: str
    command: str | None = None


HINTS: Mapping[ErrorKind, ErrorHint] = {
    ErrorKind.ADDRESS_INVALID: ErrorHint("{message}"),
    ErrorKind.ADDRESS_FORBIDDEN: ErrorHint(
        "{host} is in a private network. Whoever runs this server can allow it with a setting:",
        "{setting}",
    ),
    ErrorKind.DNS: ErrorHint("No name server knows {host}: look at how it is spelled."),
    ErrorKind.REFUSED: ErrorHint(
        "Nobody listens at {host}, port {port}: start the gateway, or correct the port.",
        START_COMMAND,
    ),
    ErrorKind.UNREACHABLE: ErrorHint(
        "{host}, port {port} does not answer: a firewall may be in between, or it is switched off.",
        STATUS_COMMAND,
    ),
    ErrorKind.TLS: ErrorHint(
        "{message} Enter the certificate of its CA here, use a certificate that is trusted here,"
        " or allow this one."
    ),
    ErrorKind.CERTIFICATE_NAME: ErrorHint(
        "{message} Enter a name that the certificate has, or use a certificate for {host}."
    ),
    ErrorKind.CERTIFICATE_EXPIRED: ErrorHint(
        "The certificate of {host}, or that of its CA, has expired: renew it."
    ),
    ErrorKind.CA_KEY_USAGE: ErrorHint(
        "The certificate of the CA has no key usage extension, and is not accepted without one."
        " Renew it with its key, as below, and use the new one here: certificates that the CA has"
        " signed stay valid.",
        RENEW_CA_COMMAND,
    ),
    ErrorKind.NO_TLS: ErrorHint("{message} Begin the address with ws://, not with wss://."),
    ErrorKind.TLS_REQUIRED: ErrorHint(
        "{host}, port {port} speaks TLS: begin the address with wss://, not with ws://."
    ),
    ErrorKind.PATH_NOT_FOUND: ErrorHint(
        "{host}, port {port} answers, but has nothing at {path} (HTTP status {status}): complete"
        " the address with the path that leads to the gateway."
    ),
    ErrorKind.DOWN_BEHIND_PROXY: ErrorHint(
        "The proxy at {host}, port {port} answers, but the gateway behind it does not (HTTP status"
        " {status}): start the gateway, or correct the address to which the proxy forwards.",
        START_COMMAND,
    ),
    ErrorKind.DOWN_BEHIND_FORWARDER: ErrorHint(
        "{host}, port {port} accepts connections, but the gateway that answered there before does"
        " not: a forwarder, such as an SSH tunnel or a container, still listens. Start the gateway"
        " behind it.",
        START_COMMAND,
    ),
    ErrorKind.NOT_A_GATEWAY: ErrorHint(
        "Somebody answers at {host}, port {port}, but it is no gateway. {message}"
    ),
    ErrorKind.PROXY_UNTRUSTED: ErrorHint(
        "The gateway does not trust the proxy in front of it: name the proxy's address there.",
        "openclaw config set gateway.trustedProxies '[\"<address of the proxy>\"]' --strict-json",
    ),
    ErrorKind.ORIGIN_REFUSED: ErrorHint(
        "A proxy adds an Origin header that the gateway refuses: have the proxy leave it out. In"
        " the location of nginx:",
        'proxy_set_header Origin "";',
    ),
    ErrorKind.PROTOCOL_MISMATCH: ErrorHint(
        "The gateway speaks another protocol than {ours}: update whichever is older.",
        UPDATE_COMMAND,
    ),
    ErrorKind.TOKEN_MISSING: ErrorHint(
        "The gateway wants a token: enter the one that its config names.",
        SHOW_TOKEN_COMMAND,
    ),
    ErrorKind.TOKEN_MISMATCH: ErrorHint(
        "The token is not the gateway's: enter the one that its config names.",
        SHOW_TOKEN_COMMAND,
    ),
    ErrorKind.DEVICE_REQUIRED: ErrorHint(
        "The gateway wants to know our device: switch device pairing on for it, here.",
    ),
    ErrorKind.DEVICE_REFUSED: ErrorHint(
        "The gateway does not accept our device's signature:"
        " remove the device there, and pair again.",
        "openclaw devices list",
    ),
    ErrorKind.PAIRING_REQUIRED: ErrorHint(
        "The gateway does not know this Mission Control yet: approve it there, once.",
        "openclaw devices approve {request}",
    ),
    ErrorKind.MISSING_SCOPE: ErrorHint(
        "The gateway lets us in without these rights: {scopes}.", "openclaw devices list"
    ),
    ErrorKind.STARTING_UP: ErrorHint("The gateway is starting. It will be there in a moment."),
    ErrorKind.UNAVAILABLE: ErrorHint("The gateway is busy with itself. Try again in a moment."),
    ErrorKind.RATE_LIMITED: ErrorHint(
        "The gateway has seen too many wrong tokens, and lets nobody try for a moment."
    ),
    ErrorKind.RESTARTING: ErrorHint("The gateway restarts. It will be there in a moment."),
    ErrorKind.CLOSED: ErrorHint(
        "The gateway closed the connection without a word.", STATUS_COMMAND
    ),
    ErrorKind.TIMEOUT: ErrorHint(
        "{host}, port {port} is open, but nobody speaks there.", STATUS_COMMAND
    ),
    ErrorKind.UNRESPONSIVE: ErrorHint(
        "The gateway is connected and does not answer: it is busy, or frozen. The connection is"
        " kept for now; if nothing changes, restart it.",
        RESTART_COMMAND,
    ),
    ErrorKind.TOO_LARGE: ErrorHint(
        "The gateway sent more than 25 MiB, 250,000 values or 5,000 agents at once.", STATUS_COMMAND
    ),
    ErrorKind.MALFORMED: ErrorHint("{message} It is no gateway, or a broken one.", STATUS_COMMAND),
    ErrorKind.REJECTED: ErrorHint("The gateway says no: {message}", STATUS_COMMAND),
}


OLDER_PROTOCOL_HINT = ErrorHint(
    "The gateway speaks protocol {spoken}, and we speak {ours}: update the gateway to OpenClaw"
    " {minimum} or newer.",
    UPDATE_COMMAND,
)
NEWER_PROTOCOL_HINT = ErrorHint(
    "The gateway speaks protocol {spoken}, and we speak {ours}: update Mission Control."
)
NEVER_ALLOWED_HINT = ErrorHint(
    "{host} is an address that no setting allows, such as those of cloud metadata services: enter"
    " another one."
)


def get_error_hint(error: GatewayError, url: str) -> ErrorHint:
    """Return the hint for an error, with host, port and other details filled in."""
    values = get_error_values(error, url)
    sentence, command = HINTS[error.kind]
    if "blocked_host" in values:
        sentence, command = NEVER_ALLOWED_HINT
    if "minimum" in values:
        sentence, command = OLDER_PROTOCOL_HINT
    elif "newer" in values:
        sentence, command = NEWER_PROTOCOL_HINT
    known = {**UNKNOWN_VALUES, **values, "message": error.message}
    text = sentence.format_map(known)
    return ErrorHint(text + _container_hint(values), command and command.format_map(known))


def get_error_values(error: GatewayError, url: str) -> dict[str, str]:
    """Return the values that a text about an error can contain; those that are unknown are missing.

    `reply` is the message of a gateway that has rejected a request.
    """
    address = _parse_or_none(url)
    host = address.host if address else ""
    is_blocked = error.kind is ErrorKind.ADDRESS_FORBIDDEN and not error.allowing_setting
    is_refused = error.kind is ErrorKind.REFUSED and bool(address and address.is_loopback)
    spoken = error.gateway_protocol or 0
    values = {
        "minimum": MIN_VERSION if 0 < spoken < PROTOCOLS[0] else "",
        "newer": str(spoken) if spoken > PROTOCOLS[-1] else "",
        "host": host,
        "port": str(address.port) if address else "",
        "container_host": host if is_refused and CONTAINER_MARKER.exists() else "",
        "spoken": str(spoken or ""),
        "ours": " or ".join(map(str, PROTOCOLS)),
        "request": error.pairing_request or "",
        "scopes": ", ".join(error.missing_scopes),
        "status": error.code if error.code.isdecimal() else "",
        "certificate": error.certificate_problem or "",
        "path": address.path if address and error.kind is ErrorKind.PATH_NOT_FOUND else "",
        "setting": error.allowing_setting or "",
        "blocked_host": host if is_blocked else "",
        "reply": error.message if error.kind is ErrorKind.REJECTED else "",
    }
    return {name: value for name, value in values.items() if value}


UNKNOWN_VALUES = {
    "host": "the host",
    "port": "the port",
    "spoken": "another",
    "request": "--latest",
    "scopes": "those we need",
    "path": "this path",
    "status": "of an error",
}
"""What a hint contains in place of an unknown value."""


def _parse_or_none(url: str) -> GatewayAddress | None:
    try:
        return parse_address(url)
    except GatewayError:
        return None


def _container_hint(values: Mapping[str, str]) -> str:
    """Explain that loopback in a container is the container itself, if that applies."""
    host = values.get("container_host")
    if not host:
        return ""
    return (
        f" Inside a container {host} is the container itself:"
        " the machine around it is host.docker.internal."
    )
