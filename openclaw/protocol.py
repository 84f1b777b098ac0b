"""What is agreed between us and a gateway: who we are, what we ask for, what it grants."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from kit.text import mended, storable
from openclaw.addresses import Guard
from openclaw.device import Device
from openclaw.errors import GatewayError, Trouble
from openclaw.frames import LARGEST

PROTOCOLS = range(4, 5)
"""The protocols that we speak. What was never tried on a real gateway is not in here."""

ROLE = "operator"
SCOPES = (
    "operator.read",
    "operator.write",
    "operator.admin",
    "operator.approvals",
    "operator.questions",
    "operator.pairing",
)
"""All the rights that we shall ever need: each that came later would have to be approved anew."""

CLIENT = {
    "id": "gateway-client",
    "displayName": "Mission Control",
    "version": "1.0.0",
    "platform": "linux",  # remembered at the pairing, so it is the same wherever we run
    "mode": "backend",
}
LONGEST_NONCE = 1_000  # characters
LONGEST_VERSION = 100
LONGEST_TOKEN = 10_000


@dataclass(frozen=True)
class Target:
    """A gateway, and what we show it to be let in. Secrets are not in its `repr`."""

    url: str
    token: str = field(default="", repr=False)
    device: Device | None = None
    device_token: str = field(default="", repr=False)
    allow_insecure_tls: bool = False
    guard: Guard = field(default_factory=Guard)


@dataclass(frozen=True)
class Challenge:
    """What a gateway gives us to sign."""

    nonce: str
    ts: int

    @classmethod
    def of(cls, payload: Mapping[str, Any]) -> "Challenge":
        """Read the event `connect.challenge`. Raises GatewayError."""
        nonce, ts = payload.get("nonce"), payload.get("ts")
        good = isinstance(nonce, str) and 0 < len(nonce) <= LONGEST_NONCE
        if not good or not isinstance(ts, int):
            raise GatewayError(Trouble.MALFORMED, "The gateway sent a challenge without a nonce.")
        return cls(str(nonce), ts)


@dataclass(frozen=True)
class Hello:
    """What a gateway says when it lets us in: above all, which rights we really have."""

    protocol: int
    version: str
    scopes: Sequence[str]
    methods: frozenset[str]
    events: frozenset[str]
    device_token: str = field(repr=False)
    largest: int  # bytes of a frame that it takes

    @classmethod
    def of(cls, payload: object) -> "Hello":
        """Read the answer to `connect`. Raises GatewayError."""
        said = _part({"hello": payload}, "hello")
        protocol = said.get("protocol")
        if not isinstance(protocol, int):
            raise GatewayError(Trouble.MALFORMED, "The gateway does not say what it speaks.")
        if protocol not in PROTOCOLS:
            reason = f"The gateway speaks protocol {protocol}."
            details = {"expectedProtocol": protocol}
            raise GatewayError(Trouble.PROTOCOL_MISMATCH, reason, details=details)
        auth, features = _part(said, "auth"), _part(said, "features")
        largest = _part(said, "policy").get("maxPayload")
        return cls(
            protocol=protocol,
            version=mended(str(_part(said, "server").get("version") or "")[:LONGEST_VERSION]),
            scopes=_texts(auth.get("scopes")),
            methods=frozenset(_texts(features.get("methods"))),
            events=frozenset(_texts(features.get("events"))),
            device_token=_token(auth.get("deviceToken")),
            largest=min(largest, LARGEST) if isinstance(largest, int) else LARGEST,
        )

    @property
    def missing_scopes(self) -> list[str]:
        """The rights that we asked for and did not get."""
        return [scope for scope in SCOPES if scope not in self.scopes]


def connect_params(
    target: Target, challenge: Challenge, token: str, caps: Sequence[str]
) -> dict[str, Any]:
    """Say who we are and what we ask for. The token is in here, and never in the address."""
    params: dict[str, Any] = {
        "minProtocol": PROTOCOLS[0],
        "maxProtocol": PROTOCOLS[-1],
        "client": CLIENT,
        "role": ROLE,
        "scopes": list(SCOPES),
        "caps": list(caps),
    }
    if token:
        params["auth"] = {"token": token}
    if target.device:
        asked = {"nonce": challenge.nonce, "ts": challenge.ts}
        params["device"] = target.device.proof(asked, CLIENT, ROLE, SCOPES, token)
    return params


def _part(said: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    part = said.get(name)
    return part if isinstance(part, dict) else {}


def _token(value: object) -> str:
    is_one = isinstance(value, str) and len(value) <= LONGEST_TOKEN and storable(value)
    return str(value) if is_one else ""


def _texts(value: object) -> list[str]:
    return [item for item in value if isinstance(item, str)] if isinstance(value, list) else []
