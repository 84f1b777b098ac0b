"""Connect to a gateway: our device, its challenge, the request, and the hello of the gateway."""

import base64
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from core.http.address_policy import AddressPolicy
from core.text import is_storable, replace_unstorable
from openclaw.errors import ErrorKind, GatewayError
from openclaw.frames import MAX_FRAME_SIZE

PROTOCOLS = range(4, 5)
"""Supported protocol versions; each was tested with a real gateway."""

ROLE = "operator"
SCOPES = (
    "operator.read",
    "operator.write",
    "operator.admin",
    "operator.approvals",
    "operator.questions",
    "operator.pairing",
)
"""All scopes that the product needs; an additional scope would require a new approval."""

CLIENT = {
    "id": "gateway-client",
    "displayName": "Mission Control",
    "version": "1.0.0",
    "platform": "linux",  # stored at pairing, so it must be the same on every platform
    "mode": "backend",
}
MAX_VERSION_LENGTH = 100  # characters


@dataclass(frozen=True)
class Challenge:
    """The challenge that we must sign."""

    nonce: str
    ts: int

    @classmethod
    def parse(cls, payload: Mapping[str, Any]) -> "Challenge":
        """Parse the event `connect.challenge`. Raises GatewayError."""
        nonce, ts = payload.get("nonce"), payload.get("ts")
        good = isinstance(nonce, str) and 0 < len(nonce) <= 1_000
        if not good or not isinstance(ts, int):
            raise GatewayError(ErrorKind.MALFORMED, "The gateway sent a challenge without a nonce.")
        return cls(str(nonce), ts)


class DeviceIdentity:
    """Identify this installation to gateways with an Ed25519 key that never leaves the server.

    The id is derived from the public key. The seed has 32 bytes.
    """

    def __init__(self, seed: bytes) -> None:
        self.seed = seed
        self._key = Ed25519PrivateKey.from_private_bytes(seed)
        public = self._key.public_key().public_bytes_raw()
        self.id = hashlib.sha256(public).hexdigest()
        self.public_key = _encode_unpadded(public)

    @classmethod
    def generate(cls) -> "DeviceIdentity":
        """Generate a new identity."""
        return cls(Ed25519PrivateKey.generate().private_bytes_raw())

    def __repr__(self) -> str:
        """Return the beginning of the id, without the key."""
        return f"Device({self.id[:12]}…)"

    def sign_challenge(self, challenge: Challenge, token: str) -> dict[str, Any]:
        """Sign the challenge of a gateway and our client data (payload version 3).

        `token` is the token sent in `auth`, or an empty string. The gateway stores the platform.
        """
        signed = "|".join(
            (
                "v3",
                self.id,
                CLIENT["id"],
                CLIENT["mode"],
                ROLE,
                ",".join(SCOPES),
                str(challenge.ts),
                token,
                challenge.nonce,
                CLIENT["platform"],
                "",  # the family of the device
            )
        )
        return {
            "id": self.id,
            "publicKey": self.public_key,
            "signature": _encode_unpadded(self._key.sign(signed.encode())),
            "signedAt": challenge.ts,
            "nonce": challenge.nonce,
        }


@dataclass(frozen=True)
class GatewayTarget:
    """The URL of a gateway and our credentials. Secrets are not in `repr`."""

    url: str
    token: str = field(default="", repr=False)
    device: DeviceIdentity | None = None
    device_token: str = field(default="", repr=False)
    allow_insecure_tls: bool = False
    ca_certificates: str = field(default="", repr=False)  # PEM; empty: those of this machine
    address_policy: AddressPolicy = field(default_factory=AddressPolicy)


@dataclass(frozen=True)
class Hello:
    """The response of a gateway to a successful connect, with the granted scopes."""

    protocol: int
    version: str
    scopes: Sequence[str]
    methods: frozenset[str]
    events: frozenset[str]
    device_token: str = field(repr=False)
    max_frame_size: int  # bytes
    boot_id: str = ""  # changes with every start of the gateway; older ones have none

    @classmethod
    def parse(cls, payload: object) -> "Hello":
        """Parse the response to `connect`. Raises GatewayError."""
        payload_object = _get_object({"hello": payload}, "hello")
        protocol = payload_object.get("protocol")
        if not isinstance(protocol, int):
            raise GatewayError(ErrorKind.MALFORMED, "The gateway does not state its protocol.")
        if protocol not in PROTOCOLS:
            reason = f"The gateway uses protocol {protocol}."
            details = {"expectedProtocol": protocol}
            raise GatewayError(ErrorKind.PROTOCOL_MISMATCH, reason, details=details)
        auth, features, server = (
            _get_object(payload_object, name) for name in ("auth", "features", "server")
        )
        largest = _get_object(payload_object, "policy").get("maxPayload")
        return cls(
            protocol=protocol,
            version=_parse_name(server.get("version")),
            scopes=_parse_texts(auth.get("scopes")),
            methods=frozenset(_parse_texts(features.get("methods"))),
            events=frozenset(_parse_texts(features.get("events"))),
            device_token=_parse_token(auth.get("deviceToken")),
            max_frame_size=min(largest, MAX_FRAME_SIZE)
            if isinstance(largest, int)
            else MAX_FRAME_SIZE,
            boot_id=_parse_name(server.get("bootId")),
        )

    @property
    def missing_scopes(self) -> list[str]:
        """The requested scopes that were not granted."""
        return [scope for scope in SCOPES if scope not in self.scopes]


def build_connect_params(
    target: GatewayTarget, challenge: Challenge, token: str, caps: Sequence[str]
) -> dict[str, Any]:
    """Build the parameters of `connect`. The token is in them and never in the URL."""
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
        params["device"] = target.device.sign_challenge(challenge, token)
    return params


def _get_object(payload_object: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    part = payload_object.get(name)
    return part if isinstance(part, dict) else {}


def _parse_name(value: object) -> str:
    return replace_unstorable(str(value or "")[:MAX_VERSION_LENGTH])


def _parse_token(value: object) -> str:
    is_one = isinstance(value, str) and len(value) <= 10_000 and is_storable(value)
    return str(value) if is_one else ""


def _parse_texts(value: object) -> list[str]:
    return [item for item in value if isinstance(item, str)] if isinstance(value, list) else []


def _encode_unpadded(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")
