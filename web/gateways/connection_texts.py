"""Texts about the connection to a gateway: its errors and checks, by code.

The services store an English sentence with each code and its values, for the API and for codes that
have no text here.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from core.errors import UpstreamError
from models import Gateway
from web.ui.translation import N_, _, translate

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
        N_("%(host)s, port %(port)s is not an OpenClaw gateway: it opens no WebSocket."),
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
    "gateway_secrets_unreadable": (
        N_(
            "The secrets of this gateway were encrypted with another SECRET_KEY. Restore that key,"
            " or enter the token again; then the gateway must be paired again."
        ),
    ),
}
"""Texts by code. The first one is shown whose values are all known."""

COMMAND_NOTES = {
    "address_forbidden": N_("Whoever runs this server can allow it with this setting:"),
    "origin_refused": N_("For nginx, add this line to the location of the gateway:"),
    "ca_key_usage": N_("Run this where the key of the CA is:"),
}
"""What to do with a command that is not for the machine of the gateway, by code."""

PLACEHOLDER = re.compile(r"%\((\w+)\)")
UPSTREAM_PREFIX = "gateway_"  # of the codes of errors that services raise


def describe_gateway_error(code: str, values: Mapping[str, Any], stored: str) -> str:
    """Describe an error by its code, with the command that helps if it is one of the values.

    Return the stored sentence if there is no text for the code.
    """
    texts = ERROR_TEXTS.get(code) or ERROR_TEXTS.get(code.removeprefix(UPSTREAM_PREFIX), ())
    text = next((text for text in texts if _has_values(text, values)), None)
    if text is None:
        return stored
    problem, command = _(text, **values), values.get("command")
    if not command:
        return problem
    note = COMMAND_NOTES.get(code.removeprefix(UPSTREAM_PREFIX))
    if note:
        return f"{problem} {translate(note)} {command}"
    return _("%(problem)s Run there: %(command)s", problem=problem, command=command)


def _has_values(text: str, values: Mapping[str, Any]) -> bool:
    """Return whether the values of a text are known. Earlier versions stored none."""
    return values.keys() >= set(PLACEHOLDER.findall(text))


def describe_upstream_error(error: UpstreamError) -> str:
    """Describe an error of a call to a gateway."""
    return describe_gateway_error(error.code, error.details, error.message)


def describe_check(check: Mapping[str, Any], gateway: Gateway) -> str:
    """Describe the result of a connection check: why it failed, or what was found."""
    values, stored = check.get("values") or {}, check.get("sentence") or ""
    if check["state"] == "failed":
        return describe_gateway_error(check.get("code") or "", values, stored)
    return _describe_passed_check(check["name"], values, gateway) or stored


def _describe_passed_check(name: str, values: Mapping[str, Any], gateway: Gateway) -> str:
    if name == "tls":
        return _describe_tls(gateway)
    if name == "address" and "host" in values:
        return _("%(host)s has an address that is allowed.", **values)
    if name == "port" and "port" in values:
        return _("Port %(port)s answers.", **values)
    if name == "protocol" and "protocol" in values:
        return _("Protocol %(protocol)s.", **values)
    if name == "agents" and values.get("version"):
        return _("OpenClaw %(version)s.", **values)
    return _("The protocol is supported.") if name == "protocol" and values else ""


def _describe_tls(gateway: Gateway) -> str:
    if not gateway.url.startswith("wss:"):
        return _("Not used: the address begins with ws://.")
    if gateway.allow_insecure_tls:
        return _(
            "Used with any certificate: anyone between this server and the gateway can read along."
        )
    if gateway.ca_certificates:
        return _("The certificate was issued by the CA that is entered here.")
    return _("The certificate is trusted.")
