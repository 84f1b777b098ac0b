"""Why a gateway cannot be reached, rung by rung: what is well, what is not, and what helps."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from kit.clock import now
from openclaw.addresses import Address, parse
from openclaw.advice import advise
from openclaw.connection import connect
from openclaw.errors import GatewayError, Trouble
from openclaw.protocol import Hello, Target

NAMES = ("address", "port", "tls", "handshake", "protocol", "token", "device", "scopes")
"""The rungs, in the order in which a gateway is reached."""

RUNGS: Mapping[Trouble, str] = {
    Trouble.ADDRESS_INVALID: "address",
    Trouble.ADDRESS_FORBIDDEN: "address",
    Trouble.DNS: "address",
    Trouble.REFUSED: "port",
    Trouble.UNREACHABLE: "port",
    Trouble.TLS: "tls",
    Trouble.NO_TLS: "tls",
    Trouble.PROTOCOL_MISMATCH: "protocol",
    Trouble.TOKEN_MISSING: "token",
    Trouble.TOKEN_MISMATCH: "token",
    Trouble.RATE_LIMITED: "token",
    Trouble.DEVICE_REQUIRED: "device",
    Trouble.DEVICE_REFUSED: "device",
    Trouble.PAIRING_REQUIRED: "device",
    Trouble.MISSING_SCOPE: "scopes",
}
"""The rung on which each trouble stands; what is not here is trouble with the handshake."""

TO_CLIMB = 20.0  # seconds for the whole ladder
NOT_LOOKED_AT = "Not looked at: something before it has to be mended first."


class CheckState(StrEnum):
    """How it stands with one rung."""

    OK = "ok"
    FAILED = "failed"
    UNKNOWN = "unknown"


@dataclass(frozen=True)
class Check:
    """One rung: how it stands, in a sentence, and the command that helps if it is not well."""

    name: str
    state: CheckState
    sentence: str
    command: str | None = None
    code: str | None = None  # what is wrong: a trouble, or a refusal of ours


@dataclass(frozen=True)
class Ladder:
    """All rungs at one moment, and what the gateway said if we came to the top."""

    checks: Sequence[Check]
    at: datetime
    hello: Hello | None = None

    @property
    def is_well(self) -> bool:
        """Whether there is nothing to be mended."""
        return all(check.state is CheckState.OK for check in self.checks)

    @property
    def failed(self) -> Check | None:
        """What has to be mended first."""
        return next((one for one in self.checks if one.state is CheckState.FAILED), None)


def locked(sentence: str, code: str) -> Ladder:
    """Return how the ladder stands to whom the key to the token is lacking: nobody goes."""
    checks = [Check(name, CheckState.UNKNOWN, NOT_LOOKED_AT) for name in NAMES]
    checks[NAMES.index("token")] = Check("token", CheckState.FAILED, sentence, code=code)
    return Ladder(checks, now())


def seen(target: Target, news: Hello | GatewayError) -> Ladder:
    """Return how the ladder stands by what a connection told, when it was made or lost."""
    return _stuck(news, target) if isinstance(news, GatewayError) else _at_the_top(news, target)


async def climb(target: Target) -> Ladder:
    """Go up the ladder once. Whatever is in the way is in the answer, and nothing is raised."""
    try:
        async with asyncio.timeout(TO_CLIMB), await connect(target) as connection:
            hello = connection.hello
    except GatewayError as error:
        return _stuck(error, target)
    except TimeoutError:
        return _stuck(GatewayError(Trouble.TIMEOUT, "It took too long."), target)
    return _at_the_top(hello, target)


def _stuck(error: GatewayError, target: Target) -> Ladder:
    address = _address(target)
    sentence, command = advise(error, target.url)
    failed = RUNGS.get(error.trouble, "handshake")
    checks = []
    for name in NAMES:
        if name == failed:
            code = error.trouble.value
            checks.append(Check(name, CheckState.FAILED, sentence, command, code))
        elif NAMES.index(name) < NAMES.index(failed) and not _in_doubt(name, error, address):
            checks.append(Check(name, CheckState.OK, _well(name, target, address)))
        else:
            checks.append(Check(name, CheckState.UNKNOWN, NOT_LOOKED_AT))
    return Ladder(checks, now())


def _at_the_top(hello: Hello, target: Target) -> Ladder:
    """Tell what was granted. A connection without its rights is none that we can work with."""
    address = _address(target)
    checks = [Check(name, CheckState.OK, _well(name, target, address, hello)) for name in NAMES]
    if hello.missing_scopes:
        checks[-1] = _short_of(hello, target)
    return Ladder(checks, now(), hello)


def _short_of(hello: Hello, target: Target) -> Check:
    missing = GatewayError(
        Trouble.MISSING_SCOPE,
        "The gateway does not grant what was asked for.",
        details={"requiredScopes": hello.missing_scopes},
    )
    sentence, command = advise(missing, target.url)
    if target.device is None:
        sentence += (
            " From another machine it grants none without a device: switch pairing on, here."
        )
        command = None
    return Check("scopes", CheckState.FAILED, sentence, command, Trouble.MISSING_SCOPE.value)


def _in_doubt(name: str, error: GatewayError, address: Address | None) -> bool:
    """Say whether we can't know that a rung before the failed one is well."""
    silent = error.trouble in (Trouble.TIMEOUT, Trouble.CLOSED)
    return name == "tls" and silent and bool(address and address.is_secure)


def _well(name: str, target: Target, address: Address | None, hello: Hello | None = None) -> str:
    assert address is not None
    return {
        "address": f"{address.host} leads to an address that we may go to.",
        "port": f"Port {address.port} answers.",
        "tls": _tls(target, address),
        "handshake": "A gateway answers.",
        "protocol": f"Protocol {hello.protocol}." if hello else "The gateway speaks our protocol.",
        "token": "The gateway takes the token.",
        "device": "The gateway knows our device." if target.device else "No device is shown.",
        "scopes": "The gateway grants all the rights that we need.",
    }[name]


def _tls(target: Target, address: Address) -> str:
    if not address.is_secure:
        return "Not used: the address begins with ws://."
    if target.allow_insecure_tls:
        return "Used, with any certificate: who is between us and the gateway can read along."
    return "The certificate is trusted."


def _address(target: Target) -> Address | None:
    try:
        return parse(target.url)
    except GatewayError:
        return None
