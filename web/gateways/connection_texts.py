"""Texts about the connection to a gateway: its errors and checks, by code.

The services store an English sentence with each code and its values, for the API and for codes that
have no text in this version.
"""

from collections.abc import Mapping
from typing import Any

from core.errors import UpstreamError
from models import Gateway
from services import gateways
from web.ui.translation import _, translate


def describe_gateway_error(code: str, values: Mapping[str, Any], stored: str) -> str:
    """Describe an error by its code, with the command that helps if it is one of the values.

    Return the stored sentence if there is no text for the code.
    """
    kind = code.removeprefix("gateway_")  # of an error that services raise
    text = gateways.find_error_text(code, values) or gateways.find_error_text(kind, values)
    if text is None:
        return stored
    problem, command = _(text, **values), values.get("command")
    if not command:
        return problem
    note = gateways.COMMAND_NOTES.get(kind)
    if note:
        return f"{problem} {translate(note)} {command}"
    return _("%(problem)s Run there: %(command)s", problem=problem, command=command)


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
