"""Texts about errors of gateways by their codes, and the command that helps.

The codes are the kinds of errors, and those of what is found out about a connected gateway. Pages
translate the texts; the API sends them.
"""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from core.text import N_
from openclaw.addresses import parse_address
from openclaw.capabilities import MIN_VERSION
from openclaw.errors import ErrorKind, GatewayError
from openclaw.protocol import PROTOCOLS

CONTAINER_MARKER = Path("/.dockerenv")
STATUS_COMMAND = "openclaw gateway status"
START_COMMAND = "openclaw gateway run"  # `status` does not start it
RESTART_COMMAND = "openclaw gateway restart"
UPDATE_COMMAND = "openclaw update"
SHOW_TOKEN_COMMAND = 'grep token "$(openclaw config file)"'  # noqa: S105 - `config get` masks it

SECRETS_UNREADABLE = N_(
    "The secrets of this gateway were encrypted with another SECRET_KEY. Restore that key, or enter"
    " the token again; then the gateway must be paired again."
)

ERROR_TEXTS: Mapping[str, Sequence[str]] = {
    "address_invalid": (
        N_(
            "The address is not valid. It must begin with ws:// or wss://, name a host, and contain"
            " no user name, password or query."
        ),
    ),
    "address_forbidden": (
        N_(
            "%(blocked_host)s is an address that no setting allows, such as those of cloud metadata"
            " services. Enter another address."
        ),
        N_("%(host)s is in a private network that is not allowed."),
    ),
    "dns": (N_("No name server knows %(host)s. Check the spelling."),),
    "refused": (
        N_(
            "Nothing listens on %(host)s, port %(port)s. Start the gateway, or correct the port."
            " Inside a container, %(container_host)s is the container itself; the machine around it"
            " is host.docker.internal."
        ),
        N_("Nothing listens on %(host)s, port %(port)s. Start the gateway, or correct the port."),
    ),
    "unreachable": (
        N_(
            "%(host)s, port %(port)s does not answer. A firewall may block it, or the machine is"
            " switched off."
        ),
    ),
    "tls": (
        N_(
            "The certificate is not trusted: %(certificate)s. Enter the certificate of the CA that"
            " issued it, or use a certificate that is trusted here."
        ),
        N_(
            "The certificate is not trusted. Enter the certificate of the CA that issued it, or use"
            " a certificate that is trusted here."
        ),
    ),
    "certificate_name": (
        N_(
            "The certificate is for another name: %(certificate)s. Enter a name that the"
            " certificate contains, or use a certificate for %(host)s."
        ),
        N_("The certificate is not for %(host)s. Use a certificate for this name."),
    ),
    "certificate_expired": (
        N_("The certificate of %(host)s, or that of its CA, has expired. Renew it."),
    ),
    "ca_key_usage": (
        N_(
            "The certificate of the CA does not include the key usage extension, and is not"
            " accepted without it. Renew it with the same key, and enter the new one here."
            " Certificates that the CA has issued remain valid."
        ),
    ),
    "no_tls": (N_("The gateway does not use TLS. Begin the address with ws://, not wss://."),),
    "tls_required": (
        N_("%(host)s, port %(port)s uses TLS. Begin the address with wss://, not ws://."),
    ),
    "path_not_found": (
        N_(
            "%(host)s, port %(port)s answers, but there is nothing at the path %(path)s (HTTP"
            " status %(status)s). Add the path that leads to the gateway to the address."
        ),
        N_(
            "%(host)s, port %(port)s answers, but there is nothing at this path. Add the path that"
            " leads to the gateway to the address."
        ),
    ),
    "down_behind_proxy": (
        N_(
            "The proxy at %(host)s, port %(port)s answers, but the gateway behind it does not (HTTP"
            " status %(status)s). Start the gateway, or correct the address to which the proxy"
            " forwards."
        ),
        N_("The proxy at %(host)s, port %(port)s answers, but the gateway behind it does not."),
    ),
    "not_a_gateway": (
        N_(
            "%(host)s, port %(port)s is not an OpenClaw gateway: it answers with HTTP status"
            " %(status)s, not with a WebSocket."
        ),
        N_("%(host)s, port %(port)s is not an OpenClaw gateway: it does not open a WebSocket."),
    ),
    "down_behind_forwarder": (
        N_(
            "%(host)s, port %(port)s accepts connections, but the gateway that answered there"
            " before does not: a forwarder, such as an SSH tunnel or a container, still listens."
            " Start the gateway behind it."
        ),
    ),
    "proxy_untrusted": (
        N_(
            "The gateway does not trust the proxy in front of it. Add the address of the proxy"
            " there."
        ),
    ),
    "origin_refused": (
        N_("A proxy adds an Origin header that the gateway refuses. Have the proxy remove it."),
    ),
    "protocol_mismatch": (
        N_(
            "The gateway uses protocol %(spoken)s, and Mission Control uses %(ours)s. Update the"
            " gateway to OpenClaw %(minimum)s or newer."
        ),
        N_(
            "The gateway uses protocol %(newer)s, and Mission Control uses %(ours)s. Update Mission"
            " Control."
        ),
        N_("The gateway uses another protocol than Mission Control. Update the older one."),
    ),
    "token_missing": (N_("The gateway requires a token. Enter the one from its configuration."),),
    "token_mismatch": (
        N_("The token is wrong. Enter the one from the configuration of the gateway."),
    ),
    "device_required": (
        N_("The gateway requires device pairing. Turn it on for this gateway in Mission Control."),
    ),
    "device_refused": (
        N_(
            "The gateway does not accept the signature of this Mission Control. Remove the device"
            " there, and pair again."
        ),
    ),
    "pairing_required": (
        N_("The gateway does not know this Mission Control yet. Approve it there once."),
    ),
    "missing_scope": (
        N_(
            "The gateway does not grant these rights: %(scopes_without_device)s. From another"
            " machine it grants none without device pairing: turn it on for this gateway."
        ),
        N_("The gateway does not grant these rights: %(scopes)s."),
        N_("The gateway does not grant the required rights."),
    ),
    "starting_up": (N_("The gateway is starting. It will be available in a moment."),),
    "unavailable": (N_("The gateway is busy. Try again in a moment."),),
    "rate_limited": (
        N_("The gateway has seen too many wrong tokens and refuses all attempts for a moment."),
    ),
    "restarting": (N_("The gateway is restarting. It will be available in a moment."),),
    "closed": (N_("The gateway closed the connection without a reason."),),
    "timeout": (N_("%(host)s, port %(port)s is open, but does not answer in time."),),
    "unresponsive": (
        N_(
            "The gateway is connected but does not answer: it is busy, or frozen. The connection"
            " is kept for 45 s. If it does not answer by then, restart the gateway."
        ),
    ),
    "too_large": (
        N_("The gateway sent more than 25 MiB, 250,000 values or 5,000 agents at once."),
    ),
    "malformed": (
        N_("The answer is not valid. It is not an OpenClaw gateway, or the gateway is broken."),
    ),
    "rejected": (N_("The gateway rejected the request: %(reply)s"),),
    "agents_unsupported": (
        N_(
            "OpenClaw %(version)s rejects a request that agents need: %(reply)s Update it, or"
            " Mission Control."
        ),
        N_("Agents require OpenClaw %(minimum)s or newer. The gateway has %(version)s."),
    ),
    "restart_required": (
        N_(
            "The gateway has saved a change of its configuration but does not use it. Restart the"
            " gateway. Its message: %(reply)s"
        ),
    ),
    "unsupported_request": (
        N_(
            "The version of the gateway does not support this request. Update OpenClaw. Its"
            " message: %(reply)s"
        ),
    ),
    "config_invalid": (
        N_(
            "%(file)s is invalid in line %(line)s. The gateway continues with its earlier"
            " configuration, and does not start with this one. Correct it. Its message: %(reply)s"
        ),
        N_(
            "%(file)s is invalid at %(key)s. The gateway continues with its earlier configuration,"
            " and does not start with this one. Correct it. Its message: %(reply)s"
        ),
        N_(
            "The configuration of the gateway is invalid. The gateway continues with its earlier"
            " one, and does not start with this one. Correct it. Its message: %(reply)s"
        ),
    ),
    "config_rejected": (
        N_(
            "The gateway does not accept its configuration. Correct it on the gateway. Its message:"
            " %(reply)s"
        ),
    ),
    "gateway_secrets_unreadable": (SECRETS_UNREADABLE,),
}
"""Texts by code. The first one is shown whose values are all known."""

COMMANDS: Mapping[str, str] = {
    "refused": START_COMMAND,
    "unreachable": STATUS_COMMAND,
    "ca_key_usage": (
        r"printf 'basicConstraints=critical,CA:TRUE\nkeyUsage=critical,keyCertSign,cRLSign\n"
        r"subjectKeyIdentifier=hash\n' | openssl x509 -in ca.pem -signkey ca.key -days 3650 -clrext"
        " -extfile /dev/stdin -out new-ca.pem"
    ),
    "down_behind_proxy": START_COMMAND,
    "down_behind_forwarder": START_COMMAND,
    "proxy_untrusted": (
        "openclaw config set gateway.trustedProxies '[\"<address of the proxy>\"]' --strict-json"
    ),
    "origin_refused": 'proxy_set_header Origin "";',
    "protocol_mismatch": UPDATE_COMMAND,
    "token_missing": SHOW_TOKEN_COMMAND,
    "token_mismatch": SHOW_TOKEN_COMMAND,
    "device_refused": "openclaw devices list",
    "missing_scope": "openclaw devices list",
    "closed": STATUS_COMMAND,
    "timeout": STATUS_COMMAND,
    "unresponsive": RESTART_COMMAND,
    "too_large": STATUS_COMMAND,
    "malformed": STATUS_COMMAND,
    "rejected": STATUS_COMMAND,
    "agents_unsupported": UPDATE_COMMAND,
    "restart_required": RESTART_COMMAND,
    "unsupported_request": UPDATE_COMMAND,
    "config_invalid": "openclaw config validate",
    "config_rejected": "openclaw doctor",
}
"""Commands by code, for the machine of the gateway unless COMMAND_NOTES says otherwise."""

COMMAND_NOTES = {
    "address_forbidden": N_("Whoever runs this server can allow it with this setting:"),
    "origin_refused": N_("For nginx, add this line to the location of the gateway:"),
    "ca_key_usage": N_("Run this where the key of the CA is:"),
}
"""What to do with a command that is not for the machine of the gateway, by code."""

PLACEHOLDER = re.compile(r"%\((\w+)\)")


class ErrorHint(NamedTuple):
    """What an error means, and a command that helps."""

    sentence: str
    command: str | None


def get_error_hint(error: GatewayError, url: str) -> ErrorHint:
    """Return the hint for an error of the gateway at a URL."""
    hint = build_error_hint(error.kind.value, get_error_values(error, url), error.message)
    if error.kind in (ErrorKind.ADDRESS_INVALID, ErrorKind.MALFORMED):
        return hint._replace(sentence=error.message)  # it says more than the text
    return hint


def build_error_hint(code: str, values: Mapping[str, str], message: str = "") -> ErrorHint:
    """Return the hint for a code; the message is its sentence if a value of the text is unknown."""
    text, command = find_error_text(code, values), COMMANDS.get(code)
    if code == ErrorKind.ADDRESS_FORBIDDEN:
        command = values.get("setting")
    elif code == ErrorKind.PAIRING_REQUIRED:
        command = f"openclaw devices approve {values.get('request', '--latest')}"
    elif code == ErrorKind.PROTOCOL_MISMATCH and "newer" in values:
        command = None  # Mission Control has to be updated
    elif "scopes_without_device" in values:
        command = None
    return ErrorHint(text % values if text else message, command)


def find_error_text(code: str, values: Mapping[str, object]) -> str | None:
    """Return the first text of a code whose values are known. Earlier versions stored none."""
    texts = ERROR_TEXTS.get(code, ())
    return next((one for one in texts if values.keys() >= set(PLACEHOLDER.findall(one))), None)


def get_error_values(error: GatewayError, url: str) -> dict[str, str]:
    """Return the values that a text about an error can contain; those that are unknown are missing.

    `reply` is the message of a gateway that has rejected a request.
    """
    try:
        address = parse_address(url)
    except GatewayError:
        address = None
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
