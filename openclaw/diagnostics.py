"""Diagnose why a gateway cannot be reached: a list of checks with sentences and commands."""

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

from core.clock import now
from openclaw.addresses import GatewayAddress, parse_address
from openclaw.capabilities import (
    MIN_VERSION,
    Capability,
    GatewayCapabilities,
    parse_config_problem,
)
from openclaw.connection import GatewayConnection, open_connection
from openclaw.error_texts import build_error_hint, get_error_hint, get_error_values
from openclaw.errors import ErrorKind, GatewayError
from openclaw.protocol import GatewayTarget, Hello

AGENTS_CHECK = "agents"
CONFIG_INVALID = "config_invalid"  # the code of this check if the file of the config is invalid
CHECK_NAMES = ("address", "port", "tls", "handshake", "protocol", "token", "device", "scopes")
CHECK_NAMES += (AGENTS_CHECK,)
"""The checks, in the order of connecting; then whether agents can be provisioned."""

CHECK_OF_ERROR: Mapping[ErrorKind, str] = {
    ErrorKind.ADDRESS_INVALID: "address",
    ErrorKind.ADDRESS_FORBIDDEN: "address",
    ErrorKind.DNS: "address",
    ErrorKind.REFUSED: "port",
    ErrorKind.UNREACHABLE: "port",
    ErrorKind.TLS: "tls",
    ErrorKind.CERTIFICATE_NAME: "tls",
    ErrorKind.CERTIFICATE_EXPIRED: "tls",
    ErrorKind.CA_KEY_USAGE: "tls",
    ErrorKind.NO_TLS: "tls",
    ErrorKind.TLS_REQUIRED: "tls",
    ErrorKind.PROTOCOL_MISMATCH: "protocol",
    ErrorKind.TOKEN_MISSING: "token",
    ErrorKind.TOKEN_MISMATCH: "token",
    ErrorKind.RATE_LIMITED: "token",
    ErrorKind.DEVICE_REQUIRED: "device",
    ErrorKind.DEVICE_REFUSED: "device",
    ErrorKind.PAIRING_REQUIRED: "device",
    ErrorKind.MISSING_SCOPE: "scopes",
}
"""The check that each error kind belongs to; other kinds belong to the handshake."""

DIAGNOSIS_TIMEOUT = 20.0  # seconds for all checks
CONFIG_TIMEOUT = 5.0  # seconds for the config, which is the last one
NOT_CHECKED = "Not checked: an earlier check has failed."


class CheckState(StrEnum):
    """The state of one check."""

    OK = "ok"
    FAILED = "failed"
    UNKNOWN = "unknown"


@dataclass(frozen=True)
class ConnectionCheck:
    """The state of one check, with a sentence and a command that fixes a failure.

    `values` are for texts in other languages than that of the sentence.
    """

    name: str
    state: CheckState
    sentence: str
    command: str | None = None
    code: str | None = None  # the error kind, or the code of an AppError
    values: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class ConnectionDiagnosis:
    """Hold all checks at one time, and the hello of the gateway if the connection succeeded."""

    checks: Sequence[ConnectionCheck]
    at: datetime
    hello: Hello | None = None
    capabilities: Mapping[str, Any] | None = None  # what is to be stored about this gateway

    @property
    def is_ok(self) -> bool:
        """Whether all checks are ok."""
        return all(check.state is CheckState.OK for check in self.checks)

    @property
    def failed_check(self) -> ConnectionCheck | None:
        """The first failed check."""
        return next((check for check in self.checks if check.state is CheckState.FAILED), None)


def diagnose_missing_key(sentence: str, code: str) -> ConnectionDiagnosis:
    """Return the diagnosis if the stored token cannot be decrypted; no connection is attempted."""
    checks = [ConnectionCheck(name, CheckState.UNKNOWN, NOT_CHECKED) for name in CHECK_NAMES]
    checks[CHECK_NAMES.index("token")] = ConnectionCheck(
        "token", CheckState.FAILED, sentence, code=code
    )
    return ConnectionDiagnosis(checks, now())


def diagnose_outcome(
    target: GatewayTarget, outcome: Hello | GatewayError, capabilities: GatewayCapabilities
) -> ConnectionDiagnosis:
    """Return the diagnosis for an opened or failed connection."""
    return (
        _failed_diagnosis(outcome, target, capabilities)
        if isinstance(outcome, GatewayError)
        else _connected_diagnosis(outcome, target, capabilities)
    )


async def diagnose_connection(
    target: GatewayTarget, capabilities: GatewayCapabilities | None = None
) -> ConnectionDiagnosis:
    """Connect once and return the diagnosis; errors are part of it and never raised."""
    known = capabilities or GatewayCapabilities()
    try:
        async with asyncio.timeout(DIAGNOSIS_TIMEOUT), await open_connection(target) as connection:
            hello = connection.hello
            known.learn_hello(hello)
            await _learn_config(connection, known)
    except GatewayError as error:
        return _failed_diagnosis(error, target, known)
    except TimeoutError:
        error = GatewayError(ErrorKind.TIMEOUT, "It took too long.")
        return _failed_diagnosis(error, target, known)
    return _connected_diagnosis(hello, target, known)


async def _learn_config(connection: GatewayConnection, known: GatewayCapabilities) -> None:
    """Find out whether the config is valid. No check fails if the gateway does not answer this."""
    if connection.hello.missing_scopes or "config.get" not in connection.hello.methods:
        return
    with suppress(GatewayError):
        answer = await connection.call("config.get", {}, time_limit=CONFIG_TIMEOUT)
        known.learn_config(parse_config_problem(answer if isinstance(answer, dict) else {}))


def _failed_diagnosis(
    error: GatewayError, target: GatewayTarget, known: GatewayCapabilities
) -> ConnectionDiagnosis:
    if error.is_before_websocket and known.version:  # a gateway has answered here before
        error = GatewayError(ErrorKind.DOWN_BEHIND_FORWARDER, error.message)
    address = _parse_or_none(target)
    sentence, command = get_error_hint(error, target.url)
    failed = CHECK_OF_ERROR.get(error.kind, "handshake")
    checks = []
    for name in CHECK_NAMES:
        if name == failed:
            values = get_error_values(error, target.url)
            checks.append(
                ConnectionCheck(
                    name, CheckState.FAILED, sentence, command, error.kind.value, values
                )
            )
        elif CHECK_NAMES.index(name) < CHECK_NAMES.index(failed) and not _is_uncertain(
            name, error, address
        ):
            checks.append(_ok_check(name, target, address))
        else:
            checks.append(ConnectionCheck(name, CheckState.UNKNOWN, NOT_CHECKED))
    return ConnectionDiagnosis(checks, now())


def _connected_diagnosis(
    hello: Hello, target: GatewayTarget, capabilities: GatewayCapabilities
) -> ConnectionDiagnosis:
    """Check the granted scopes: a connection without the required scopes is a failure."""
    address = _parse_or_none(target)
    checks = [_ok_check(name, target, address, hello) for name in CHECK_NAMES[:-1]]
    if hello.missing_scopes:
        checks[-1] = _missing_scopes_check(hello, target)
        checks.append(ConnectionCheck(AGENTS_CHECK, CheckState.UNKNOWN, NOT_CHECKED))
    else:
        checks.append(_agents_check(capabilities))
    return ConnectionDiagnosis(checks, now(), hello, capabilities.to_json())


def _agents_check(capabilities: GatewayCapabilities) -> ConnectionCheck:
    """Check whether agents can be provisioned: what has failed lately, and what is missing."""
    values: Mapping[str, str] = {"version": capabilities.version, "minimum": MIN_VERSION}
    if capabilities.config_problem:
        code, values = CONFIG_INVALID, capabilities.config_problem
    elif capabilities.restart_message:
        code, values = "restart_required", {**values, "reply": capabilities.restart_message}
    elif capabilities.supports(Capability.AGENTS):
        return ConnectionCheck(
            AGENTS_CHECK, CheckState.OK, "The gateway can run the agents.", values=values
        )
    else:
        reply = capabilities.unsupported_message
        code, values = "agents_unsupported", {**values, **({"reply": reply} if reply else {})}
    sentence, command = build_error_hint(code, values)
    return ConnectionCheck(AGENTS_CHECK, CheckState.FAILED, sentence, command, code, values)


def _missing_scopes_check(hello: Hello, target: GatewayTarget) -> ConnectionCheck:
    missing = GatewayError(
        ErrorKind.MISSING_SCOPE,
        "The gateway does not grant the rights that were requested.",
        details={"requiredScopes": hello.missing_scopes},
    )
    code, values = missing.kind.value, get_error_values(missing, target.url)
    if target.device is None:
        values["scopes_without_device"] = values["scopes"]
    sentence, command = build_error_hint(code, values)
    return ConnectionCheck("scopes", CheckState.FAILED, sentence, command, code, values)


def _is_uncertain(name: str, error: GatewayError, address: GatewayAddress | None) -> bool:
    """Return whether the state of a check before the failed one is unknown."""
    silent = error.kind in (ErrorKind.TIMEOUT, ErrorKind.CLOSED)
    return name == "tls" and silent and bool(address and address.is_secure)


def _ok_check(
    name: str, target: GatewayTarget, address: GatewayAddress | None, hello: Hello | None = None
) -> ConnectionCheck:
    assert address is not None
    values = {"host": address.host, "port": str(address.port)}
    if hello is not None:
        values["protocol"] = str(hello.protocol)
    sentence = _ok_sentence(name, target, address, hello)
    return ConnectionCheck(name, CheckState.OK, sentence, values=values)


def _ok_sentence(
    name: str, target: GatewayTarget, address: GatewayAddress, hello: Hello | None = None
) -> str:
    return {
        "address": f"{address.host} has an address that is allowed.",
        "port": f"Port {address.port} answers.",
        "tls": _tls_sentence(target, address),
        "handshake": "A gateway answers.",
        "protocol": f"Protocol {hello.protocol}." if hello else "The protocol is supported.",
        "token": "The gateway accepts the token.",
        "device": "The gateway knows this device." if target.device else "No device is used.",
        "scopes": "The gateway grants all required rights.",
        AGENTS_CHECK: "The gateway can run the agents.",
    }[name]


def _tls_sentence(target: GatewayTarget, address: GatewayAddress) -> str:
    if not address.is_secure:
        return "Not used: the address begins with ws://."
    if target.allow_insecure_tls:
        return (
            "Used with any certificate: anyone between this server and the gateway can read along."
        )
    if target.ca_certificates:
        return "The certificate is signed by the CA of this gateway."
    return "The certificate is trusted."


def _parse_or_none(target: GatewayTarget) -> GatewayAddress | None:
    try:
        return parse_address(target.url)
    except GatewayError:
        return None
